"""A correlation that changes while every column stays as it was."""

from collections.abc import Callable

import numpy as np
import pytest

from mlops_assets.domain.drift.days.pairs import PairDays, PairRows, fit_pairs
from mlops_assets.domain.drift.reference import Reference
from tests.kit.watching import DRIFT, reference_of

FIRST = np.datetime64("2022-01-03")
Turn = Callable[[int], float]


def rows(width: int, days: int, draw: np.random.Generator, turned: float = 0.3, begin: int = 0) -> PairRows:
    """`x0` and `x1` go together; every day has its own means; a category goes with `x2`."""
    found = {f"x{i}": draw.normal(size=days * 500) + np.repeat(draw.normal(size=days), 500) for i in range(width)}
    found["x1"] = turned * found["x0"] + np.sqrt(1 - turned**2) * found["x1"]
    found["word"] = np.where(found["x2"] + draw.normal(size=days * 500) > 0, "up", "down").astype(object)
    return PairRows(found, np.repeat(FIRST + np.arange(begin, begin + days), 500))


def known(width: int, draw: np.random.Generator) -> tuple[PairDays, Reference]:
    trained = rows(width, 30, draw)
    words = {"word": trained.columns["word"]}
    reference = reference_of({n: v for n, v in trained.columns.items() if n != "word"}, words).features
    pairs = fit_pairs(trained, reference)
    assert pairs is not None
    return pairs, reference


@pytest.mark.parametrize("width", [5, 100])
def test_a_turned_pair_is_found_and_named_at_any_width(width):
    draw = np.random.default_rng(width)
    pairs, _ = known(width, draw)
    same = [pairs.compare(rows(width, 1, draw, 0.3, begin=30), DRIFT) for _ in range(20)]
    turned = [pairs.compare(rows(width, 1, draw, -0.3, begin=30), DRIFT) for _ in range(20)]
    assert min(each.p for each in same) > DRIFT.alpha / 10
    assert sum(each.p < DRIFT.alpha / 1_000 and each.material for each in turned) >= 19
    assert "the correlation of x0 and x1 is -0." in turned[0].summary
    assert f"of {width + 2} columns were looked at" in turned[0].summary


def test_days_of_training_are_like_themselves():
    pairs, _ = known(20, np.random.default_rng(1))
    p, _ = pairs.measure_training(DRIFT)
    assert len(p) == 30
    assert p.min() > 1e-3


def test_two_values_of_one_category_are_no_pair():
    pairs, reference = known(3, np.random.default_rng(2))
    named = {(pairs.names[one], pairs.names[other]) for one, other in zip(*pairs.pairs, strict=True)}
    assert ("x2", "word=up") in named
    assert not any(one.startswith("word") and other.startswith("word") for one, other in named)
    assert fit_pairs(rows(3, 9, np.random.default_rng(3)), reference) is None  # too few days


def swaying(days: int, each: int, draw: np.random.Generator, *, turned: float = 0.0, begin: int = 0) -> PairRows:
    """`x` and `y` share the luck of a day and nothing else; the weekday and the weekend are of the day."""
    moments = np.repeat(FIRST + np.arange(begin, begin + days), each)
    luck, x = np.repeat(draw.normal(size=days) * 0.8, each), draw.normal(size=days * each)
    y = turned * x + np.sqrt(1 - turned**2) * draw.normal(size=days * each)
    weekday = (moments.astype(int) + 3) % 7
    columns = {"x": x + luck, "y": y + luck, "weekday": weekday.astype(float), "weekend": (weekday > 4).astype(float)}
    return PairRows(columns, moments)


@pytest.mark.parametrize(("days", "each"), [(1, 300), (3, 100), (3, 300), (20, 30)])
def test_what_days_share_is_no_correlation_of_a_window(days, each):
    draw = np.random.default_rng(days)
    trained = swaying(60, 300, draw)
    pairs = fit_pairs(trained, reference_of(trained.columns).features)
    assert pairs is not None
    same = [pairs.compare(swaying(days, each, draw, begin=60), DRIFT) for _ in range(200)]
    turned = [pairs.compare(swaying(days, each, draw, turned=0.4, begin=60), DRIFT) for _ in range(50)]
    assert sum(found.p < DRIFT.alpha and found.material for found in same) <= 1
    assert sum(found.p < DRIFT.alpha and found.material for found in turned) >= 49
    assert "of x and y is 0.4" in " ".join(found.summary for found in turned)


def test_a_pair_that_varies_on_no_training_day_is_left_out():
    draw = np.random.default_rng(4)
    trained = swaying(30, 300, draw)
    pairs = fit_pairs(trained, reference_of(trained.columns).features)
    assert pairs is not None
    assert [(pairs.names[one], pairs.names[other]) for one, other in zip(*pairs.pairs, strict=True)] == [("x", "y")]
    late = swaying(1, 300, draw, begin=30)
    late.columns["weekday"][:150], late.columns["weekend"][:150] = 6, 1  # half of the rows are stamped a day early
    assert pairs.compare(late, DRIFT).p > DRIFT.alpha
    constant = {name: trained.columns[name] for name in ("weekday", "weekend")}
    assert fit_pairs(PairRows(constant, trained.days), reference_of(constant).features) is None
