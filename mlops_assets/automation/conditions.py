"""When an asset is run without a person. Each condition has a name that says what it waits for."""

import dagster as dg

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import MODEL_TAG, TRAINING_TAG, Stage


def upstream_updated_and_passed() -> dg.AutomationCondition:
    """New input, and no blocking check of any input failed.

    Without the second half a candidate that failed a gate would be registered by the next tick.
    """
    condition = dg.AutomationCondition.eager() & dg.AutomationCondition.all_deps_blocking_checks_passed()
    return condition.with_label("upstream_updated_and_passed")


_LAUNCHED_OTHERWISE = (
    Stage.RAW_DATA,
    Stage.TRAINING_SET,
    Stage.BATCH_PREDICTIONS,
    Stage.PREDICTIONS,
    Stage.PERFORMANCE,
    Stage.DRIFT_REPORT,
    Stage.RETRAIN_DECISION,
)  # by a job, a schedule or a sensor, never because something is new


def automated(spec: dg.AssetSpec) -> dg.AssetSpec:
    """The asset with the condition of its stage."""
    if spec.key.path[-1] in _LAUNCHED_OTHERWISE:
        return spec
    return spec.replace_attributes(automation_condition=upstream_updated_and_passed())


def automation_sensor(spec: ModelSpec) -> dg.AutomationConditionSensorDefinition:
    """Evaluates the conditions of a model's assets. Its runs take their turn with the model's trainings."""
    return dg.AutomationConditionSensorDefinition(
        name=f"{spec.model}_automation",
        target=dg.AssetSelection.groups(spec.model),
        default_status=dg.DefaultSensorStatus.RUNNING,
        run_tags={MODEL_TAG: spec.model, TRAINING_TAG: spec.model},
        description="Runs a stage when its inputs are new and passed their checks.",
    )
