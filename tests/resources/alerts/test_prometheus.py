"""Firing alerts of Prometheus become alerts of the pipeline, and end with them."""

from datetime import UTC, datetime, timedelta

from mlops_assets.domain.alerts.alerting import Alert, NotificationKind
from mlops_assets.resources.alerts.outbox import Alerts
from mlops_assets.resources.alerts.prometheus import (
    UNREACHABLE,
    Prometheus,
    parse_alert,
    report_unreachable,
    resolve_ended,
)
from tests.resources.alerts.alert_sinks import Webhook

T0 = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
FIRING = {
    "labels": {"alertname": "EndpointCircuitOpen", "severity": "warning", "model": "delay", "arm": "canary"},
    "annotations": {
        "summary": "It fails.",
        "action": "Roll back.",
        "runbook_url": "infra/docs/runbook.md#circuit-open",
    },
    "state": "firing",
    "value": "1e+00",
}


def test_an_alert_of_prometheus_is_copied_and_ends(tmp_path):
    made = Alerts(folder=str(tmp_path / "alerts"))
    found = parse_alert(FIRING, "http://p/alerts", T0)
    assert (found.key, found.model, found.runbook, found.numbers) == (
        "EndpointCircuitOpen (arm=canary)", "delay", "circuit-open", {"value": 1.0},
    )  # fmt: skip
    assert [n.kind for n in made.record_events(found, now=T0)] == [NotificationKind.OPENED]
    assert list(resolve_ended([found], made.list_open(), T0 + HOUR)) == []
    assert list(resolve_ended([report_unreachable("timeout", T0)], made.list_open(), T0 + HOUR)) == []  # nobody knows
    (resolved,) = resolve_ended([], made.list_open(), T0 + HOUR)
    assert [n.kind for n in made.record_events(resolved, now=T0 + HOUR)] == [NotificationKind.RESOLVED]


def test_prometheus_that_answers_nonsense_is_an_alert(tmp_path):
    with Webhook() as other:  # answers GET with 501
        url = "http://" + other.url.removeprefix("json://").partition("/")[0]
        (found,) = Prometheus(url=url).read_events([], now=T0)
    assert isinstance(found, Alert)
    assert found.key == UNREACHABLE
