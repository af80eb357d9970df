"""What of the days and runs there are becomes evidence, and what does not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlops_assets.domain.retraining.evidence import ModelHistory, build_evidence
from mlops_assets.domain.retraining.records import Champion, RetrainEvidence, TrainingRequest, TrainingRun
from mlops_assets.domain.verdict import Outcome, Verdict
from tests.kit.watched_days import BUNDLE, drift_day, performance_day
from tests.kit.watching import QUALITY, RETRAIN

NOW = datetime(2024, 3, 5, 1, tzinfo=UTC)
DAY = timedelta(days=1)
CHAMPION = Champion("1", "1.0.0", BUNDLE, NOW - 20 * DAY, None)
UNRIPE: dict[str, Any] = {"maturity": 0.4, "fall": Verdict("realised", Outcome.INCONCLUSIVE, "unripe.", {})}


def found(**changes: Any) -> RetrainEvidence:
    given: dict[str, Any] = {
        "champion": CHAMPION,
        "drift_days": [drift_day("2024-03-04")],
        "performance_days": [performance_day("2024-03-04")],
        "runs": (),
    } | changes
    days = {name: given.pop(name) for name in ("champion", "drift_days", "performance_days", "runs")}
    rest: dict[str, Any] = {
        "new_rows": 5,
        "request": TrainingRequest(),
        "paused": False,
        "pending": False,
        "problems": (),
        "now": NOW,
    }
    return build_evidence("shop", (QUALITY, RETRAIN), ModelHistory(**days), **rest | given)


def outcome(verdict: Verdict | None) -> Outcome | None:
    return verdict.outcome if verdict else None


def test_the_latest_day_of_the_champion_is_the_window():
    seen = found(drift_days=[drift_day("2024-03-03", alarm=True), drift_day("2024-03-04")])
    assert (seen.window, outcome(seen.drift), outcome(seen.realised)) == ("2024-03-04", Outcome.PASS, Outcome.PASS)
    assert (seen.champion, seen.trained_at) == ("1.0.0", CHAMPION.trained_at)


def test_days_of_another_version_do_not_count():
    seen = found(
        drift_days=[drift_day("2024-03-04", alarm=True, bundle="o" * 64)],
        performance_days=[performance_day("2024-03-04", fell=True, bundle="o" * 64)],
    )
    assert (seen.window, seen.drift, seen.realised) == ("", None, None)
    assert found(champion=None).champion is None


def test_an_unripe_day_does_not_hide_a_known_one():
    days = [performance_day("2024-03-02", fell=True), performance_day("2024-03-04", **UNRIPE)]
    seen = found(performance_days=days)
    assert (seen.window, outcome(seen.realised)) == ("2024-03-04", Outcome.FAIL)
    assert outcome(found(performance_days=days[1:]).realised) is Outcome.INCONCLUSIVE


def test_watching_that_stopped_tells_nothing_any_more():
    seen = found(drift_days=[drift_day("2024-02-28", alarm=True)])
    assert outcome(seen.drift) is Outcome.INCONCLUSIVE
    assert "ended 5 days ago" in str(seen.drift)


def test_labels_that_stopped_are_no_evidence():
    days = [performance_day("2024-02-20", fell=True), performance_day("2024-03-04", **UNRIPE)]
    assert "no label has ripened for 13 days" in str(found(performance_days=days).realised)
    late = [performance_day("2024-02-20", fell=True, made_at=NOW), days[1]]
    assert outcome(found(performance_days=late).realised) is Outcome.FAIL  # labels that take two weeks


@pytest.mark.parametrize(
    ("runs", "running", "spent", "cost"),
    [
        ((), False, 0.0, None),
        ((TrainingRun(NOW - DAY, None, True),), True, 0.0, None),
        ((TrainingRun(NOW - DAY, 2.0, False), TrainingRun(NOW - 40 * DAY, 3.0, False)), False, 2.0, 2.5),
        ((TrainingRun(None, 2.0, False),), False, 0.0, 2.0),
        (tuple(TrainingRun(NOW - n * DAY, float(n), False) for n in range(1, 9)), False, 36.0, 3.0),
    ],
)
def test_what_runs_cost_and_whether_one_goes_on(runs, running, spent, cost):
    seen = found(runs=runs)
    assert (seen.running, seen.spent, seen.cost) == (running, spent, cost)
    assert seen.runs == tuple(run.began for run in runs if run.began)


def test_a_training_that_was_decided_on_counts_as_running():
    assert found(pending=True).running
