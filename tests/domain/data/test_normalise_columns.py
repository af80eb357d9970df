"""Columns in their canonical types."""

from datetime import UTC, date, datetime, time
from decimal import Decimal

import pyarrow as pa
import pytest

from mlops_assets.domain.data.normalise_columns import normalise_columns
from tests.kit.specs import feed_spec


@pytest.mark.parametrize(
    ("values", "declared", "kind", "expected", "lost"),
    [
        ([1, None], None, "int64", [1, None], 0),
        ([1.5, float("nan")], None, "double", [1.5, None], 0),
        ([Decimal("1.50")], None, "double", [1.5], 0),
        (["a", "", "?"], None, "string", ["a", None, None], 0),
        ([True, None], None, "bool", [True, None], 0),
        ([date(2013, 1, 1)], None, "timestamp[us, tz=UTC]", [datetime(2013, 1, 1, tzinfo=UTC)], 0),
        ([time(10, 30)], None, "string", ["10:30:00.000000"], 0),
        ([[1.0, 2.0]], None, "list<item: double>", [[1.0, 2.0]], 0),
        ([None, None], "number", "null", [None, None], 0),
        (["1", "2.5", "abc", "?"], "number", "double", [1.0, 2.5, None, None], 1),
        ([1.0, 2.5, 1e300], "integer", "int64", [1, None, None], 2),
        (["7", "x"], "integer", "int64", [7, None], 1),
        ([5, 6], "text", "string", ["5", "6"], 0),
        (["True", "no", "1", "maybe"], "boolean", "bool", [True, False, True, None], 1),
        ([0, 1, 2], "boolean", "bool", [False, True, None], 1),
        (
            ["2013-01-01", "soon"],
            "time",
            "timestamp[us, tz=UTC]",
            [datetime(2013, 1, 1, tzinfo=UTC), None],
            1,
        ),
    ],
)
def test_a_column_gets_its_type_and_what_cannot_is_a_fault(values, declared, kind, expected, *, lost):
    result = normalise_columns(pa.table({"x": values}), feed_spec(missing=("?",)), {"x": declared} if declared else {})
    assert str(result.rows["x"].type) == kind
    assert result.rows["x"].to_pylist() == expected
    assert sum(mask.sum() for mask in result.faults.values()) == lost


def test_a_dictionary_loses_its_coding_and_keeps_its_values():
    rows = pa.table({"x": pa.array(["a", "b", "a"]).dictionary_encode()})
    assert normalise_columns(rows, feed_spec(), {}).rows["x"].to_pylist() == ["a", "b", "a"]


def test_a_number_can_be_a_marker_of_no_value():
    result = normalise_columns(pa.table({"x": [1, -999], "y": [-999.0, 2.0]}), feed_spec(missing=("-999",)), {})
    assert result.rows.to_pydict() == {"x": [1, None], "y": [None, 2.0]}


def test_infinite_numbers_are_faults():
    result = normalise_columns(pa.table({"x": [1.0, float("inf"), float("-inf")]}), feed_spec(), {})
    assert result.faults["x: infinite"].tolist() == [False, True, True]
