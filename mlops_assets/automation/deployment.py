"""What a person, or the rollout's sensor, does to a release: jobs with typed configuration, launched from the UI.

Each makes a materialisation of `deployed_endpoint` and a ledger entry that says who, why and on what numbers.
"""

from collections.abc import Callable
from typing import Any, Literal

import dagster as dg
from pydantic import Field

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.declaration.release import Strategy
from mlops_assets.domain.names import MODEL_TAG
from mlops_assets.domain.partitions import moment
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.lake.tables import Lake
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.resources.registry.ledger import Ledger
from mlops_assets.resources.release.deployment import Deployment
from mlops_assets.resources.release.tools import ReleaseTools
from mlops_assets.resources.traffic.endpoint_log import Traffic
from mlops_assets.stages.release import start as release

_AS_DECLARED = "as declared"


class Decided(dg.Config):
    """What a person says when deciding. It stands in the ledger and cannot be changed afterwards."""

    approver: str = Field(min_length=1, description="Who decides.")
    reason: str = Field(min_length=1, description="Why.")


class Release(Decided):
    version: str = Field(default="", description="Number in the registry. Default: the present challenger.")
    strategy: Literal["as declared", "blue_green", "canary", "shadow", "ab_test", "epsilon_greedy", "thompson"] = Field(
        default=_AS_DECLARED, description="How it gets its traffic. Default: as the model's YAML says."
    )


class Promote(Decided):
    version: str = Field(default="", description="Number in the registry. Default: the present challenger.")


class Rollback(Decided):
    version: str = Field(
        default="", description="An earlier champion. Default: a version on trial is withdrawn, else the one before."
    )
    entry: int = Field(default=0, ge=0, description="A ledger entry whose champion shall answer again, instead.")


class Freeze(Decided):
    frozen: bool = Field(default=True, description="true: the shares stay until a person says otherwise. false: go on.")


class Question(dg.Config):
    moment: str = Field(default="", description="ISO time in the model's own time; without a zone UTC. Default: now.")
    request: str = Field(default="", description="The id that came with an answer, instead of a moment.")


class Step(dg.Config):
    generation: int = Field(default=0, description="The generation that was judged; 0: the one in force.")


def deployment_jobs(spec: ModelSpec) -> dict[str, dg.JobDefinition]:
    """By name without the model's: release, promote, rollback, freeze, who_served, rollout_step."""
    made = [_release(spec), _promote(spec), _rollback(spec), _freeze(spec), _who_served(spec), _step(spec)]
    return {job.name.removeprefix(f"{spec.model}_"): job for job in made}


def _release(spec: ModelSpec) -> dg.JobDefinition:
    @dg.op(name=f"{spec.model}_releasing", description="Tries the version's Bento and gives it traffic.")
    def op(context: dg.OpExecutionContext, config: Release, release_tools: ReleaseTools) -> None:
        declared = config.strategy == _AS_DECLARED
        strategy = spec.rollout.strategy if declared else Strategy(config.strategy)
        _begun(context, spec, config, config.version, strategy, release_tools)

    return _job(spec, "release", op, "Gives a registered version its traffic, as declared or by another strategy.")


def _promote(spec: ModelSpec) -> dg.JobDefinition:
    @dg.op(name=f"{spec.model}_promotion", description="Tries the version's Bento and makes it the champion.")
    def op(context: dg.OpExecutionContext, config: Promote, release_tools: ReleaseTools) -> None:
        _begun(context, spec, config, config.version, Strategy.BLUE_GREEN, release_tools)

    return _job(spec, "promote", op, "Makes a version the champion with all the traffic, whatever the rollout says.")


def _begun(
    context: dg.OpExecutionContext,
    spec: ModelSpec,
    decided: Decided,
    number: str,
    strategy: Strategy,
    tools: ReleaseTools,
) -> None:
    from mlops_assets.resources.release.deployment import Told

    number = number or tools.deployment.challenger(spec.model) or ""
    if not number:
        raise dg.Failure(f"{spec.model} has no challenger: name the version to release.", allow_retries=False)
    version = tools.deployment.version(spec.model, number)
    proof = release.tried(spec, version, tools)
    release.refuse(spec, version, proof.verdicts)
    told = Told(decided.approver, decided.reason, proof.numbers)
    done = release.begin(spec, version, proof, strategy, told, tools)
    context.log_event(release.materialization(spec, done, proof))


def _rollback(spec: ModelSpec) -> dg.JobDefinition:
    @dg.op(name=f"{spec.model}_going_back", description="Takes traffic back in one action.")
    def op(
        context: dg.OpExecutionContext, config: Rollback, bundles: Bundles, deployment: Deployment, clock: Clock
    ) -> None:
        from mlops_assets.domain.release import next_release as releasing
        from mlops_assets.resources.release.deployment import Told

        now = clock.now(spec)

        def plan(state: Any) -> Any:
            if state is None:
                raise releasing.NotPossible(f"{spec.model} was never released: there is nothing to go back to")
            if state.challenger is not None and not config.version and not config.entry:
                return releasing.withdraw(state, now)
            target = deployment.earlier(spec.model, entry=config.entry, number=config.version)
            bundles.open(target.bundle)  # what is gone answers nobody
            return releasing.go_back(state, target, now)

        done = deployment.change(spec, plan, Told(config.approver, config.reason, {}), now)
        _tell(context, spec, done)

    return _job(
        spec, "rollback", op, "Withdraws the version on trial, or brings back an earlier champion or ledger entry."
    )


def _freeze(spec: ModelSpec) -> dg.JobDefinition:
    @dg.op(name=f"{spec.model}_freezing", description="Stops or lets go on what the rollout does by itself.")
    def op(context: dg.OpExecutionContext, config: Freeze, deployment: Deployment, clock: Clock) -> None:
        from mlops_assets.domain.release import next_release as releasing
        from mlops_assets.resources.release.deployment import Told

        def plan(state: Any) -> Any:
            if state is None:
                raise releasing.NotPossible(f"{spec.model} was never released: there is nothing to freeze")
            return releasing.freeze(state, config.frozen)

        told = Told(config.approver, config.reason, {})
        _tell(context, spec, deployment.change(spec, plan, told, clock.now(spec)))

    return _job(spec, "freeze", op, "Leaves the shares as they are until a person says otherwise, or lets go on.")


def _who_served(spec: ModelSpec) -> dg.JobDefinition:
    @dg.op(name=f"{spec.model}_asking", description="Reads the ledger; the answer stands in the log and on the asset.")
    def op(context: dg.OpExecutionContext, config: Question, ledger: Ledger, clock: Clock) -> None:
        from mlops_assets.domain.release import served_by as answered_by

        entries = ledger.entries(spec.model)
        if config.request:
            state, arm, entry = answered_by.of_request(entries, config.request)
            told = [f"{config.request} was routed to {arm.name}, {arm.version} (version {arm.number})."]
        else:
            asked = moment(config.moment) if config.moment else clock.now(spec)
            found = answered_by.at(entries, asked)
            if found is None:
                raise dg.Failure(f"{spec.model}: nothing was released by {asked:%F %T %Z}.", allow_retries=False)
            (state, entry), told = found, []
        told += answered_by.lines(state, entry)
        context.log.info("\n".join(told))
        context.log_event(release.observation(spec, "who_served", "```\n" + "\n".join(told) + "\n```"))

    return _job(spec, "who_served", op, "Tells which versions answered at a moment, or one request by its id.")


def _step(spec: ModelSpec) -> dg.JobDefinition:
    @dg.op(name=f"{spec.model}_stepping", description="Judges the rollout's step anew and does what follows.")
    def op(
        context: dg.OpExecutionContext,
        config: Step,
        bundles: Bundles,
        traffic: Traffic,
        lake: Lake,
        deployment: Deployment,
        clock: Clock,
    ) -> None:
        from mlops_assets.stages.release.step import take

        done, seen = take(spec, config.generation, bundles, traffic, lake, deployment, clock.now(spec))
        if done is None:
            context.log.info(seen)
            context.log_event(release.observation(spec, "readout", seen))
        else:
            _tell(context, spec, done, readout=seen)

    return _job(
        spec,
        "rollout_step",
        op,
        "Judges the step and does what follows; the sensor launches it, a person may, to read the evidence.",
    )


def _tell(context: dg.OpExecutionContext, spec: ModelSpec, done: Any, readout: str = "") -> None:
    if not done.changed:
        context.log.info(f"{spec.model}: generation {done.state.generation} stands as asked; nothing was changed.")
        return
    context.log_event(release.materialization(spec, done, readout=readout))


def _job(spec: ModelSpec, what: str, op: Callable[..., Any], told: str) -> dg.JobDefinition:
    @dg.job(name=f"{spec.model}_{what}", description=told, tags={MODEL_TAG: spec.model})
    def job() -> None:
        op()

    return job
