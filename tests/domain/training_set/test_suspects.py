"""A column that knows the outcome is named in whichever way it knows it; an honest one is not."""

import tracemalloc
from collections.abc import Callable, Collection, Mapping

import numpy as np
import pyarrow as pa
import pytest

from mlops_assets.domain.records import Inputs
from mlops_assets.domain.training_set.suspects import judge_suspects
from mlops_assets.domain.verdict import Outcome, Verdict

Columns = Mapping[str, np.ndarray]
Change = Callable[[dict[str, np.ndarray], np.random.Generator], Columns]


def rows(size: int, change: Change, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    columns = {f"x{number}": rng.normal(size=size) for number in range(3)}
    columns["id"] = np.array([f"{seed}-{number}" for number in range(size)])
    columns["label"] = (rng.random(size) < 1 / (1 + np.exp(3 - 2 * columns["x0"]))).astype(int)
    return pa.table({name: pa.array(values, from_pandas=True) for name, values in change(columns, rng).items()})


def judge(change: Change, *, known: Collection[str] = (), classes: int = 2, size: int = 3_000) -> Verdict:
    parts = [rows(size // share, change, seed) for seed, share in enumerate((1, 4, 4))]
    names = [name for name in parts[0].column_names if name != "label"]
    texts = tuple(name for name in names if parts[0].schema.field(name).type == pa.string())
    inputs = Inputs(tuple(name for name in names if name not in texts), texts)
    return judge_suspects(parts, inputs, classes=classes, known=known)[1]


def flipped(label: np.ndarray, rng: np.random.Generator, share: float) -> np.ndarray:
    return np.where(rng.random(len(label)) < share, 1 - label, label)


WAYS: Mapping[str, Change] = {
    "a twin": lambda columns, rng: {**columns, "leak": columns["label"] * 2.5},
    "a twin with mistakes": lambda columns, rng: {**columns, "leak": flipped(columns["label"], rng, 0.01)},
    "a text": lambda columns, rng: {**columns, "leak": np.where(columns["label"] == 1, "paid", "open")},
    "filled in afterwards": lambda columns, rng: {
        **columns,
        "leak": np.where(columns["label"] == 1, rng.normal(size=len(columns["label"])), np.nan),
    },
}


@pytest.mark.parametrize("way", WAYS)
def test_a_column_that_knows_the_outcome_is_named(way) -> None:
    verdict = judge(WAYS[way])
    assert verdict.outcome is Outcome.FAIL
    assert verdict.numbers["suspected"] == 1
    assert "leak by" in verdict.reason


def test_honest_columns_pass_and_the_strongest_is_named() -> None:
    verdict = judge(lambda columns, rng: columns)
    assert verdict.outcome is Outcome.PASS
    assert verdict.reason.startswith("x0 explains most alone")


def test_a_column_declared_known_is_not_suspected() -> None:
    assert judge(WAYS["a twin"], known=["leak"]).outcome is Outcome.PASS


def test_two_columns_that_know_it_together_are_named() -> None:
    def change(columns, rng):
        half = rng.integers(0, 2, len(columns["label"])).astype(float)
        return {**columns, "half": half, "rest": np.where(columns["label"] == 1, half, 1 - half)}

    verdict = judge(change)
    assert verdict.outcome is Outcome.FAIL
    assert "half" in verdict.reason
    assert "rest" in verdict.reason


def test_texts_that_hardly_repeat_cost_no_memory() -> None:
    def change(columns, rng):
        texts = rng.integers(0, 2_000, (2, len(columns["x0"]))).astype(str)
        return {**columns, "one": texts[0], "two": texts[1]}

    tracemalloc.start()
    verdict = judge(change)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert verdict.outcome is Outcome.PASS
    assert peak < 50_000_000


def counts(columns: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    few, many = rng.poisson(np.exp(columns["x0"] + 2)), rng.poisson(np.exp(columns["x1"] + 3))
    return {
        **columns,
        "casual": few.astype(float),
        "registered": many.astype(float),
        "label": (few + many).astype(float),
    }


def test_the_terms_of_a_sum_are_named() -> None:
    verdict = judge(counts, classes=0)
    assert verdict.outcome is Outcome.FAIL
    assert "registered and casual as a sum explains 100.0%" in verdict.reason


def test_a_number_with_real_noise_passes() -> None:
    verdict = judge(lambda columns, rng: {**columns, "label": counts(columns, rng)["label"]}, classes=0)
    assert verdict.outcome is Outcome.PASS


def test_a_monotone_twin_of_a_skewed_number_is_named() -> None:
    verdict = judge(lambda columns, rng: {**columns, "label": np.exp(3 * columns["x2"])}, classes=0)
    assert verdict.outcome is Outcome.FAIL
    assert "x2 by its value" in verdict.reason


def test_too_few_other_outcomes_conclude_nothing() -> None:
    verdict = judge(lambda columns, rng: {**columns, "label": (np.arange(len(columns["x0"])) < 4).astype(int)})
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "too few to suspect" in verdict.reason
