"""Splits: order in time, gaps, groups, identity."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.training_set.split import SplitError, split_by_identity, split_by_time

HOUR = 3_600_000_000


def hours(n: int) -> np.ndarray:
    return np.arange(n, dtype=np.int64) * HOUR


def test_the_latest_rows_are_the_test_rows():
    split = split_by_time(hours(100), validation=0.2, test=0.3)
    assert list(split.rows("train")) == list(range(50))
    assert list(split.rows("validation")) == list(range(50, 70))
    assert list(split.rows("test")) == list(range(70, 100))


def test_the_order_of_the_rows_does_not_matter():
    shuffled = np.random.default_rng(0).permutation(hours(100))
    split = split_by_time(shuffled, validation=0.2, test=0.3)
    assert shuffled[split.rows("train")].max() < shuffled[split.rows("validation")].min()
    assert shuffled[split.rows("validation")].max() < shuffled[split.rows("test")].min()


@given(
    times=st.lists(st.integers(0, 10_000), min_size=30, max_size=200, unique=True),
    gap=st.integers(0, 200),
)
def test_no_label_ripens_after_the_next_part_begins(times, gap):
    moments = np.array(times, dtype=np.int64) * HOUR
    try:
        split = split_by_time(moments, validation=0.2, test=0.2, gap=timedelta(hours=gap))
    except SplitError:
        return
    for earlier, later in (("train", "validation"), ("validation", "test")):
        assert moments[split.rows(earlier)].max() + gap * HOUR < moments[split.rows(later)].min()
    assert split.left_out["in a gap"] == (split.part == -1).sum()


def test_rows_of_one_moment_stay_together():
    times = np.repeat(hours(20), 10)
    split = split_by_time(times, validation=0.22, test=0.33)
    sides = {moment: set(split.part[times == moment]) for moment in np.unique(times)}
    assert all(len(parts) == 1 for parts in sides.values())


def test_a_group_never_stands_on_both_sides():
    groups = np.array([f"late {i // 4}" for i in range(100)])
    groups[:40] = groups[90] = "early"
    split = split_by_time(hours(100), validation=0.2, test=0.3, groups=groups)
    first = {group: split.part[(groups == group) & (split.part >= 0)] for group in np.unique(groups)}
    assert all(len(set(sides)) <= 1 for sides in first.values())
    assert split.left_out["group stands in an earlier part"] > 0


@pytest.mark.parametrize("times", [hours(0), np.zeros(50, dtype=np.int64)])
def test_rows_that_cannot_be_split_say_so(times):
    with pytest.raises(SplitError):
        split_by_time(times, validation=0.2, test=0.2)


def test_too_long_a_gap_names_the_part_that_is_empty():
    with pytest.raises(SplitError, match="validation"):
        split_by_time(hours(100), validation=0.1, test=0.2, gap=timedelta(hours=50))


def test_an_identity_split_is_stable_when_rows_are_added():
    few, many = np.arange(1_000), np.arange(2_000)
    a = split_by_identity(few, validation=0.2, test=0.2, seed=7)
    b = split_by_identity(many, validation=0.2, test=0.2, seed=7)
    assert np.array_equal(a.part, b.part[:1_000])
    assert abs((b.part == 2).mean() - 0.2) < 0.04


def test_another_seed_gives_another_identity_split():
    ids = np.arange(500)
    one, two = (split_by_identity(ids, validation=0.2, test=0.2, seed=seed).part for seed in (0, 1))
    assert not np.array_equal(one, two)
