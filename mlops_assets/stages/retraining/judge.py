"""Judges whether a model is trained again, with what the policy costs when nothing changes. Reads only the profile."""

from datetime import datetime
from statistics import median

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.retraining.decision import decide
from mlops_assets.domain.retraining.false_alarms import expected_false_retrains
from mlops_assets.domain.retraining.records import DecisionRecord
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.stages.retraining.collect import RetrainInputs

_SEED = 0
_RECENT = 7  # days whose median size is that of a simulated window


def judge_retraining(spec: ModelSpec, inputs: RetrainInputs, bundles: Bundles, *, now: datetime) -> DecisionRecord:
    """The decision with everything that led to it."""
    return DecisionRecord(
        decision=decide(inputs.policy, inputs.evidence, now),
        evidence=inputs.evidence,
        switched_off=inputs.switched_off,
        touched=inputs.drift[-1].touched if inputs.drift else (),
        false_retrains=_forecast_false_retrains(spec, inputs, bundles),
        made_at=now,
        policy=inputs.policy,
    )


def _forecast_false_retrains(spec: ModelSpec, inputs: RetrainInputs, bundles: Bundles) -> str:
    """Simulated from the champion's profile at the present size of a day."""
    if inputs.champion is None or not inputs.drift:
        return "not known: no day of this champion was watched yet"
    rows, policy = int(median(day.rows for day in inputs.drift[-_RECENT:])), spec.monitoring.drift
    try:
        profile = bundles.open(inputs.champion.bundle).profile
        judged = any(day.since_promotion for day in inputs.performance)
        return str(expected_false_retrains(policy, profile, rows, _SEED, watches_quality=judged))
    except (FileNotFoundError, ValueError) as err:
        return f"not known: {err}"
