"""What is learnt from the training rows before training, and what makes rows unfit."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from mlops_assets.declaration.data import Kind
from mlops_assets.domain.records import Inputs
from mlops_assets.training.fitting import COMMON, learn_layout
from mlops_assets.training.layout import FIRST_VALUE, MISSING_ROW, UNKNOWN_ROW, Layout
from mlops_assets.training.rows import Rows, pack_parts
from tests.training.synthetic import CLASSES, INPUTS, tables, training_set


def layout_of(numbers: np.ndarray, categories: np.ndarray | None = None, bins: int = 4) -> Layout:
    words = np.empty((len(numbers), 0), dtype=object) if categories is None else categories
    names = Inputs(tuple(f"n{i}" for i in range(numbers.shape[1])), tuple(f"c{i}" for i in range(words.shape[1])))
    labels = np.arange(len(numbers)) % 2
    return learn_layout(
        Rows(numbers, words, labels), names, Kind.BINARY, classes=("0", "1"), bins=bins, transform="none"
    )


def test_a_layout_survives_json() -> None:
    parts = pack_parts(training_set(Kind.MULTICLASS), tables(Kind.MULTICLASS), "none")
    layout = learn_layout(
        parts["train"], INPUTS, Kind.MULTICLASS, classes=CLASSES[Kind.MULTICLASS], bins=8, transform="none"
    )

    assert Layout.from_json(layout.to_json()) == layout


def test_an_all_null_column_has_no_bins() -> None:
    column = layout_of(np.full((10, 1), np.nan)).numbers[0]

    assert (column.centre, column.scale, column.edges) == (0.0, 1.0, (0.0,))


@pytest.mark.parametrize("value", [0.0, 7.0, -1e300])
def test_a_constant_column_has_no_bins(value: float) -> None:
    assert len(layout_of(np.full((10, 1), value)).numbers[0].edges) == 1


def test_few_distinct_values_are_the_edges_themselves() -> None:
    column = layout_of(np.array([[1.0], [2.0], [4.0]] * 5)).numbers[0]

    np.testing.assert_allclose(np.array(column.edges) * column.scale + column.centre, [1, 2, 4], rtol=1e-6)


def test_extremes_in_the_training_rows_leave_finite_edges() -> None:
    draw = np.random.default_rng(0).normal(size=(100, 1)) * 1e-9
    draw[:4, 0] = [1e300, -1e300, np.inf, -np.inf]
    column = layout_of(draw).numbers[0]

    assert np.isfinite([column.centre, column.scale, *column.edges]).all()
    assert (np.diff(np.array(column.edges, dtype=np.float32)) > 0).all()


def test_rare_categories_are_unknown() -> None:
    words = ["b"] * 9 + ["a"] * COMMON + ["rare"] * (COMMON - 1) + [""] * 6
    column = layout_of(np.zeros((len(words), 1)), np.array([words], dtype=object).T).categories[0]

    assert column.values == ("b", "a")


def test_codes_distinguish_missing_unknown_and_known() -> None:
    words = np.array([["a", "a"]] * 5 + [["b", "x"]] * 5, dtype=object)
    layout = layout_of(np.zeros((10, 1)), words)

    codes = layout.codes(np.array([["", "never"], ["b", "a"]], dtype=object))

    first, second = layout.offsets
    assert codes.tolist() == [
        [first + MISSING_ROW, second + UNKNOWN_ROW],
        [first + FIRST_VALUE + 1, second + FIRST_VALUE],
    ]


def test_answers_of_a_regression_stay_near_the_training_labels() -> None:
    labels = np.array([1.0, 3.0])
    rows = Rows(np.zeros((2, 1)), np.empty((2, 0), dtype=object), labels)
    plain = learn_layout(rows, Inputs(("n",), ()), Kind.REGRESSION, classes=(), bins=4, transform="none").target
    logged = learn_layout(rows, Inputs(("n",), ()), Kind.REGRESSION, classes=(), bins=4, transform="log1p").target

    assert (plain.lower, plain.upper, plain.centre) == (0.0, 4.0, 2.0)
    assert logged.lower == pytest.approx(np.log(2) / 2)


def with_labels(kind: Kind, part: str, labels: list) -> dict[str, pa.Table]:
    found = tables(kind, 40)
    column = pa.array(np.resize(np.array(labels), found[part].num_rows))
    return {**found, part: found[part].set_column(found[part].column_names.index("label"), "label", column)}


@pytest.mark.parametrize(
    ("kind", "part", "labels", "problem"),
    [
        (
            Kind.BINARY,
            "train",
            [0],
            "train: all 40 rows are of class 'no', so there is nothing to tell apart",
        ),
        (Kind.MULTICLASS, "validation", [2], "validation: all 20 rows are of class 'c'"),
        (Kind.BINARY, "train", [0, 2], "train: labels run from 0 to 2, but there are 2 classes"),
        (Kind.REGRESSION, "train", [4.0], "train: every label is 4"),
        (Kind.REGRESSION, "train", [1.0, np.nan], "train: 20 labels are missing or infinite"),
        (
            Kind.REGRESSION,
            "test",
            [-1.0, 2.0],
            "test: target.transform is log1p, but the smallest label is -1",
        ),
    ],
)
def test_labels_that_cannot_be_learnt_from(kind: Kind, part: str, labels: list, problem: str) -> None:
    with pytest.raises(ValueError, match="sample: the training set cannot be learnt from") as caught:
        pack_parts(training_set(kind), with_labels(kind, part, labels), "log1p")

    assert problem in str(caught.value)


def test_every_problem_is_told_at_once() -> None:
    found = {**with_labels(Kind.BINARY, "train", [1]), "test": tables(Kind.BINARY, 40)["test"].slice(0, 0)}

    with pytest.raises(ValueError, match=r"train: all 40 rows.*test: no rows"):
        pack_parts(training_set(Kind.BINARY), found, "none")


def test_absent_parts_labels_and_inputs_are_told_at_once() -> None:
    empty = dataclasses.replace(training_set(Kind.BINARY), inputs=Inputs((), ()))

    with pytest.raises(ValueError, match="test: the part is absent; inputs: there are none; train: no column"):
        pack_parts(empty, {"train": pa.table({"x": [1]}), "validation": tables(Kind.BINARY)["train"]}, "none")
