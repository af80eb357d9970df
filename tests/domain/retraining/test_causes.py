"""When a sensor asks, by which key, and when it does not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mlops_assets.declaration.monitoring import Cause
from mlops_assets.domain.retraining import causes
from mlops_assets.domain.retraining.causes import CauseFinding, request_decision
from mlops_assets.domain.retraining.decision import decide
from mlops_assets.domain.retraining.records import Champion, DecisionRecord
from mlops_assets.domain.verdict import Outcome, Verdict
from tests.kit.watched_days import BUNDLE, drift_day, performance_day
from tests.kit.watching import CALM, RETRAIN

NOW = datetime(2024, 3, 5, 1, tzinfo=UTC)
CHAMPION = Champion("3", "1.0.2", BUNDLE, NOW - timedelta(days=20), None)
HOUR = timedelta(hours=1)


def record(made_at: datetime, champion: str = "1.0.2") -> DecisionRecord:
    evidence = replace(CALM, champion=champion, trained_at=NOW - timedelta(days=20), runs=())
    return DecisionRecord(decide(RETRAIN, evidence, made_at), evidence, (), (), "", made_at)


def test_drift_asks_for_the_window_of_the_alarm():
    found = causes.check_drift([drift_day("2024-03-03"), drift_day("2024-03-04", alarm=True)])
    assert request_decision("shop", CHAMPION, found, None).run_key == "drift:shop:3:2024-03-04"
    assert not causes.check_drift([drift_day("2024-03-04", drifted=True)]).holds
    assert not causes.check_drift([]).holds


def test_a_shift_that_goes_on_asks_once():
    first = drift_day("2024-03-03", alarm=True)
    found = causes.check_drift([first, drift_day("2024-03-04", alarm=True, announced="2024-03-03")])
    assert request_decision("shop", CHAMPION, found, None).run_key == "drift:shop:3:2024-03-03"
    assert not request_decision("shop", CHAMPION, found, record(first.made_at)).run_key


def test_quality_goes_by_the_newest_day_that_is_known():
    unknown = Verdict("realised", Outcome.INCONCLUSIVE, "unripe.", {})
    days = [performance_day("2024-03-03", fell=True), performance_day("2024-03-04", fall=unknown)]
    found = causes.check_quality(days)
    assert (found.holds, found.window) == (True, "2024-03-03")
    assert not causes.check_quality(days[1:]).holds
    assert not causes.check_quality([*days, performance_day("2024-03-05")]).holds
    assert not causes.check_quality([]).holds


@pytest.mark.parametrize(("rows", "holds"), [(None, False), (9_999, False), (10_000, True)])
def test_rows_ask_once_a_day(rows, holds):
    found = causes.check_volume(RETRAIN, rows, NOW)
    assert found.holds is holds
    key = request_decision("shop", CHAMPION, found, None).run_key
    assert key == ("data_volume:shop:3:2024-03-05" if holds else "")


@pytest.mark.parametrize(("days", "holds"), [(None, False), (59, False), (60, True)])
def test_age_asks_when_it_is_critical(days, holds):
    trained_at = NOW - timedelta(days=days) if days else None
    assert causes.check_age(RETRAIN, trained_at, NOW).holds is holds


def test_what_a_decision_knew_is_not_asked_again():
    found = CauseFinding(Cause.DRIFT, True, "alarm.", "2024-03-04", NOW)
    for known in (record(NOW), record(NOW + HOUR)):
        ask = request_decision("shop", CHAMPION, found, known)
        assert ask.run_key == ""
        assert "A decision has considered it: No: " in ask.reason
    for other in (record(NOW - HOUR), record(NOW, champion="1.0.1"), None):
        assert request_decision("shop", CHAMPION, found, other).run_key
