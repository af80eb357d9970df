"""Judges the present step of a rollout and requests the run that takes the next one.

The run judges again with the same code, so that it acts on evidence that it read itself.
"""

from datetime import UTC, datetime
from typing import Any

import dagster as dg

from mlops_assets.automation.release_jobs import step_op_name
from mlops_assets.automation.run_requests import UNREADABLE, op_config, request_run, retry_failed, skip_unreadable
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.resources.release.deployment import Deployment
from mlops_assets.resources.traffic.endpoint_log import Traffic

_INTERVAL = 30  # seconds


def rollout_sensor(spec: ModelSpec, step_job: Any) -> dg.SensorDefinition:
    """Requests each step that is due once. `step_job` carries it out."""

    @dg.sensor(
        name=f"{spec.model}_rollout",
        job_name=step_job.name,
        minimum_interval_seconds=_INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Judges the present step of {spec.model}'s rollout on its log, and requests the next one.",
    )
    def sensor(
        context: dg.SensorEvaluationContext,
        deployment: Deployment,
        traffic: Traffic,
        bundles: Bundles,
        lake: Lake,
        clock: Clock,
    ) -> dg.RunRequest | dg.SkipReason:
        try:
            request = request_step(spec, deployment, traffic, bundles, lake=lake, now=clock.now(spec))
        except UNREADABLE as err:
            return skip_unreadable("The step cannot be judged", err)
        return request if isinstance(request, dg.SkipReason) else retry_failed(request, context.instance)

    return sensor


def request_step(
    spec: ModelSpec, deployment: Deployment, traffic: Traffic, bundles: Bundles, *, lake: Lake, now: datetime
) -> dg.RunRequest | dg.SkipReason:
    """The run that is due, or why none is."""
    from mlops_assets.domain.release.step_decision import decide_step, nothing_to_decide
    from mlops_assets.domain.release.step_report import write_step_report
    from mlops_assets.stages.release.collect import read_rollout_evidence

    state = deployment.state(spec.model)
    if state is None:
        return dg.SkipReason(f"{spec.model} has no release yet.")
    if deployment.behind(state):  # requested anew each minute, as a file may be lost again
        return _run_for(spec, state.generation, f"catch_up:{datetime.now(UTC):%Y%m%dT%H%M}")
    if reason := nothing_to_decide(state):
        return dg.SkipReason(reason)
    evidence = read_rollout_evidence(spec, state, traffic, bundles, now=now, lake=lake)
    decision = decide_step(spec.rollout, state, evidence)
    if not decision.acts:
        return dg.SkipReason(write_step_report(decision, state, evidence))
    return _run_for(spec, state.generation, decision.action.value)


def _run_for(spec: ModelSpec, generation: int, action: str) -> dg.RunRequest:
    """One run for one step of one generation, however often it is found due."""
    config = op_config(step_op_name(spec.model), generation=generation)
    return request_run(spec.model, f"rollout:{spec.model}:{generation}:{action}", config)
