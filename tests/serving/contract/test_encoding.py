"""One packing for tables and for rows."""

import math
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.contract.encoding import pack_rows, pack_table, text_of


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("", ""),
        ("AA", "AA"),
        (" é ", " é "),
        (True, "true"),
        (np.False_, "false"),
        (7, "7"),
        (np.int64(-7), "-7"),
        (7.0, "7"),
        (-0.0, "0"),
        (7.5, "7.5"),
        (Decimal("7.0"), "7"),
        (math.nan, ""),
        (math.inf, "inf"),
        (1e300, "1e+300"),
    ],
)
def test_text_of_a_category(value: object, text: str) -> None:
    assert text_of(value) == text


def test_a_list_is_no_category() -> None:
    with pytest.raises(TypeError, match="carrier: a category is text"):
        pack_rows([{"carrier": ["AA"]}], (), ("carrier",))


NUMBERS = st.one_of(st.none(), st.integers(-(10**6), 10**6), st.floats(), st.booleans())
CATEGORIES = {
    "text": st.one_of(st.none(), st.text(max_size=5)),
    "whole": st.one_of(st.none(), st.integers(-(2**53), 2**53)),
    "float": st.one_of(st.none(), st.floats()),
    "truth": st.one_of(st.none(), st.booleans()),
}
ROWS = st.lists(
    st.fixed_dictionaries({"number": st.one_of(st.none(), st.floats()), **CATEGORIES}), min_size=1, max_size=9
)


@settings(deadline=None, max_examples=60)
@given(ROWS)
def test_rows_and_tables_are_packed_alike(rows: list[dict]) -> None:
    types = [pa.float64(), pa.string(), pa.int64(), pa.float64(), pa.bool_()]
    schema = pa.schema(list(zip(("number", *CATEGORIES), types, strict=True)))
    table = pa.Table.from_pylist(rows, schema=schema)

    of_table = pack_table(table, ("number",), tuple(CATEGORIES))
    of_rows = pack_rows(rows, ("number",), tuple(CATEGORIES))

    np.testing.assert_array_equal(of_table[0], of_rows[0])
    assert of_table[1].tolist() == of_rows[1].tolist()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.fixed_dictionaries({"a": NUMBERS, "b": NUMBERS}), min_size=1, max_size=9))
def test_numbers_of_mixed_types_become_floats(rows: list[dict]) -> None:
    packed, _ = pack_rows(rows, ("a", "b"), ())

    expected = [[math.nan if row[n] is None else float(row[n]) for n in ("a", "b")] for row in rows]
    np.testing.assert_array_equal(packed, np.array(expected))


def test_an_absent_field_is_missing_and_a_huge_integer_saturates() -> None:
    numbers, categories = pack_rows([{"big": 10**400}], ("big", "absent"), ("absent too",))

    assert numbers[0, 0] == math.inf
    assert math.isnan(numbers[0, 1])
    assert categories.tolist() == [[""]]


def test_text_is_never_taken_for_a_number() -> None:
    with pytest.raises(TypeError, match="delay: a number cannot be list; distance: a number cannot be str"):
        pack_rows([{"delay": [1], "distance": "12", "fine": 1}], ("distance", "delay", "fine"), ())


def test_one_error_lists_every_bad_column() -> None:
    table = pa.table({"t": ["a"], "l": [[1]]})

    with pytest.raises(ValueError, match="absent: no such column") as caught:
        pack_table(table, ("absent", "t"), ("l",))

    assert "t: a number cannot be string" in str(caught.value)
    assert "l: a category cannot be list" in str(caught.value)


def test_dictionaries_decimals_and_null_columns_are_plain_values() -> None:
    table = pa.table(
        {
            "decimal": pa.array([Decimal("1.5"), None]),
            "nothing": pa.nulls(2),
            "colour": pa.array(["red", None]).dictionary_encode(),
        }
    )

    numbers, categories = pack_table(table, ("decimal", "nothing"), ("colour", "nothing"))

    np.testing.assert_array_equal(numbers, [[1.5, math.nan], [math.nan, math.nan]])
    assert categories.tolist() == [["red", ""], ["", ""]]


def test_no_columns_of_a_kind_give_empty_arrays() -> None:
    assert [a.shape for a in pack_rows([{}, {}], (), ())] == [(2, 0), (2, 0)]
    assert [a.shape for a in pack_table(pa.table({"x": [1, 2]}), ("x",), ())] == [(2, 1), (2, 0)]
