"""The jobs by which a person, or a sensor, changes a release; each has a typed configuration and starts from the UI.

Each makes a materialisation of `deployed_endpoint` and a ledger entry that says who, why and on what numbers.
"""

from collections.abc import Callable
from typing import Any, Literal

import dagster as dg
from pydantic import Field

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.declaration.values import moment
from mlops_assets.domain.names import MODEL_TAG
from mlops_assets.domain.release.next_release import ReleaseNotPossible, freeze_release, go_back, withdraw_challenger
from mlops_assets.domain.release.served_by import describe_release, find_release_at, find_release_of_request
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.resources.registry.ledger import Ledger
from mlops_assets.resources.release.deployment import DecidedBy, Deployment
from mlops_assets.resources.release.tools import ReleaseTools
from mlops_assets.resources.traffic.endpoint_log import Traffic
from mlops_assets.stages.release.start import demand_passed, materialization, observation, start_release, try_version
from serving.contract.arms import Strategy

_AS_DECLARED = "as declared"


class Approval(dg.Config):
    """Who decides, and why. The ledger keeps it; nobody can change it afterwards."""

    approver: str = Field(min_length=1, description="Who decides.")
    reason: str = Field(min_length=1, description="Why.")


class ReleaseConfig(Approval):
    version: str = Field(default="", description="Its number in the registry. Default: the present challenger.")
    strategy: Literal["as declared", "blue_green", "canary", "shadow", "ab_test", "epsilon_greedy", "thompson"] = Field(
        default=_AS_DECLARED, description="How it gets its traffic. Default: as the model's YAML declares."
    )


class PromoteConfig(Approval):
    version: str = Field(default="", description="Its number in the registry. Default: the present challenger.")


class RollbackConfig(Approval):
    version: str = Field(
        default="", description="An earlier champion. Default: a version on trial is withdrawn, else the one before."
    )
    entry: int = Field(default=0, ge=0, description="The ledger entry whose champion shall answer again.")


class FreezeConfig(Approval):
    frozen: bool = Field(
        default=True, description="true: keeps the shares until a person says otherwise. false: goes on."
    )


class WhoServedConfig(dg.Config):
    moment: str = Field(default="", description="An ISO time in the model's own time, by default UTC. Default: now.")
    request: str = Field(default="", description="The id that came with an answer, in place of a moment.")


class StepConfig(dg.Config):
    generation: int = Field(default=0, description="The generation that was judged. 0: the one in force.")


def step_op_name(model: str) -> str:
    return f"{model}_stepping"


def rollback_op_name(model: str) -> str:
    return f"{model}_going_back"


def release_jobs(spec: ModelSpec) -> dict[str, dg.JobDefinition]:
    """By name without the model's: release, promote, rollback, freeze, who_served, rollout_step."""
    jobs = [_release(spec), _promote(spec), _rollback(spec), _freeze(spec), _who_served(spec), _step(spec)]
    return {job.name.removeprefix(f"{spec.model}_"): job for job in jobs}


def _release(spec: ModelSpec) -> dg.JobDefinition:
    @dg.op(name=f"{spec.model}_releasing", description="Tries the version's Bento and gives it traffic.")
    def op(context: dg.OpExecutionContext, config: ReleaseConfig, release_tools: ReleaseTools) -> None:
        declared = config.strategy == _AS_DECLARED
        strategy = spec.rollout.strategy if declared else Strategy(config.strategy)
        _begin(context, spec, config, strategy=strategy, tools=release_tools)

    return _job(spec, "release", op, "Gives a registered version its traffic, as declared or by another strategy.")


def _promote(spec: ModelSpec) -> dg.JobDefinition:
    @dg.op(name=f"{spec.model}_promotion", description="Tries the version's Bento and makes it the champion.")
    def op(context: dg.OpExecutionContext, config: PromoteConfig, release_tools: ReleaseTools) -> None:
        _begin(context, spec, config, strategy=Strategy.BLUE_GREEN, tools=release_tools)

    return _job(spec, "promote", op, "Makes a version the champion with all the traffic, whatever the rollout says.")


def _begin(
    context: dg.OpExecutionContext,
    spec: ModelSpec,
    config: ReleaseConfig | PromoteConfig,
    *,
    strategy: Strategy,
    tools: ReleaseTools,
) -> None:
    number = config.version or tools.deployment.challenger(spec.model) or ""
    if not number:
        raise dg.Failure(f"{spec.model} has no challenger: name the version to release.", allow_retries=False)
    version = tools.deployment.version(spec.model, number)
    proof = try_version(spec, version, tools)
    demand_passed(spec, version, proof.verdicts, all_at_once=False)  # a person decided, and reads what is inconclusive
    by = DecidedBy(config.approver, config.reason, proof.numbers)
    done = start_release(spec, version, proof, strategy, told=by, tools=tools)
    context.log_event(materialization(spec, done, proof))


def _rollback(spec: ModelSpec) -> dg.JobDefinition:
    @dg.op(name=rollback_op_name(spec.model), description="Takes traffic back in one action.")
    def op(
        context: dg.OpExecutionContext, config: RollbackConfig, bundles: Bundles, deployment: Deployment, clock: Clock
    ) -> None:
        now = clock.now(spec)

        def plan(state: Any) -> Any:
            if state is None:
                raise ReleaseNotPossible(f"{spec.model} was never released: there is nothing to go back to")
            if state.challenger is not None and not config.version and not config.entry:
                return withdraw_challenger(state, now)
            target = deployment.earlier(spec.model, entry=config.entry, number=config.version)
            bundles.open(target.bundle)  # raises where the bundle is gone
            return go_back(state, target, now)

        done = deployment.change(spec, plan, DecidedBy(config.approver, config.reason, {}), now)
        _publish(context, spec, done)

    return _job(
        spec, "rollback", op, "Withdraws the version on trial, or brings back an earlier champion or ledger entry."
    )


def _freeze(spec: ModelSpec) -> dg.JobDefinition:
    @dg.op(name=f"{spec.model}_freezing", description="Stops the rollout's automatic steps, or lets them go on.")
    def op(context: dg.OpExecutionContext, config: FreezeConfig, deployment: Deployment, clock: Clock) -> None:
        def plan(state: Any) -> Any:
            if state is None:
                raise ReleaseNotPossible(f"{spec.model} was never released: there is nothing to freeze")
            return freeze_release(state, config.frozen)

        by = DecidedBy(config.approver, config.reason, {})
        _publish(context, spec, deployment.change(spec, plan, by, clock.now(spec)))

    return _job(spec, "freeze", op, "Keeps the shares until a person says otherwise, or lets the rollout go on.")


def _who_served(spec: ModelSpec) -> dg.JobDefinition:
    @dg.op(name=f"{spec.model}_asking", description="Reads the ledger; writes the answer to the log and to the asset.")
    def op(context: dg.OpExecutionContext, config: WhoServedConfig, ledger: Ledger, clock: Clock) -> None:
        entries = ledger.entries(spec.model)
        if config.request:
            state, arm, entry = find_release_of_request(entries, config.request)
            lines = [f"{config.request} was routed to {arm.name}, {arm.version} (version {arm.number})."]
        else:
            when = moment(config.moment) if config.moment else clock.now(spec)
            release = find_release_at(entries, when)
            if release is None:
                raise dg.Failure(f"{spec.model}: nothing was released by {when:%F %T %Z}.", allow_retries=False)
            (state, entry), lines = release, []
        lines += describe_release(state, entry)
        context.log.info("\n".join(lines))
        context.log_event(observation(spec, "who_served", "```\n" + "\n".join(lines) + "\n```"))

    return _job(spec, "who_served", op, "Says which versions answered at a moment, or which one answered a request.")


def _step(spec: ModelSpec) -> dg.JobDefinition:
    @dg.op(name=step_op_name(spec.model), description="Judges the rollout's step anew and acts on the verdict.")
    def op(
        context: dg.OpExecutionContext,
        config: StepConfig,
        bundles: Bundles,
        traffic: Traffic,
        lake: Lake,
        deployment: Deployment,
        clock: Clock,
    ) -> None:
        from mlops_assets.stages.release.step import take_step

        done, readout = take_step(
            spec, config.generation, bundles, traffic, lake=lake, deployment=deployment, now=clock.now(spec)
        )
        if done is None:
            context.log.info(readout)
            context.log_event(observation(spec, "readout", readout))
        else:
            _publish(context, spec, done, readout=readout)

    return _job(
        spec,
        "rollout_step",
        op,
        "Judges the step and acts on the verdict. The sensor launches it; a person may, to read the evidence.",
    )


def _publish(context: dg.OpExecutionContext, spec: ModelSpec, done: Any, readout: str = "") -> None:
    if not done.changed:
        context.log.info(f"{spec.model}: generation {done.state.generation} is as requested; nothing was changed.")
        return
    context.log_event(materialization(spec, done, readout=readout))


def _job(spec: ModelSpec, name: str, op: Callable[..., Any], text: str) -> dg.JobDefinition:
    @dg.job(name=f"{spec.model}_{name}", description=text, tags={MODEL_TAG: spec.model})
    def job() -> None:
        op()

    return job
