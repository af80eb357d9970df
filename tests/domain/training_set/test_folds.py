"""Which rows each fold learns and scores: never a row whose label was not known, never one that it scores."""

from datetime import timedelta

import numpy as np

from mlops_assets.domain.training_set.folds import Fold, plan_cross_validation, plan_walk_forward

HOUR = 3_600_000_000


def hours(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.int64) * HOUR


def scored(folds: tuple[Fold, ...]) -> list[list[int]]:
    return [fold.scored.tolist() for fold in folds]


def test_each_fold_learns_what_was_known_and_scores_what_came() -> None:
    test = np.arange(70, 100)

    folds = plan_walk_forward(hours(100), test, folds=3, gap=timedelta(0))

    assert scored(folds) == [list(range(70, 80)), list(range(80, 90)), list(range(90, 100))]
    assert [fold.learnt.tolist() for fold in folds] == [list(range(70)), list(range(80)), list(range(90))]


def test_labels_that_were_not_known_yet_are_not_learnt() -> None:
    folds = plan_walk_forward(hours(100), np.arange(70, 100), folds=2, gap=timedelta(hours=5))

    assert [fold.learnt.max() for fold in folds] == [64, 79]


def test_rows_of_a_gap_are_learnt_when_their_labels_are_known() -> None:
    test_first = np.concatenate([hours(60), hours(100)[70:], hours(100)[60:70]])  # the rest comes last

    folds = plan_walk_forward(test_first, np.arange(60, 90), folds=3, gap=timedelta(hours=10))

    assert [len(fold.learnt) for fold in folds] == [60, 70, 80]
    assert set(range(90, 100)) <= set(folds[1].learnt.tolist())


def test_rows_of_one_moment_are_scored_together() -> None:
    times = np.concatenate([hours(10), np.full(20, 10 * HOUR)])

    folds = plan_walk_forward(times, np.arange(5, 30), folds=3, gap=timedelta(0))

    assert scored(folds) == [list(range(5, 10)), list(range(10, 30))]


def test_stretches_begin_where_the_champion_ends() -> None:
    folds = plan_walk_forward(hours(100), np.arange(60, 100), folds=3, gap=timedelta(0), since=int(79.5 * HOUR))

    assert scored(folds) == [list(range(60, 80)), list(range(80, 90)), list(range(90, 100))]


def test_a_champion_that_learnt_all_or_no_test_row_moves_nothing() -> None:
    plain = plan_walk_forward(hours(100), np.arange(60, 100), folds=2, gap=timedelta(0))
    for since in (10 * HOUR, 99 * HOUR):
        moved = plan_walk_forward(hours(100), np.arange(60, 100), folds=2, gap=timedelta(0), since=since)
        assert scored(moved) == scored(plain)


def test_a_group_is_never_learnt_and_scored() -> None:
    groups = np.array([f"g{i % 7}" for i in range(100)])

    folds = plan_walk_forward(hours(100), np.arange(96, 100), folds=2, gap=timedelta(0), groups=groups)

    for fold in folds:
        assert not set(groups[fold.learnt]) & set(groups[fold.scored])
        assert len(fold.learnt) > 60


def test_cross_validation_scores_every_test_row_once() -> None:
    identities = np.array([f"row {i // 2}" for i in range(1_000)])
    test = np.arange(600, 1_000)

    folds = plan_cross_validation(identities, test, folds=4, seed=1)

    assert sorted(np.concatenate([fold.scored for fold in folds]).tolist()) == test.tolist()
    for fold in folds:
        assert sorted([*fold.learnt, *fold.scored]) == list(range(1_000))
        assert not set(identities[fold.learnt]) & set(identities[fold.scored])
    again = plan_cross_validation(identities, test, folds=4, seed=1)
    assert scored(again) == scored(folds)
