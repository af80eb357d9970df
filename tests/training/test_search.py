"""The search on functions that cost nothing, and the space it searches."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from mlops_assets.declaration.training import Dimension, NetworkSpec
from mlops_assets.training.search import Report, TrialResult, best_values, search
from mlops_assets.training.space import apply, declared_values, space_of
from tests.training.synthetic import NETWORK, TRAINING

SPACE = {
    "learning_rate": Dimension(low=1e-4, high=1e-1, log=True),
    "depth": Dimension(low=1, high=4, integer=True),
    "width": Dimension(integer=True, choices=(16, 32)),
}


def towards_one_hundredth(values: Mapping[str, Any], report: Report) -> float:
    """Best at a learning rate of 0.01; worse trials are worse from the first epoch."""
    score = -abs(values["learning_rate"] - 0.01) - 0.001 * values["depth"]
    for epoch in range(1, 5):
        report(epoch, score)
    return score


def run(trials: int, objective: Any = towards_one_hundredth, **more: Any) -> tuple[TrialResult, ...]:
    settings: dict[str, Any] = {
        "first": {"learning_rate": 0.05, "depth": 2},
        "seed": 0,
        "maximise": True,
        "storage": None,
        "timeout": None,
        "clock": lambda: 0.0,
        "on_trial": lambda trial: None,
    }
    return search("m", SPACE, objective, trials=trials, **{**settings, **more})


def test_the_declared_values_come_first_and_the_best_is_no_worse() -> None:
    results = run(20)
    best = best_values(results, maximise=True)

    assert results[0].values["learning_rate"] == 0.05
    assert results[0].values["depth"] == 2
    assert abs(best["learning_rate"] - 0.01) < 0.01
    assert [r.number for r in results] == list(range(20))


def test_trials_that_fall_behind_are_pruned() -> None:
    states = [result.state for result in run(20)]

    assert states[:5] == ["complete"] * 5
    assert states.count("pruned") >= 5


def test_pruned_trials_never_win() -> None:
    results = (
        TrialResult(0, "complete", {"depth": 1}, 0.5, 3),
        TrialResult(1, "pruned", {"depth": 2}, 0.9, 1),
        TrialResult(2, "failed", {"depth": 3}, None, 0),
    )

    assert best_values(results, maximise=True) == {"depth": 1}
    assert best_values(results[1:], maximise=True) == {}


def test_less_is_better_where_it_is() -> None:
    results = (
        TrialResult(0, "complete", {"depth": 1}, 0.5, 3),
        TrialResult(1, "complete", {"depth": 2}, 0.4, 3),
    )

    assert best_values(results, maximise=False) == {"depth": 2}


def test_a_search_that_was_cut_off_asks_for_the_same_values(tmp_path: Path) -> None:
    calls = 0

    def cut_off(values: Mapping[str, Any], report: Report) -> float:
        nonlocal calls
        calls += 1
        if calls == 7:
            raise KeyboardInterrupt
        return towards_one_hundredth(values, report)

    def journal() -> JournalStorage:
        return JournalStorage(JournalFileBackend(str(tmp_path / "trials.log")))

    with pytest.raises(KeyboardInterrupt):
        run(10, cut_off, storage=journal())
    seen: list[int] = []
    resumed = run(10, storage=journal(), on_trial=lambda trial: seen.append(trial.number))

    assert seen == [6, 7, 8, 9]
    assert resumed == run(10)


def test_only_a_diverged_trial_is_an_answer() -> None:
    def diverges(values: Mapping[str, Any], report: Report) -> float:
        raise FloatingPointError("loss is nan")

    def breaks(values: Mapping[str, Any], report: Report) -> float:
        raise RuntimeError("out of memory")

    assert [r.state for r in run(2, diverges)] == ["failed", "failed"]
    with pytest.raises(RuntimeError, match="out of memory"):
        run(2, breaks)


def test_no_new_trial_begins_after_the_time_is_up() -> None:
    ticks = iter([0.0, 5.0, 11.0])
    results = run(9, storage=InMemoryStorage(), timeout=timedelta(seconds=10), clock=lambda: next(ticks))

    assert len(results) == 2


def test_the_default_space_contains_the_declared_values() -> None:
    declared = NETWORK.with_changes(width=128, depth=2, dropout=0.3, embedding=8)
    training = TRAINING.with_changes(learning_rate=2e-3, weight_decay=1e-1)
    space = space_of({}, declared)

    assert set(declared_values(space, declared, training)) == set(space)


def test_an_own_network_is_searched_by_rates_by_default() -> None:
    own = NetworkSpec(type="mine.Net", options={"heads": 2})
    assert set(space_of({}, own)) == {"learning_rate", "weight_decay"}

    space = {"options.heads": Dimension(low=1, high=4, integer=True)}
    network, training = apply({"options.heads": 4}, own, TRAINING)

    assert declared_values(space_of(space, own), own, TRAINING) == {"options.heads": 2}
    assert network.options == {"heads": 4}
    assert training == TRAINING


def test_values_outside_the_space_are_not_tried() -> None:
    assert "width" not in declared_values(SPACE, NETWORK.with_changes(width=17), TRAINING)


def test_every_wrong_axis_is_told_at_once() -> None:
    axis = Dimension()
    wrong = {
        "widht": axis,
        "width": axis,
        "dropout": axis.with_changes(low=0.5, high=0.1),
        "learning_rate": axis.with_changes(low=0.0, high=0.1, log=True),
    }

    with pytest.raises(ValueError, match=r"^search\.space") as caught:
        space_of(wrong, NETWORK)

    assert "widht cannot be searched" in str(caught.value)
    assert "width needs low and high" in str(caught.value)
    assert "dropout: low 0.5 is above high 0.1" in str(caught.value)
    assert "learning_rate: log needs a low above 0" in str(caught.value)
