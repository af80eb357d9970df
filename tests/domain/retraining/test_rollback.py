"""When a champion is taken back, row by row of the truth table."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from mlops_assets.domain.quality.records import Estimated, PerformanceDay
from mlops_assets.domain.retraining.rollback import ChampionTerm, judge_term
from mlops_assets.domain.verdict import Outcome
from tests.kit.watched_days import performance_day
from tests.kit.watching import QUALITY

SINCE = datetime(2024, 3, 10, 12, tzinfo=UTC)
NEW, OLD = "n" * 64, "o" * 64
REIGN = ChampionTerm("2", NEW, SINCE, "1", OLD)
NOW = SINCE + timedelta(days=6)


def days(before: float, since: float, count: int = 4, **changes) -> list[PerformanceDay]:
    """So many whole days before the promotion and after it."""
    return [
        performance_day(f"{SINCE + timedelta(days=n):%F}", since if n > 0 else before, bundle=NEW if n > 0 else OLD,
                        **changes)
        for n in range(-count, count + 1) if n
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "outcome", "said"),
    [
        (days(0.8, 0.7), Outcome.FAIL, "it is worse"),
        (days(0.8, 0.79), Outcome.PASS, "it is not"),
        (days(0.8, 0.85), Outcome.PASS, "it is not"),
        (days(0.7, 0.7), Outcome.PASS, "it is not"),  # not what was promised, but no worse than before
        (days(0.9, 0.8), Outcome.PASS, "it is not"),  # other days: it keeps what its evaluation promised
        (days(0.8, 0.75), Outcome.INCONCLUSIVE, "not shown either way"),
        (days(0.8, 0.7)[:4], Outcome.INCONCLUSIVE, "0 of its have a ripe label"),
        (days(0.8, 0.7)[4:], Outcome.INCONCLUSIVE, "0 of the rows before"),
        (days(0.8, 0.7, labelled=100), Outcome.INCONCLUSIVE, "400 of its and 400 of the rows before"),
        (days(0.8, 0.7, maturity=0.5), Outcome.INCONCLUSIVE, "0 of its"),
        (days(0.8, 0.7, baseline=None), Outcome.INCONCLUSIVE, "promised is not known"),
        ([], Outcome.INCONCLUSIVE, "0 of its"),
    ],
)
def test_a_fall_has_to_be_proven_against_both(given, outcome, said):
    verdict = judge_term(QUALITY, REIGN, given, NOW)
    assert (verdict.outcome, said in verdict.reason) == (outcome, True), verdict.reason


def test_an_error_that_grows_is_a_fall_too():
    grown = days(0.8, 0.9, metric="mae")
    assert judge_term(QUALITY, REIGN, grown, NOW).outcome is Outcome.FAIL
    assert judge_term(QUALITY, REIGN, days(0.8, 0.7, metric="mae"), NOW).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("policy", "term", "now", "said"),
    [
        (QUALITY, REIGN, SINCE + timedelta(days=15), "in the first 14 only"),
        (QUALITY, replace(REIGN, before=None), NOW, "follows no champion"),
        (QUALITY.with_changes(roll_back_within=timedelta(0)), REIGN, NOW, "is 0"),
    ],
)
def test_rollback_needs_time_left_and_a_predecessor(policy, term, now, said):
    verdict = judge_term(policy, term, days(0.8, 0.5), now)
    assert verdict.outcome is Outcome.PASS
    assert said in verdict.reason


def test_the_day_of_the_promotion_and_long_ago_do_not_count():
    mixed = performance_day(f"{SINCE:%F}", 0.2, bundle=NEW)
    ago = performance_day("2024-01-01", 0.99, bundle=OLD)
    assert judge_term(QUALITY, REIGN, [*days(0.8, 0.8), mixed, ago], NOW).outcome is Outcome.PASS


@pytest.mark.simulation
def test_equal_versions_survive_fourteen_looks():
    rng, lives, wrong = np.random.default_rng(0), 500, 0
    for _ in range(lives):
        known = []
        for day in days(0.8, 0.8, count=14):
            value, reach = float(rng.normal(0.8, 0.02 / 1.96)), 0.02
            known.append(replace(day, realised=Estimated(value, value - reach, value + reach)))
        looks = (judge_term(QUALITY, REIGN, known[: 14 + n], SINCE + timedelta(days=n)) for n in range(1, 15))
        wrong += any(verdict.outcome is Outcome.FAIL for verdict in looks)
    assert wrong <= 0.025 * lives
