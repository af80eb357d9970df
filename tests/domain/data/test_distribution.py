"""Population stability by partition."""

import numpy as np
import pyarrow as pa

from mlops_assets.domain.data.distribution import ENOUGH, stability


def numbers(*means: float, rows: int = 2000) -> tuple[pa.ChunkedArray, np.ndarray]:
    draw = np.random.default_rng(7)
    values = np.concatenate([draw.normal(mean, 1, rows) for mean in means])
    return pa.chunked_array([values]), np.repeat(np.arange(len(means)), rows)


def test_the_same_distribution_is_near_zero_and_a_shift_is_not():
    column, partition = numbers(0, 0, 0, 1)
    index = stability(column, partition, 4, recent=3)
    assert np.isnan(index[0])
    assert (index[1:3] < 0.02).all()
    assert index[3] > 0.5


def test_the_reference_is_only_what_came_recently():
    column, partition = numbers(0, 1, 1, 1)
    assert stability(column, partition, 4, recent=1)[3] < 0.02
    assert stability(column, partition, 4, recent=3)[3] > 0.05


def test_texts_are_compared_by_their_shares():
    values = ["a"] * 900 + ["b"] * 100 + ["a"] * 100 + ["b"] * 900
    index = stability(pa.chunked_array([values]), np.repeat([0, 1], 1000), 2, recent=1)
    assert index[1] > 1


def test_few_or_no_values_are_not_judged():
    column, partition = numbers(0, 5, rows=ENOUGH - 1)
    assert np.isnan(stability(column, partition, 2, recent=1)).all()
    for empty in (pa.nulls(4), pa.nulls(4, pa.float64()), pa.nulls(4, pa.string())):
        assert np.isnan(stability(pa.chunked_array([empty]), np.array([0, 0, 1, 1]), 2, recent=1)).all()
