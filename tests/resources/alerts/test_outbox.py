"""Alerts reach real destinations: a webhook, a mail server, one that hangs, one that refuses, one that is absent."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_string
from pathlib import Path

import dagster as dg
import pytest
from filelock import FileLock

from mlops_assets.defs.resources import resources
from mlops_assets.domain.alerts.alerting import Alert, AlertKind, AlertResolution, Severity
from mlops_assets.resources.alerts.outbox import Alerts, AlertStateError
from tests.conftest import PROJECT
from tests.resources.alerts.alert_sinks import Mailbox, Webhook

T0 = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOWHERE = "json://127.0.0.1:1/s3cr3t"


class Clock:
    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with Webhook() as server:
        yield server


def alert(key: str = "shop_train", at: datetime = T0) -> Alert:
    return Alert(
        AlertKind.RUN_FAILED, "shop", key, Severity.CRITICAL, "The disk is full.", "Free some.", at, link="http://ui/1"
    )


def resolution(at: datetime) -> AlertResolution:
    return AlertResolution(AlertKind.RUN_FAILED, "shop", "shop_train", "A later run succeeded.", at)


def alerts(tmp_path: Path, *urls: str, **settings: float) -> Alerts:
    return Alerts(folder=str(tmp_path / "alerts"), destinations=" ".join(urls), **settings)  # type: ignore[arg-type]


def test_an_alert_and_its_end_arrive_once(tmp_path, webhook, clock):
    made = alerts(tmp_path, webhook.url)
    made.record_events(alert(), now=T0)
    made.record_events(alert(), now=T0)
    assert made.send_waiting(clock=clock).sent == 1
    assert made.send_waiting(clock=clock).sent == 0
    made.record_events(resolution(T0 + HOUR), now=T0 + HOUR)
    assert made.send_waiting(clock=clock).waiting == 0
    assert webhook.titles == ["[critical] shop: run failed: shop_train", "[resolved] shop: run failed: shop_train"]
    assert [message["type"] for message in webhook.got] == ["failure", "success"]
    assert "Next step: Free some." in webhook.got[0]["message"]
    assert "http://ui/1" in webhook.got[0]["message"]
    assert made.list_open() == ()


def test_a_mail_arrives(tmp_path, clock):
    with Mailbox() as mailbox:
        made = alerts(tmp_path, mailbox.url)
        made.record_events(alert(), now=T0)
        assert made.send_waiting(clock=clock).problems == {}
    (mail,) = (message_from_string(text) for text in mailbox.got)
    assert mail["Subject"] == "[critical] shop: run failed: shop_train"
    assert mail["To"] == "oncall@example.org"
    assert "The disk is full." in mail.as_string()


def test_an_absent_destination_keeps_its_notifications(tmp_path, webhook, clock):
    made = alerts(tmp_path, NOWHERE, webhook.url)
    made.record_events(alert(), now=T0)
    done = made.send_waiting(clock=clock)
    assert (done.sent, done.waiting, len(webhook.got)) == (1, 1, 1)
    (name,) = done.problems
    assert name.startswith("json-")
    clock.now += HOUR
    again = made.send_waiting(clock=clock)
    assert (again.sent, again.waiting, len(webhook.got)) == (0, 1, 1)


def test_what_a_destination_refused_comes_later_and_in_order(tmp_path, webhook, clock):
    made = alerts(tmp_path, webhook.url)
    webhook.status = 500
    made.record_events(alert(), now=T0)
    assert "500" in next(iter(made.send_waiting(clock=clock).problems.values()))
    made.record_events(resolution(T0 + HOUR), now=T0)
    webhook.status = 200
    assert made.send_waiting(clock=clock).sent == 0  # not yet: it is left alone for a minute
    clock.now += timedelta(minutes=2)
    assert made.send_waiting(clock=clock).problems == {}
    assert [title.split("]")[0] for title in webhook.titles] == ["[critical", "[resolved"]


def test_a_hanging_destination_times_out_alone(tmp_path, webhook, clock):
    with Webhook() as slow:
        slow.hold = 3.0
        made = alerts(tmp_path, slow.url.replace("rto=1", "rto=30"), webhook.url, seconds=0.5)
        began = time.monotonic()
        made.record_events(alert(), now=T0)
        assert time.monotonic() - began < 0.5  # whoever raises does not wait
        done = made.send_waiting(clock=clock)
        assert time.monotonic() - began < 2.5
    assert (done.sent, len(webhook.got), len(done.problems)) == (1, 1, 1)


def test_a_storm_is_sent_in_few_messages(tmp_path, webhook, clock):
    made = alerts(tmp_path, webhook.url, messages_an_hour=3)
    made.record_events(*(alert(f"job{i}") for i in range(40)), now=T0)
    assert made.send_waiting(clock=clock).waiting == 0
    assert webhook.titles[-1] == "38 alerts, too many to send one by one"
    assert len(webhook.got) == 3


def test_a_killed_sender_repeats_at_most_the_last_message(tmp_path, webhook, clock):
    """It dies after the second message was taken and before that was written down."""
    made = alerts(tmp_path, webhook.url)
    made.record_events(*(alert(f"job{i}") for i in range(3)), now=T0)
    code = f"""
import os
from datetime import UTC, datetime
from mlops_assets.resources.alerts import outbox
taken = []
def deliver(destination, message, *, seconds, real=outbox.deliver):
    problem = real(destination, message, seconds=seconds)
    taken.append(message)
    if len(taken) == 2:
        os._exit(9)
    return problem
outbox.deliver = deliver
made = outbox.Alerts(folder={made.folder!r}, destinations={made.destinations!r})
made.send_waiting(clock=lambda: datetime(2026, 1, 5, 8, tzinfo=UTC))
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, timeout=60, check=False).returncode == 9
    assert made.send_waiting(clock=clock).waiting == 0
    assert [title.rpartition(" ")[2] for title in webhook.titles] == ["job0", "job1", "job1", "job2"]


def test_processes_that_raise_at_once_lose_nothing(tmp_path):
    code = f"""
import sys
from datetime import UTC, datetime
from mlops_assets.domain.alerts.alerting import Alert, AlertKind, Severity
from mlops_assets.resources.alerts.outbox import Alerts
t = datetime(2026, 1, 5, 8, tzinfo=UTC)
for i in range(10):
    Alerts(folder={str(tmp_path)!r}).record_events(
        Alert(AlertKind.DRIFT, "m", f"{{sys.argv[1]}}-{{i}}", Severity.INFO, "c", "n", t), now=t)
"""
    started = [subprocess.Popen([sys.executable, "-c", code, str(number)], cwd=PROJECT) for number in range(3)]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    state = Alerts(folder=str(tmp_path)).read_state()
    assert len(state.open) == 30
    assert sorted(notice.number for notice in state.outbox) == list(range(1, 31))


def test_a_second_sender_steps_back(tmp_path, webhook, clock):
    made = alerts(tmp_path, webhook.url)
    made.record_events(alert(), now=T0)
    with FileLock(str(tmp_path / "alerts" / "sending.lock")):
        done = made.send_waiting(clock=clock)
    assert (done.busy, done.waiting, webhook.got) == (True, 1, [])


def test_without_destinations_alerts_stay_open(tmp_path, clock):
    made = alerts(tmp_path)
    made.record_events(alert(), now=T0)
    assert made.send_waiting(clock=clock).waiting == 0
    assert [each.alert.key for each in made.list_open()] == ["shop_train"]


def test_no_secret_is_stored_or_shown(tmp_path, clock, caplog, capfd):
    made = alerts(tmp_path, NOWHERE, "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/%23ops?cto=0.01&rto=0.01")
    made.record_events(alert(), now=T0)
    done = made.send_waiting(clock=clock)
    (kept,) = (path.read_text() for path in (tmp_path / "alerts").glob("*.json"))
    shown = " ".join([kept, repr(done), caplog.text, *capfd.readouterr()])
    assert len(done.problems) == 2
    assert [secret for secret in ("s3cr3t", "T1JJ3T3L2", "A1BRTD4JD", "TIiajkdn") if secret in shown] == []


def test_an_unreadable_state_names_the_remedy(tmp_path):
    (tmp_path / "alerts").mkdir()
    (tmp_path / "alerts" / "state.json").write_text("{")
    with pytest.raises(AlertStateError, match="move it away to begin anew"):
        alerts(tmp_path).record_events(alert(), now=T0)


def test_destinations_come_from_the_environment_and_stay_hidden(tmp_path, monkeypatch):
    built = resources({"MLOPS_HOME": str(tmp_path), "MLOPS_ALERTS": NOWHERE, "MLOPS_PROMETHEUS_URL": "http://p:9090"})
    assert built["alerts"].destinations == NOWHERE
    assert built["alerts"].folder == str(tmp_path / "alerts")
    assert built["prometheus"].url == "http://p:9090"
    monkeypatch.setenv("MLOPS_ALERTS", NOWHERE)
    real = resources()["alerts"]
    assert "s3cr3t" not in repr(real)
    assert real._read_urls() == NOWHERE
    urls: list[str] = []

    @dg.op
    def read_urls(alerts: Alerts) -> None:
        urls.append(alerts._read_urls())

    dg.GraphDefinition("g", node_defs=[read_urls]).execute_in_process(resources={"alerts": real})
    assert urls == [NOWHERE]


def test_the_file_of_the_state_keeps_its_keys(tmp_path, clock):
    made = alerts(tmp_path, NOWHERE)
    made.record_events(alert(), now=T0)
    made.send_waiting(clock=clock)
    content = json.loads((tmp_path / "alerts" / "state.json").read_text())
    assert list(content) == ["next_number", "dropped", "open", "resolved", "outbox", "destinations"]
    (opened,), (notification,), (history,) = (
        content["open"].values(),
        content["outbox"],
        content["destinations"].values(),
    )
    assert list(opened) == ["alert", "since", "told", "times"]
    assert list(notification) == ["number", "what", "alert", "cause", "at", "told"]
    assert list(history) == ["sent", "failures", "again", "problem"]
    assert len(made.read_state().outbox) == 1
