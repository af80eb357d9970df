"""Takes a rollout's next step: judges the release in force on what was logged, and carries out what follows."""

from datetime import datetime
from typing import Any

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.release.next_release import change_share, freeze_release, withdraw_challenger
from mlops_assets.domain.release.release_state import ReleaseState
from mlops_assets.domain.release.rollout import RolloutAction
from mlops_assets.domain.release.step_decision import StepDecision, decide_step, nothing_to_decide
from mlops_assets.domain.release.step_report import write_step_tables
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.resources.release.deployment import DecidedBy, Deployment, ReleaseResult
from mlops_assets.resources.traffic.endpoint_log import Traffic
from mlops_assets.stages.release.collect import read_rollout_evidence
from mlops_assets.stages.release.start import ROLLOUT


def take_step(
    spec: ModelSpec,
    generation: int,
    bundles: Bundles,
    traffic: Traffic,
    *,
    lake: Lake,
    deployment: Deployment,
    now: datetime,
) -> tuple[ReleaseResult | None, str]:
    """What was done, or None; and what was seen, in words and tables."""
    state = deployment.state(spec.model)
    if state is None or generation not in (0, state.generation):
        present = "none" if state is None else f"generation {state.generation}"
        return None, f"{spec.model}: generation {generation} was judged, in force is {present}: nothing to do."
    if deployment.behind(state):
        return deployment.catch_up(spec), "The release file was not what the ledger says, and was written again."
    if reason := nothing_to_decide(state):
        return None, reason
    seen = read_rollout_evidence(spec, state, traffic, bundles, now=now, lake=lake)
    decision = decide_step(spec.rollout, state, seen)
    readout = write_step_tables(decision, state, seen)
    if not decision.acts:
        return None, readout
    told = DecidedBy(ROLLOUT, decision.reason, decision.numbers)
    done = deployment.change(spec, lambda present: next_release(present, state.generation, decision, now), told, now)
    return done, readout


def next_release(present: ReleaseState | None, generation: int, decision: StepDecision, now: datetime) -> Any:
    """The next release; nothing where somebody was quicker."""
    if present is None or present.generation != generation or present.frozen:
        return None
    match decision.action:
        case RolloutAction.ROLL_BACK:
            return withdraw_challenger(present, now)
        case RolloutAction.FREEZE:
            return freeze_release(present, True)
        case RolloutAction.ADVANCE:
            return change_share(present, decision.share, now)
        case _:
            return None
