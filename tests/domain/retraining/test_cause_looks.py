"""When a sensor asks, by which key, and when it does not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mlops_assets.declaration.monitoring import Cause
from mlops_assets.domain.retraining import cause_looks
from mlops_assets.domain.retraining.cause_looks import Finding, to_ask
from mlops_assets.domain.retraining.decision import decide
from mlops_assets.domain.retraining.evidence import Champion
from mlops_assets.domain.retraining.records import Weighed
from mlops_assets.domain.verdict import Outcome, Verdict
from tests.fakes.watched import BUNDLE, drift_day, performance_day
from tests.kit.watching import CALM, RETRAIN

NOW = datetime(2024, 3, 5, 1, tzinfo=UTC)
CHAMPION = Champion("3", "1.0.2", BUNDLE, NOW - timedelta(days=20), None)
HOUR = timedelta(hours=1)


def weighed(made_at: datetime, champion: str = "1.0.2") -> Weighed:
    evidence = replace(CALM, champion=champion, trained_at=NOW - timedelta(days=20), runs=())
    return Weighed(decide(RETRAIN, evidence, made_at), evidence, (), (), "", made_at)


def test_drift_asks_for_the_window_of_the_alarm():
    found = cause_looks.of_drift([drift_day("2024-03-03"), drift_day("2024-03-04", alarm=True)])
    assert to_ask("shop", CHAMPION, found, None).run_key == "drift:shop:3:2024-03-04"
    assert not cause_looks.of_drift([drift_day("2024-03-04", drifted=True)]).holds
    assert not cause_looks.of_drift([]).holds


def test_quality_goes_by_the_newest_day_that_is_known():
    unknown = Verdict("realised", Outcome.INCONCLUSIVE, "unripe.", {})
    days = [performance_day("2024-03-03", fell=True), performance_day("2024-03-04", fall=unknown)]
    found = cause_looks.of_quality(days)
    assert (found.holds, found.window) == (True, "2024-03-03")
    assert not cause_looks.of_quality(days[1:]).holds
    assert not cause_looks.of_quality([*days, performance_day("2024-03-05")]).holds
    assert not cause_looks.of_quality([]).holds


@pytest.mark.parametrize(("rows", "holds"), [(None, False), (9_999, False), (10_000, True)])
def test_rows_ask_once_a_day(rows, holds):
    found = cause_looks.of_volume(RETRAIN, rows, NOW)
    assert found.holds is holds
    key = to_ask("shop", CHAMPION, found, None).run_key
    assert key == ("data_volume:shop:3:2024-03-05" if holds else "")


@pytest.mark.parametrize(("days", "holds"), [(None, False), (59, False), (60, True)])
def test_age_asks_when_it_is_critical(days, holds):
    trained_at = NOW - timedelta(days=days) if days else None
    assert cause_looks.of_age(RETRAIN, trained_at, NOW).holds is holds


def test_what_a_decision_knew_is_not_asked_again():
    found = Finding(Cause.DRIFT, True, "alarm.", "2024-03-04", NOW)
    for known in (weighed(NOW), weighed(NOW + HOUR)):
        ask = to_ask("shop", CHAMPION, found, known)
        assert ask.run_key == ""
        assert "It was weighed: No: " in ask.reason
    for other in (weighed(NOW - HOUR), weighed(NOW, champion="1.0.1"), None):
        assert to_ask("shop", CHAMPION, found, other).run_key
