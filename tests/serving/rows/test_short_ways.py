"""The short ways of common requests give what the long ways give, and leave everything unusual to them."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from serving.contract.encoding import pack_table
from serving.log.columns import split_into_batches
from serving.problems import InvalidInput
from serving.rows.plain_tensors import read_float_matrix
from serving.rows.reader import RowReader
from serving.rows.row_shapes import ColumnRows, MatrixRows, TableRows
from tests.serving.graphs import category, contract, number

NONE = memoryview(b"")
READER = RowReader(contract([number("a"), number("b")], out_of_range="reject"), most_rows=1_000)


def tensor(name: str, *values: Any, **other: Any) -> dict[str, Any]:
    return {"name": name, "shape": [len(values)], "datatype": "FP64", "data": list(values)} | other


def test_numbers_as_json_become_the_packed_rows():
    given = read_float_matrix([tensor("a", 1, 2.5), tensor("b", -3, 4)], NONE)
    assert given is not None
    assert READER.read(given).numbers.tolist() == [[1.0, -3.0], [2.5, 4.0]]


def test_binary_numbers_become_the_packed_rows():
    values = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    head = {"shape": [3], "datatype": "FP64", "parameters": {"binary_data_size": 24}}
    given = read_float_matrix([{"name": "a", **head}, {"name": "b", **head}], memoryview(values.tobytes()))
    assert given is not None
    assert READER.read(given).numbers.tolist() == values.T.tolist()


@pytest.mark.parametrize(
    "inputs",
    [
        None,
        [],
        [1],
        [tensor("a", 1.0), tensor("a", 2.0)],  # twice
        [tensor("a", 1.0), tensor("b", 1.0, 2.0)],  # unequal
        [tensor("a", None)],
        [tensor("a", True)],
        [tensor("a", "1")],
        [tensor("a", [1.0])],
        [tensor("a", 10**400)],
        [tensor("a", 1.0, datatype="FP32")],
        [tensor("a", 1.0, datatype="INT64")],
        [tensor("a", 1.0, shape=[1, 1])],
        [tensor("a", 1.0, shape=[2])],
        [tensor("a", 1.0, shape=[0])],
        [tensor("a", 1.0, shape=[{}])],
        [tensor("a", 1.0, data={"0": 1.0})],
        [tensor("a", 1.0, parameters={"binary_data_size": 8})],
        [{"shape": [1], "datatype": "FP64", "data": [1.0]}],  # no name
        [tensor(5, 1.0)],  # type: ignore[arg-type] - a name that is no text
    ],
)
def test_what_is_unusual_or_wrong_is_left_to_the_long_way(inputs):
    assert read_float_matrix(inputs, NONE) is None


def test_binary_of_another_length_is_left_to_the_long_way():
    head = {"name": "a", "shape": [2], "datatype": "FP64", "parameters": {"binary_data_size": 16}}
    assert read_float_matrix([head], memoryview(bytes(15))) is None
    assert read_float_matrix([head | {"parameters": {"binary_data_size": 8}}], memoryview(bytes(16))) is None


def test_a_matrix_in_another_order_is_packed_by_name():
    mixed = RowReader(contract([number("a"), category("code", ("1", "2"), type="integer")]), most_rows=10)
    given = MatrixRows(("code", "a"), np.array([[1.0, 2.0], [5.0, 6.0]]))
    packed = mixed.read(given)
    assert packed.numbers.tolist() == [[5.0], [6.0]]
    assert packed.categories.tolist() == [["1"], ["2"]]
    assert given.as_rows() == [{"code": 1.0, "a": 5.0}, {"code": 2.0, "a": 6.0}]
    with pytest.raises(InvalidInput, match="b: is missing"):
        READER.read(MatrixRows(("a",), np.array([[1.0]])))


@pytest.mark.parametrize(
    ("value", "refused"), [(11.0, True), (-11.0, True), (np.inf, True), (np.nan, False), (10.0, False)]
)
def test_ranges_hold_for_columns_as_they_hold_for_rows(value, refused):
    values = np.zeros((2, 300))
    values[1, 7] = value
    columns = dict(zip("ab", values, strict=True))
    for given in (MatrixRows(("a", "b"), values), ColumnRows(columns, 300), TableRows(pa.table(columns))):
        if refused:
            with pytest.raises(InvalidInput, match="b, row 7"):
                READER.read(given)
        else:
            np.testing.assert_array_equal(READER.read(given).numbers, values.T)


@pytest.mark.parametrize(
    "columns",
    [
        {"a": [1.5, None], "b": [2.0, 3.0]},
        {"a": [1, None], "b": [2.0, 3.0]},
        {"a": [1, 2], "b": [3, 4]},
        {"a": [True, None], "b": [2.0, 3.0]},
        {"a": [None, None], "b": [2.0, 3.0]},
    ],
)
def test_arrow_columns_are_packed_as_in_training(columns):
    table = pa.table(columns)
    expected = pack_table(table, ("a", "b"), ())[0]
    np.testing.assert_array_equal(READER.read(TableRows(table)).numbers, expected)
    single = pa.table({name: pa.array([1.25, 2.5], pa.float32()) for name in "ab"})
    assert READER.read(TableRows(single)).numbers.tolist() == [[1.25, 1.25], [2.5, 2.5]]


class Sized:
    def __init__(self, rows: int) -> None:
        self.rows = rows


def test_large_requests_share_batches_with_large_ones_only():
    records = [Sized(rows) for rows in (1, 1_000, 2, 7_000, 500, 9_000, 300)]
    assert [[record.rows for record in part] for part in split_into_batches(records)] == [
        [1_000, 7_000], [500], [9_000], [300], [1, 2]
    ]  # fmt: skip
    assert [len(part) for part in split_into_batches([Sized(1)] * 10_000)] == [4_096, 4_096, 1_808]
