"""How rows are cut into parts, and what is said of each."""

import numpy as np
import pyarrow as pa
import pytest

from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.evaluation import SliceSpec
from mlops_assets.domain.evaluation.comparison import Basis, Opponent
from mlops_assets.domain.evaluation.metrics import METRICS
from mlops_assets.domain.evaluation.slices import MISSING, MOST_VALUES, OTHER, cut, measure


def names_and_rows(spec: SliceSpec, column: list, training: list | None = None) -> dict[str, int]:
    table = pa.table({spec.column: column})
    parts = cut([spec], table, pa.table({spec.column: training or column}))
    assert np.sum([p.mask for p in parts], axis=0).tolist() == [1] * len(column)  # each row in exactly one part
    return {part.value: int(part.mask.sum()) for part in parts}


@pytest.mark.parametrize(
    ("column", "parts"),
    [
        (["a", "b", "b", None, ""], {"b": 2, MISSING: 2, "a": 1}),
        ([1, 2, 2, None], {"2": 2, "1": 1, MISSING: 1}),
        ([True, False, True], {"true": 2, "false": 1}),
    ],
)
def test_by_value_with_missing_as_a_part(column: list, parts: dict[str, int]) -> None:
    assert names_and_rows(SliceSpec(column="c", minimum=1), column) == parts


def test_rare_values_are_one_part_together() -> None:
    column = [f"v{k}" for k in range(MOST_VALUES + 5)] * 2 + ["v0"]
    found = names_and_rows(SliceSpec(column="c", minimum=1), column)
    assert len(found) == MOST_VALUES + 1
    assert found[OTHER] == 10


def test_bins_have_edges_from_training_rows() -> None:
    found = names_and_rows(
        SliceSpec(column="x", bins=2, minimum=1), [1.0, 9.0, 10.0, 11.0, None], training=[0.0, 10.0, 20.0]
    )
    assert found == {"up to 10": 3, "above 10": 1, MISSING: 1}


def test_constant_or_empty_columns_still_give_whole_slices() -> None:
    assert names_and_rows(SliceSpec(column="x", bins=4, minimum=1), [1.0, 5.0], training=[5.0, 5.0]) == {"up to 5": 2}
    nothing = pa.table({"x": pa.array([None, None], pa.float64())})
    parts = cut([SliceSpec(column="x", bins=4, minimum=1)], pa.table({"x": [1.0, 2.0]}), nothing)
    assert [(p.value, int(p.mask.sum())) for p in parts] == [("any number", 2)]


def test_all_that_is_wrong_with_a_declaration_is_told_at_once() -> None:
    table = pa.table({"c": ["a"]})
    with pytest.raises(ValueError, match=r"gone is not in the test rows.*c is string, no number: leave out its `bins`"):
        cut([SliceSpec(column="gone", minimum=1), SliceSpec(column="c", bins=4, minimum=1)], table, table)


def scored(rows: int = 4000) -> tuple[np.ndarray, np.ndarray, np.ndarray, pa.Table]:
    rng = np.random.default_rng(0)
    airport = rng.choice(["EWR", "JFK", "tiny"], rows, p=[0.5, 0.497, 0.003])
    labels = (rng.random(rows) < 0.3).astype(int)
    edge = np.where(airport == "EWR", 0.2, 1.5)  # the candidate knows little about EWR
    candidate = 1 / (1 + np.exp(-(edge * labels + rng.normal(size=rows))))
    champion = 1 / (1 + np.exp(-(1.0 * labels + rng.normal(size=rows))))
    return labels, candidate, champion, pa.table({"airport": airport})


def test_parts_are_measured_worst_first_and_few_rows_are_told() -> None:
    labels, candidate, champion, table = scored()
    parts = cut([SliceSpec(column="airport", minimum=100)], table, table)
    basis = Basis(Kind.BINARY, METRICS["auc"], labels, 0.95)
    found = measure(parts, basis, candidate, Opponent("1", champion))
    assert [s.value for s in found] == ["EWR", "JFK", "tiny"]
    worst, best, tiny = found
    assert worst.score is not None
    assert worst.gain is not None
    assert best.gain is not None
    assert worst.score.estimate == pytest.approx(METRICS["auc"](*(v[parts[0].mask] for v in (labels, candidate))))
    assert worst.gain.high < 0 < best.gain.low
    assert (tiny.score, tiny.gain) == (None, None)
    assert "rows of class" in tiny.problem
    assert worst.guard.name == "airport: EWR"


def test_without_a_champion_slices_have_no_gain() -> None:
    labels, candidate, _, table = scored()
    parts = cut([SliceSpec(column="airport", minimum=100)], table, table)
    found = measure(parts, Basis(Kind.BINARY, METRICS["log_loss"], labels, 0.95), candidate, None)
    scores = [s.score.estimate for s in found if s.score]
    assert scores == sorted(scores, reverse=True)
    assert all(s.gain is None for s in found)
