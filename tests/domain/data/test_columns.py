"""Kinds of columns and changes between them."""

import pytest

from mlops_assets.domain.data.columns import ColumnKind, change, kind_of, known_columns


@pytest.mark.parametrize(
    ("arrow_type", "kind"),
    [
        ("int8", ColumnKind.NUMBER),
        ("uint64", ColumnKind.NUMBER),
        ("double", ColumnKind.NUMBER),
        ("decimal128(10, 2)", ColumnKind.NUMBER),
        ("string", ColumnKind.TEXT),
        ("dictionary<values=string, indices=int32, ordered=0>", ColumnKind.TEXT),
        ("time32[s]", ColumnKind.TEXT),
        ("bool", ColumnKind.BOOLEAN),
        ("timestamp[us, tz=UTC]", ColumnKind.TIME),
        ("date32[day]", ColumnKind.TIME),
        ("null", ColumnKind.EMPTY),
        ("list<item: double>", ColumnKind.OTHER),
    ],
)
def test_each_arrow_type_has_a_kind(arrow_type, kind):
    assert kind_of(arrow_type) is kind


def test_a_change_is_told_whole_and_only_some_break():
    found = change({"a": "int64", "b": "string", "c": "double"}, {"a": "string", "c": "int64", "d": "bool"})
    assert (found.added, found.removed, len(found.changed)) == (("d",), ("b",), 1)
    assert found.breaking
    assert "a was number (int64), is text (string)" in str(found)
    assert not change({"a": "int64"}, {"a": "int64", "b": "null"}).breaking


def test_a_column_without_values_fits_every_kind():
    assert not change({"a": "null"}, {"a": "string"})
    assert not change({"a": "string"}, {"a": "null"})
    assert known_columns([{"a": "int64"}, {"a": "null", "b": "null"}]) == {"a": "int64", "b": "null"}
