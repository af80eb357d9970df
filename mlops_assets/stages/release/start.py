"""What an asset and the jobs of a person share when a version is released: trial, change, what is told of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.declaration.release import Promotion
from mlops_assets.domain.names import Stage
from mlops_assets.domain.release.next_release import ReleasableVersion, begin_release, restate_release
from mlops_assets.domain.release.serving_checks import find_obstacles
from mlops_assets.domain.verdict import Verdict, numbers_of
from mlops_assets.resources.release.bento import Bento
from mlops_assets.resources.release.deployment import DecidedBy, Deployment, ReleaseResult
from mlops_assets.resources.release.tools import ReleaseTools
from mlops_assets.stages.common import asset_key
from mlops_assets.stages.metadata import table
from serving.contract.arms import Strategy

ROLLOUT = "rollout"  # who decides on steps


@dataclass(frozen=True)
class ReleaseTrial:
    """What the trial showed."""

    bento: Bento
    provider: str
    verdicts: tuple[Verdict, ...]
    told: Mapping[str, Any]  # metadata: the replay's report and plots

    @property
    def numbers(self) -> dict[str, float]:
        return numbers_of(self.verdicts)


def try_version(spec: ModelSpec, version: ReleasableVersion, tools: ReleaseTools) -> ReleaseTrial:
    """The version's Bento, built and seen to serve or not."""
    from mlops_assets.stages.release.replay import read_replay_rows
    from mlops_assets.stages.release.trial import run_trial

    bundle = tools.bundles.open(version.bundle)
    bento = tools.bentos.build(bundle.path, model=spec.model, version=version.semantic)
    log = Path(tools.workspace.place(spec.model, "trial")) / f"{version.bundle[:12]}.log"
    asked = read_replay_rows(spec, tools.deployment.state(spec.model), bundle, tools.traffic, now=tools.clock.now(spec))
    return run_trial(spec, bento, bundle, tools.bentos, asked=asked, log=log)


def demand_passed(
    spec: ModelSpec, version: ReleasableVersion, verdicts: Sequence[Verdict], *, all_at_once: bool
) -> None:
    """Raise where a verdict stops the release: whatever is released goes on."""
    if lost := find_obstacles(verdicts, all_at_once=all_at_once):
        listed = "\n".join(f"- {verdict.name}: {verdict.outcome}. {verdict.reason}" for verdict in lost)
        told = f"{spec.model} {version.semantic} (version {version.number}) is not released, what is released goes on."
        raise dg.Failure(f"{told}\n{listed}", allow_retries=False)


def start_release(
    spec: ModelSpec,
    version: ReleasableVersion,
    proof: ReleaseTrial,
    strategy: Strategy,
    *,
    told: DecidedBy,
    tools: ReleaseTools,
) -> ReleaseResult:
    """Give the version its first traffic, or all of it."""
    now, rollout, tag = tools.clock.now(spec), spec.rollout, proof.bento.tag
    if spec.replay is not None:
        tools.clock.move(spec, now)  # the endpoint reads the model's time from the clock's file

    def plan(state: Any) -> Any:
        begun = begin_release(spec.model, rollout, state, version, strategy=strategy, bento=tag, now=now)
        if begun is None and tools.deployment.declared_anew(spec, state):
            return restate_release(state, now)
        return begun

    done = tools.deployment.change(spec, plan, told, now)
    if done is None:
        raise LookupError(f"{spec.model}: a first release of version {version.number} changed nothing")
    return done


def find_reason_to_wait(spec: ModelSpec, version: ReleasableVersion, deployment: Deployment) -> str:
    """Why the version is not released by itself; empty: it is."""
    state = deployment.state(spec.model)
    launch = f"a person may launch {spec.model}_release with version {version.number}"
    if deployment.was_taken_down(spec.model, version.number):
        return f"It was taken down before: {launch}."
    held = state is not None and state.frozen and state.actor != ROLLOUT  # what froze itself may be followed
    if state is not None and held and version.number != state.champion.number:
        return f"The release was frozen by {state.actor}: {launch}, or {spec.model}_freeze with frozen: false."
    if spec.promotion is Promotion.MANUAL:
        return f"Promotion is manual: {launch}."
    return ""


def build_metadata(done: ReleaseResult | None, proof: ReleaseTrial | None = None, waits: str = "") -> dict[str, Any]:
    """The whole release, as the materialisation tells it."""
    told: dict[str, Any] = {"waits": waits} if waits else {}
    if done is not None:
        told |= _of_release(done)
    if proof is not None:
        verdicts = [[verdict.name, verdict.outcome.value, verdict.reason] for verdict in proof.verdicts]
        told |= {"bento": proof.bento.tag, "bento_source": proof.bento.source, "provider": proof.provider}
        told |= {"trial": table(("check", "outcome", "what was seen"), verdicts), **proof.told}
    return told


def _of_release(done: ReleaseResult) -> dict[str, Any]:
    state, entry = done.state, done.entry
    arms = [
        [arm.name, arm.role.value, arm.version, arm.number, f"{arm.weight:.0%}", arm.bundle[:16]] for arm in state.arms
    ]
    served = "every worker serves it" if not done.live.reason else done.live.reason
    numbers = [[name, f"{value:.6g}"] for name, value in sorted(entry.numbers.items())]
    return {
        "release": table(("arm", "role", "version", "number", "share", "bundle"), arms),
        "champion": state.champion.version,
        "generation": state.generation,
        "strategy": state.strategy.value + (", frozen" if state.frozen else ""),
        "decision": entry.action.value,
        "decided_by": entry.actor,
        "reason": entry.reason,
        "evidence": table(("number", "value"), numbers),
        "ledger_entry": entry.sequence,
        "ledger_hash": entry.hash,
        "live": served,
        "bento": state.bento,
    }


def observation(spec: ModelSpec, name: str, told: str) -> dg.AssetObservation:
    """What was asked about a release, beside its materialisations."""
    key = asset_key(spec.model, Stage.DEPLOYED_ENDPOINT)
    return dg.AssetObservation(key, metadata={name: dg.MetadataValue.md(told)})


def materialization(
    spec: ModelSpec, done: ReleaseResult, proof: ReleaseTrial | None = None, readout: str = ""
) -> dg.AssetMaterialization:
    """A step that a job made, as one of the asset."""
    seen = {"readout": dg.MetadataValue.md(readout)} if readout else {}
    return dg.AssetMaterialization(
        asset_key(spec.model, Stage.DEPLOYED_ENDPOINT),
        description=f"{done.entry.action}: {done.entry.reason}",
        metadata={**build_metadata(done, proof), **seen},
        tags={"mlops/generation": str(done.state.generation)},
    )
