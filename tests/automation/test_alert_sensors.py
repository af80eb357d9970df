"""The end of a run raises or resolves alerts of runs and gates: each once, with the link to the run."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from mlops_assets.automation.alerts import (
    alert_sensors,
    endpoint_sensor,
    run_failure_sensor,
    run_success_sensor,
    sending_sensor,
)
from mlops_assets.domain.alerts.alerting import AlertKind, NotificationKind
from mlops_assets.domain.names import MODEL_TAG
from mlops_assets.resources.alerts.outbox import Alerts
from mlops_assets.resources.alerts.prometheus import UNREACHABLE, Prometheus
from tests.resources.alerts.alert_sinks import Webhook

KEY = dg.AssetKey(["shop", "evaluation"])


class AlertedAsset:
    """One gated asset, whose outcome the test decides, and the alerts of its runs."""

    def __init__(self, tmp_path: Any, instance: dg.DagsterInstance) -> None:
        self.broken, self.gate, self.severity = False, True, dg.AssetCheckSeverity.ERROR
        self.instance = instance
        self.alerts = Alerts(folder=str(tmp_path), dagster_url="http://ui")
        world = self

        @dg.asset(key=KEY, check_specs=[dg.AssetCheckSpec("better", asset=KEY, blocking=True)])
        def evaluation() -> Any:
            if world.broken:
                raise ValueError("the disk is full")
            yield dg.MaterializeResult()
            yield dg.AssetCheckResult(
                passed=world.gate, severity=world.severity, description="The gain is 0.001, its lower bound -0.01."
            )

        job = dg.define_asset_job("shop_train", selection=[KEY], tags={MODEL_TAG: "shop"})
        self.definitions = dg.Definitions(
            assets=[evaluation], jobs=[job], sensors=alert_sensors(),
            resources={"alerts": self.alerts, "prometheus": Prometheus()},
        )  # fmt: skip

    def run(self, job: str = "shop_train", again: bool = False) -> list[NotificationKind]:
        """Run the job, tick the sensor (twice if `again`), and return the notifications that this made."""
        definition = (
            self.definitions.resolve_job_def(job)
            if job == "shop_train"
            else self.definitions.resolve_implicit_global_asset_job_def()
        )
        selection = None if job == "shop_train" else [KEY]
        result = definition.execute_in_process(instance=self.instance, raise_on_error=False, asset_selection=selection)
        before = self.alerts.read_state().next_number
        for _ in range(1 + again):
            self.tick_sensor(result)
        return [notification.kind for notification in self.alerts.read_state().outbox if notification.number >= before]

    def tick_sensor(self, result: dg.ExecuteInProcessResult) -> None:
        sensor: Callable[..., Any] = run_success_sensor() if result.success else run_failure_sensor()
        context = dg.build_run_status_sensor_context(
            sensor_name="any",
            dagster_event=result.get_run_success_event() if result.success else result.get_run_failure_event(),
            dagster_instance=self.instance,
            dagster_run=result.dagster_run,
            resources={"alerts": self.alerts},
        )
        sensor(context if result.success else context.for_run_failure())


@pytest.fixture
def world(tmp_path) -> Any:
    with dg.DagsterInstance.ephemeral() as instance:
        yield AlertedAsset(tmp_path, instance)


@pytest.mark.parametrize("job", ["shop_train", "by hand"])
def test_a_failed_run_alerts_once_until_a_later_success(world, job):
    world.broken = True
    assert world.run(job, again=True) == [NotificationKind.OPENED]
    (known,) = world.alerts.list_open()
    assert known.alert.kind is AlertKind.RUN_FAILED
    assert (known.alert.model, known.alert.key) == ("shop", "shop_train" if job == "shop_train" else "shop/evaluation")
    assert "the disk is full" in known.alert.cause
    assert known.alert.link.startswith("http://ui/runs/")
    assert world.run(job) == []  # fails again: it is open already
    world.broken = False
    assert world.run(job, again=True) == [NotificationKind.RESOLVED]
    assert world.alerts.list_open() == ()


def test_a_gate_that_holds_a_candidate_back_is_no_broken_run(world):
    world.gate = False
    assert world.run(again=True) == [NotificationKind.OPENED]
    (known,) = world.alerts.list_open()
    assert known.alert.kind is AlertKind.GATE_FAILED
    assert (known.alert.model, known.alert.key) == ("shop", "shop/evaluation")
    assert "better: The gain is 0.001" in known.alert.cause
    assert known.alert.numbers == {"failed": 1, "gates": 1}
    world.gate = True
    assert world.run() == [NotificationKind.RESOLVED]


def test_a_check_that_only_warns_is_no_alert(world):
    world.gate, world.severity = False, dg.AssetCheckSeverity.WARN
    assert world.run() == []


def test_a_success_that_came_before_the_failure_does_not_end_it(world):
    first = world.definitions.resolve_job_def("shop_train").execute_in_process(instance=world.instance)
    world.broken = True
    assert world.run() == [NotificationKind.OPENED]
    world.tick_sensor(first)  # its sensor is late
    assert len(world.alerts.list_open()) == 1


def tick(sensor: dg.SensorDefinition, **resources: Any) -> str:
    """Evaluate the sensor once; return its skip reason."""
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance=instance, resources=resources)
        return sensor.evaluate_tick(context).skip_message or ""


def test_what_waits_is_sent_by_the_sensor(world, tmp_path):
    world.broken = True
    world.run()
    with Webhook() as webhook:
        sending = Alerts(folder=world.alerts.folder, destinations=webhook.url)
        assert tick(sending_sensor(), alerts=sending) == "1 sent, 0 wait."
    assert webhook.titles == ["[critical] shop: run failed: shop_train"]


def test_a_dead_destination_is_reported_and_fails_no_tick(world):
    world.broken = True
    world.run()
    sending = Alerts(folder=world.alerts.folder, destinations="json://127.0.0.1:1/s3cr3t")
    reason = tick(sending_sensor(), alerts=sending)
    assert reason.startswith("0 sent, 1 wait. json-")
    assert "s3cr3t" not in reason


def test_prometheus_is_read_where_one_is_configured(tmp_path):
    alerts = Alerts(folder=str(tmp_path))
    assert "MLOPS_PROMETHEUS_URL" in tick(endpoint_sensor(), alerts=alerts, prometheus=Prometheus())
    assert (
        tick(endpoint_sensor(), alerts=alerts, prometheus=Prometheus(url="http://127.0.0.1:1"))
        == "New notifications: 1."
    )
    assert [known.alert.key for known in alerts.list_open()] == [UNREACHABLE]


def test_all_sensors_run_from_the_start_and_bind(world):
    sensors = world.definitions.get_repository_def().sensor_defs
    assert {sensor.name for sensor in sensors} == {
        "alert_run_failed", "alert_run_succeeded", "alert_endpoint", "alerts_out",
    }  # fmt: skip
    assert {sensor.default_status for sensor in sensors} == {dg.DefaultSensorStatus.RUNNING}
