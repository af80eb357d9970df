"""What is asked for without a person, tick by tick, on Dagster's own evaluator."""

import dagster as dg
import pytest

from mlops_assets.automation.conditions import automated, automation_sensor, upstream_updated_and_passed
from mlops_assets.domain.names import TRAINING_TAG, Stage
from mlops_assets.stages.common import asset_key
from tests.kit.specs import model_spec


def chain(condition: dg.AutomationCondition, passes: bool) -> list[dg.AssetsDefinition]:
    """An asset with a blocking check, and one that follows it by `condition`."""

    @dg.asset(check_specs=[dg.AssetCheckSpec("gate", asset="judged", blocking=True)])
    def judged() -> dg.MaterializeResult:
        return dg.MaterializeResult(check_results=[dg.AssetCheckResult(check_name="gate", passed=passes)])

    @dg.asset(deps=[judged], automation_condition=condition)
    def follows() -> None: ...

    return [judged, follows]


@pytest.mark.parametrize(
    ("condition", "passes", "asked"),
    [
        (upstream_updated_and_passed(), True, 1),
        (upstream_updated_and_passed(), False, 0),
        (dg.AutomationCondition.eager(), True, 1),
        (dg.AutomationCondition.eager(), False, 1),  # why news alone is not enough
    ],
)
def test_news_that_failed_a_blocking_check_starts_nothing(condition, passes, asked):
    assets, instance = chain(condition, passes), dg.DagsterInstance.ephemeral()
    first = dg.evaluate_automation_conditions(assets, instance)
    assert first.total_requested == 0
    dg.materialize(assets[:1], instance=instance, raise_on_error=False)
    second = dg.evaluate_automation_conditions(assets, instance, cursor=first.cursor)
    assert second.get_num_requested(dg.AssetKey("follows")) == asked
    third = dg.evaluate_automation_conditions(assets, instance, cursor=second.cursor)
    assert third.total_requested == 0  # asked for once


def test_a_check_that_passes_later_lets_it_go_on():
    condition, instance = upstream_updated_and_passed(), dg.DagsterInstance.ephemeral()
    first = dg.evaluate_automation_conditions(chain(condition, False), instance)
    dg.materialize(chain(condition, False)[:1], instance=instance, raise_on_error=False)
    failed = dg.evaluate_automation_conditions(chain(condition, False), instance, cursor=first.cursor)
    dg.materialize(chain(condition, True)[:1], instance=instance)
    mended = dg.evaluate_automation_conditions(chain(condition, True), instance, cursor=failed.cursor)
    assert (failed.total_requested, mended.total_requested) == (0, 1)


@pytest.mark.parametrize("stage", list(Stage))
def test_each_stage_follows_its_inputs_save_where_a_run_begins(stage):
    condition = automated(dg.AssetSpec(asset_key("m", stage))).automation_condition
    watching = (Stage.PREDICTIONS, Stage.PERFORMANCE, Stage.DRIFT_REPORT, Stage.RETRAIN_DECISION)
    launched = stage in (Stage.RAW_DATA, Stage.TRAINING_SET, Stage.BATCH_PREDICTIONS, *watching)
    assert (condition.get_label() if condition else None) == (None if launched else "upstream_updated_and_passed")


def test_each_model_has_one_running_automation_sensor():
    sensor = automation_sensor(model_spec(model="m"))
    assert (sensor.name, sensor.default_status) == ("m_automation", dg.DefaultSensorStatus.RUNNING)
    assert sensor.run_tags[TRAINING_TAG] == "m"
