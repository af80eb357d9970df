"""Looks at the step of a rollout that is under way and asks for the run that takes the next one. Decides by `readout`.

The run judges again with the same code, so that what it does stands on what it saw itself.
"""

from datetime import UTC, datetime
from typing import Any

import dagster as dg

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import CAUSE_TAG, MODEL_TAG
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.lake.tables import Lake
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.resources.registry.ledger import LedgerBrokenError
from mlops_assets.resources.release.deployment import Deployment
from mlops_assets.resources.traffic.endpoint_log import Traffic

_INTERVAL = 30  # seconds
_TRIES = 3  # runs for one cause
_UNREADABLE = (OSError, LedgerBrokenError, ValueError, LookupError)


def rollout_sensor(spec: ModelSpec, step_job: Any) -> dg.SensorDefinition:
    """Asks once for each step that is due. `step_job` carries it out."""

    @dg.sensor(
        name=f"{spec.model}_rollout",
        job_name=step_job.name,
        minimum_interval_seconds=_INTERVAL,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Judges the present step of {spec.model}'s rollout on what was logged; asks for the next one.",
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
            found = look(spec, deployment, traffic, bundles, lake, clock)
        except _UNREADABLE as err:
            return dg.SkipReason(f"The step cannot be judged: {type(err).__name__}: {err}")
        return found if isinstance(found, dg.SkipReason) else again(found, context.instance)

    return sensor


def look(
    spec: ModelSpec, deployment: Deployment, traffic: Traffic, bundles: Bundles, lake: Lake, clock: Clock
) -> dg.RunRequest | dg.SkipReason:
    """One look: the run that is due, or why none is."""
    from mlops_assets.domain.release.step_decision import decide_step, nothing_to_decide
    from mlops_assets.domain.release.step_report import told
    from mlops_assets.stages.release.collect import observe

    state = deployment.state(spec.model)
    if state is None:
        return dg.SkipReason(f"{spec.model} has no release yet.")
    if deployment.behind(state):  # asked for anew each minute, as a file may be lost again
        return _asked(spec, state.generation, f"catch_up:{datetime.now(UTC):%Y%m%dT%H%M}")
    if reason := nothing_to_decide(state):
        return dg.SkipReason(reason)
    seen = observe(spec, state, traffic, bundles, now=clock.now(spec), lake=lake)
    decision = decide_step(spec.rollout, state, seen)
    if not decision.acts:
        return dg.SkipReason(told(decision, state, seen))
    return _asked(spec, state.generation, decision.action.value)


def _asked(spec: ModelSpec, generation: int, what: str) -> dg.RunRequest:
    cause = run_key(spec.model, generation, what)
    config = {"ops": {step_op_name(spec.model): {"config": {"generation": generation}}}}
    return dg.RunRequest(run_key=cause, run_config=config, tags={MODEL_TAG: spec.model, CAUSE_TAG: cause})


def step_op_name(model: str) -> str:
    """The one op of the job that carries a step out; it is told which generation was judged."""
    return f"{model}_stepping"


def run_key(model: str, generation: int, action: str) -> str:
    """The cause: one step of one generation is taken once, however often it is found due."""
    return f"rollout:{model}:{generation}:{action}"


def again(request: dg.RunRequest, instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    """A step whose run failed is asked for again, a few times: a version that must go has to go."""
    cause = str(request.run_key)
    filters = dg.RunsFilter(tags={CAUSE_TAG: cause}, statuses=[dg.DagsterRunStatus.FAILURE])
    failures = instance.get_runs_count(filters)
    if failures >= _TRIES:
        return dg.SkipReason(f"{cause} is due, but its run failed {failures} times: see why, then launch it by hand.")
    return request._replace(run_key=f"{cause}:again:{failures}") if failures else request
