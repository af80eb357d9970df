"""Rows against the contract: what goes through, what is told back, and the same answer from every shape."""

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from serving.problems import InvalidInput
from serving.rows.reader import RowReader
from serving.rows.row_shapes import ColumnRows, NamedRows, TableRows
from tests.serving.graphs import category, contract, number

FIELDS = (
    number("distance"),
    number("hour", type="integer", lower=0, upper=23),
    number("holiday", type="boolean", lower=0, upper=1),
    category("carrier"),
    category("gate", ("1", "2"), type="integer"),
)
ROW: dict[str, Any] = {"distance": 1.5, "hour": 3, "holiday": True, "carrier": "AA", "gate": 2}


def reader(policy: str = "reject", **other) -> RowReader:
    return RowReader(contract(FIELDS, out_of_range=policy, **other), most_rows=100)


def refused(rows: list[Any], policy: str = "reject") -> list[tuple[Any, ...]]:
    with pytest.raises(InvalidInput) as caught:
        reader(policy).read(NamedRows(rows))
    return [tuple(problem) for problem in caught.value.problems]


def test_a_row_is_packed_in_the_contracts_order():
    packed = reader().read(NamedRows([ROW]))
    assert packed.numbers.tolist() == [[1.5, 3.0, 1.0]]
    assert packed.categories.tolist() == [["AA", "2"]]
    assert packed.notes == ()


@pytest.mark.parametrize("name", list(ROW))
def test_null_is_a_missing_value_for_every_field(name):
    packed = reader().read(NamedRows([ROW | {name: None}]))
    values = [*packed.numbers[0].tolist(), *packed.categories[0].tolist()]
    missing = [value for value in values if value == "" or value != value]
    assert len(missing) == 1


def test_a_whole_number_may_be_written_with_a_point():
    assert reader().read(NamedRows([ROW | {"hour": 3.0}])).numbers[0, 1] == 3.0


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"distance": "far"}, "distance", "must be a number or null, not 'far'"),
        ({"distance": True}, "distance", "must be a number or null, not True"),
        ({"hour": 3.5}, "hour", "must be a whole number or null, not 3.5"),
        ({"holiday": 1}, "holiday", "must be true or false or null, not 1"),
        ({"carrier": 7}, "carrier", "must be text or null, not 7"),
        ({"carrier": "x" * 1_001}, "carrier", "is longer than 1000 characters"),
        ({"carrier": {"a": 1}}, "carrier", "must be text or null, not an object"),
        ({"gate": "A"}, "gate", "must be a whole number or null, not 'A'"),
        ({"gust": 1}, "gust", "is no field of this model"),
        ({"distance": 11.0}, "distance", "11 is outside -10 to 10"),
    ],
)
def test_a_violation_is_told_with_field_row_and_reason(change, field, reason):
    assert refused([ROW, ROW | change]) == [(field, 1, reason)]


def test_every_violation_is_told_at_once():
    row = {name: value for name, value in ROW.items() if name != "hour"}
    found = refused([row | {"distance": "x"}, 7, ROW | {"gust": 1}])
    assert {(field, index) for field, index, _ in found} == {("distance", 0), ("hour", 0), (None, 1), ("gust", 2)}


def test_no_rows_and_too_many_are_refused():
    assert "1 to 100 rows" in refused([])[0][2]
    assert "1 to 100 rows" in refused([ROW] * 101)[0][2]


@pytest.mark.parametrize(("policy", "value"), [("clip", 10.0), ("flag", 50.0)])
def test_out_of_range_is_clipped_or_flagged_as_declared(policy, value):
    packed = reader(policy).read(NamedRows([ROW | {"distance": 50}]))
    assert packed.numbers[0, 0] == value
    assert packed.notes == (
        f"distance: {'clipped to' if policy == 'clip' else 'outside'} what training saw, -10 to 10",
    )


def test_a_category_never_seen_goes_through_and_is_flagged():
    packed = reader().read(NamedRows([ROW | {"carrier": "ZZ"}]))
    assert packed.categories[0, 0] == "ZZ"
    assert packed.notes == ("carrier: a category that training did not see",)


def test_entity_keys_may_stand_beside_the_fields():
    packed = reader(entity=("tail",)).read(NamedRows([ROW | {"tail": "N1"}]))
    assert packed.numbers.shape == (1, 3)


def test_infinity_from_a_tensor_is_out_of_any_range():
    columns = ColumnRows(_columns() | {"distance": np.array([math.inf])}, 1)
    with pytest.raises(InvalidInput, match="distance, row 0: inf is outside"):
        reader().read(columns)
    free = RowReader(contract([number("distance", lower=None, upper=None)], out_of_range="reject"), most_rows=9)
    with pytest.raises(InvalidInput, match="outside the finite numbers"):
        free.read(ColumnRows({"distance": np.array([-math.inf])}, 1))


def _columns() -> dict[str, Any]:
    return {
        "distance": np.array([1.5], dtype=np.float32),
        "hour": np.array([3]),
        "holiday": np.array([True]),
        "carrier": ["AA"],
        "gate": np.array([2]),
    }


def test_json_tensors_and_arrow_pack_alike():
    expected = reader().read(NamedRows([ROW]))
    for given in (ColumnRows(_columns(), 1), TableRows(pa.Table.from_pylist([ROW]))):
        packed = reader().read(given)
        assert packed.numbers.tolist() == expected.numbers.tolist()
        assert packed.categories.tolist() == expected.categories.tolist()


def test_tensors_and_arrow_tell_names_that_are_wrong():
    columns = _columns() | {"gust": np.array([1.0])}
    del columns["hour"]
    with pytest.raises(InvalidInput, match=r"gust: is no field of this model; hour: is missing"):
        reader().read(ColumnRows(columns, 1))
    table = pa.Table.from_pylist([ROW]).append_column("gust", pa.array([1])).drop_columns(["hour"])
    with pytest.raises(InvalidInput, match=r"gust: is no field of this model; hour: is missing"):
        reader().read(TableRows(table))


def test_a_fraction_in_a_whole_number_tensor_is_refused():
    with pytest.raises(InvalidInput, match="hour, row 0: must be a whole number"):
        reader().read(ColumnRows(_columns() | {"hour": np.array([3.5])}, 1))
