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
    live = FIRST + np.arange(30, 31)
    same = [pairs.compare(rows(width, 1, draw, 0.3, begin=30), live, DRIFT) for _ in range(20)]
    turned = [pairs.compare(rows(width, 1, draw, -0.3, begin=30), live, DRIFT) for _ in range(20)]
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
