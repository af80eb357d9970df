"""The digest follows the content, and only that."""

import io
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.domain.digest import content_digest

COLUMNS = {
    "integer": pa.array([1, None, 3, 4, 5, 6]),
    "number": pa.array([1.5, None, float("nan"), -0.0, 5.0, 6.0]),
    "small": pa.array([1, 2, None, 4, 5, 6], pa.int8()),
    "text": pa.array(["a", None, "", "longer", "ü", "z"]),
    "large": pa.array(["a", None, "", "longer", "ü", "z"], pa.large_string()),
    "binary": pa.array([b"a", None, b"", b"\0", b"b", b"c"]),
    "flag": pa.array([True, None, False, True, True, False]),
    "time": pa.array([datetime(2024, 1, day, tzinfo=UTC) for day in range(1, 7)], pa.timestamp("us", tz="UTC")),
    "day": pa.array([date(2024, 1, day) for day in range(1, 7)]),
    "vector": pa.array([[1.0], None, [], [2.0, None], [3.0], [4.0]], pa.list_(pa.field("element", pa.float64()))),
    "money": pa.array([Decimal("1.50"), None, Decimal("2.00"), Decimal("3.00"), Decimal("4.00"), Decimal("5.00")]),
    "coded": pa.array(["a", None, "b", "a", "b", "c"]).dictionary_encode(),
    "parts": pa.array([{"x": 1}, None, {"x": 2}, {"x": 3}, {"x": 4}, {"x": 5}]),
    "nothing": pa.nulls(6),
}


def fresh(values: pa.Array) -> pa.Array:
    """The same values in memory of their own."""
    return pa.array(values.to_pylist(), values.type)


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize(("start", "length"), [(0, 6), (0, 3), (2, 3), (5, 1), (3, 0)])
def test_a_slice_is_the_same_as_a_copy(name, start, length):
    part = COLUMNS[name].slice(start, length)
    assert content_digest(pa.table({"x": part})) == content_digest(pa.table({"x": fresh(part)}))


@pytest.mark.parametrize("name", COLUMNS)
def test_chunks_and_files_make_no_difference(name):
    whole = pa.table({"x": COLUMNS[name]})
    chunked = pa.table({"x": pa.chunked_array([COLUMNS[name].slice(0, 2), COLUMNS[name].slice(2)])})
    assert content_digest(chunked) == content_digest(whole)
    file = io.BytesIO()
    pq.write_table(whole, file)
    assert content_digest(pq.read_table(file)) == content_digest(whole)


def test_what_lies_under_a_null_makes_no_difference():
    hidden = pc.if_else(pa.array([True, False]), pa.array([1, 2]), pa.scalar(None, pa.int64()))
    assert content_digest(pa.table({"x": hidden})) == content_digest(pa.table({"x": [1, None]}))


@pytest.mark.parametrize("name", [name for name in COLUMNS if name != "nothing"])
def test_any_other_value_name_type_or_order_makes_one(name):
    values = COLUMNS[name]
    plain = content_digest(pa.table({"x": values}))
    others = [
        pa.table({"y": values}),
        pa.table({"x": values.slice(0, 5)}),
        pa.table({"x": pc.take(values, pa.array([1, 0, 2, 3, 4, 5]))}),
        pa.table({"x": pc.take(values, pa.array([0, 1, 2, 3, 4, 4]))}),
    ]
    assert plain not in {content_digest(other) for other in others}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.text(max_size=3)), max_size=5),
    st.lists(st.one_of(st.none(), st.text(max_size=3)), max_size=5),
)
def test_texts_have_the_same_digest_only_if_they_are_the_same(one, other):
    tables = [pa.table({"x": pa.array(values, pa.string())}) for values in (one, other)]
    assert (content_digest(tables[0]) == content_digest(tables[1])) == (one == other)
