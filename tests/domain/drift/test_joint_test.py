"""What no column shows alone, and vectors."""

import numpy as np
import pyarrow as pa
import pytest

from mlops_assets.domain.drift.joint_test import MOST_ROWS, compare_all_features, compare_vectors, measure_separability
from tests.kit.watching import DRIFT, table_of


def rows(seed: int, count: int, correlation: float = 0.0, shift: float = 0.0) -> pa.Table:
    draw = np.random.default_rng(seed)
    a, b = draw.normal(size=(2, count))
    return table_of(
        {
            "a": a,
            "b": correlation * a + np.sqrt(1 - correlation**2) * b + shift,
            "c": draw.choice(np.array(["x", "y", None], dtype=object), count, p=[0.45, 0.45, 0.1]),
        }
    )


def judged(live: pa.Table, reference: pa.Table | None = None):
    kept = rows(0, 4_000) if reference is None else reference
    return compare_all_features(kept, live, numbers=["a", "b"], categories=["c"], policy=DRIFT, seed=3)


def test_a_new_correlation_of_stable_columns_is_detected():
    found = judged(rows(1, 2_000, correlation=0.8))
    assert found is not None
    assert found.material
    assert found.p < 1e-6


def test_rows_like_those_of_training_cannot_be_told_apart():
    found = judged(rows(2, 2_000))
    assert found is not None
    assert not found.material
    assert found.p > 0.01


def test_too_few_rows_say_nothing():
    assert judged(rows(1, 99)) is None
    assert judged(rows(1, 500), rows(0, 20)) is None


def test_the_same_seed_gives_the_same_answer():
    assert judged(rows(1, MOST_ROWS + 500)) == judged(rows(1, MOST_ROWS + 500))


def test_missing_and_constant_values_do_no_harm():
    draw = np.random.default_rng(5)
    wide = np.column_stack([np.full(600, np.nan), np.ones(600), draw.normal(size=600)])
    found = measure_separability(wide[:300], wide[300:], draw)
    assert found is not None
    assert 0.3 < found[0] < 0.7


def halves(draw: np.random.Generator) -> tuple[float, float] | None:
    same = draw.normal(size=(600, 4))
    return measure_separability(same[:300], same[300:], draw)


def test_false_alarms_of_the_held_out_test_are_what_p_says():
    draw = np.random.default_rng(6)
    p = [found[1] for _ in range(200) if (found := halves(draw))]
    assert np.mean(np.array(p) < 0.05) <= 0.09


def test_vectors_that_move_are_seen_and_others_are_not():
    draw = np.random.default_rng(7)
    reference, same = draw.normal(size=(2_000, 64)), draw.normal(size=(800, 64))
    moved = compare_vectors("title", reference, same + 0.15, policy=DRIFT, seed=1)
    still = compare_vectors("title", reference, same, policy=DRIFT, seed=1)
    assert moved is not None
    assert still is not None
    assert moved.material
    assert moved.numbers["shift"] == pytest.approx(0.15, abs=0.06)
    assert not still.material


def test_vectors_of_two_widths_are_an_error():
    with pytest.raises(ValueError, match="same width"):
        compare_vectors("title", np.ones((9, 3)), np.ones((9, 2)), policy=DRIFT, seed=1)
