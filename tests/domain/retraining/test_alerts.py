"""What is expected to people: what opens, what ends, and what changes nothing."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlops_assets.domain.alerts.alerting import Alert, AlertKind, AlertResolution, Severity
from mlops_assets.domain.registry.ledger import Entry, LedgerAction
from mlops_assets.domain.retraining.alerts import age_alerts, decision_alerts, ledger_alerts, training_alert
from mlops_assets.domain.retraining.decision import decide
from mlops_assets.domain.retraining.records import DecisionRecord
from mlops_assets.domain.verdict import Outcome
from tests.kit.samples import sample
from tests.kit.watching import NOW, RETRAIN, evidence, verdict

AT = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def events(**changes: Any) -> dict[tuple[str, str], type]:
    """(kind, key) → whether it opens or ends."""
    inputs = evidence(**changes)
    record = DecisionRecord(decide(RETRAIN, inputs, NOW), inputs, (), (), "", NOW)
    return {(each.kind, each.key): type(each) for each in decision_alerts(RETRAIN, record, at=AT, link="here")}


@pytest.mark.parametrize(
    ("changes", "key", "expected"),
    [
        ({"drift": verdict(Outcome.FAIL)}, (AlertKind.DRIFT, "live rows"), Alert),
        ({"drift": verdict(Outcome.PASS)}, (AlertKind.DRIFT, "live rows"), AlertResolution),
        ({"drift": verdict(Outcome.INCONCLUSIVE)}, (AlertKind.DRIFT, "live rows"), None),
        ({"drift": None}, (AlertKind.DRIFT, "live rows"), None),
        ({"realised": verdict(Outcome.FAIL)}, (AlertKind.QUALITY, "realised"), Alert),
        ({"estimated": verdict(Outcome.FAIL)}, (AlertKind.QUALITY, "estimated"), Alert),
        ({"estimated": verdict(Outcome.FAIL), "trust": None}, (AlertKind.QUALITY, "estimated"), None),
        ({"trained_at": NOW - 29 * DAY}, (AlertKind.STALENESS, "champion"), AlertResolution),
        ({"trained_at": NOW - 30 * DAY}, (AlertKind.STALENESS, "champion"), Alert),
        ({"trained_at": None}, (AlertKind.STALENESS, "champion"), None),
        ({"running": True}, (AlertKind.RETRAIN, "training"), None),
        ({"running": False}, (AlertKind.RETRAIN, "training"), AlertResolution),
    ],
)
def test_each_verdict_opens_or_resolves_its_alert(changes, key, expected):
    assert events(**changes).get(key) is expected


def test_a_cause_without_budget_alerts_until_there_is_one():
    runs = tuple(NOW - n * DAY for n in (8, 15, 22, 29))
    key = (AlertKind.RETRAIN, "budget")
    assert events(realised=verdict(Outcome.FAIL), runs=runs)[key] is Alert
    assert key not in events(runs=runs)  # nothing asks
    assert events()[key] is AlertResolution
    assert key not in events(person="ada", runs=runs)


@pytest.mark.parametrize(("days", "severity"), [(30, Severity.WARNING), (60, Severity.CRITICAL)])
def test_age_grows_worse(days, severity):
    (expected,) = age_alerts(RETRAIN, "shop", NOW - days * DAY, NOW, at=AT)
    assert isinstance(expected, Alert)
    assert (expected.severity, expected.numbers["days"]) == (severity, days)


def test_a_shift_that_goes_on_is_no_news():
    news = {}
    for announced in (0.0, 1.0):
        inputs = evidence(drift=verdict(Outcome.FAIL, announced=announced))
        record = DecisionRecord(decide(RETRAIN, inputs, NOW), inputs, (), (), "", NOW)
        found = decision_alerts(RETRAIN, record, at=AT, link="here")
        news[announced] = next(each.is_news for each in found if isinstance(each, Alert))
    assert news == {0.0: False, 1.0: True}


def test_an_alert_says_cause_numbers_link_and_next_step():
    fell = verdict(Outcome.FAIL, "realised", "it fell.", change=-0.1)
    inputs = evidence(realised=fell)
    record = DecisionRecord(decide(RETRAIN, inputs, NOW), inputs, (), (), "", NOW)
    expected = next(each for each in decision_alerts(RETRAIN, record, at=AT, link="here") if isinstance(each, Alert))
    numbers = dict(expected.numbers)
    assert (expected.cause, expected.link, numbers, expected.at) == (
        "it fell.",
        "here",
        {"change": -0.1},
        AT,
    )
    assert expected.next_step
    start = training_alert("shop", "Yes: it fell.", at=AT)
    assert (start.kind, start.severity) == (AlertKind.RETRAIN, Severity.INFO)


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (LedgerAction.ROLLBACK, Alert),
        (LedgerAction.PROMOTED, AlertResolution),
        (LedgerAction.RELEASE, AlertResolution),
        (LedgerAction.OVERRIDE, None),
        (LedgerAction.REGISTERED, None),
    ],
)
def test_the_ledger_alerts_of_rollbacks(action, expected):
    entry = replace(sample(Entry), model="shop", action=action, numbers={"errors": 3.0})
    assert [type(each) for each in ledger_alerts(entry, at=AT)] == ([expected] if expected else [])
