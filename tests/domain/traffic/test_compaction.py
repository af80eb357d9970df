"""Which rows of a log make a day."""

from datetime import UTC, datetime

import pyarrow as pa

from mlops_assets.domain.traffic.compaction import (
    common_schema,
    count_by_day,
    count_distinct,
    fit_schema,
    gather_batches,
    rows_of_day,
    select_rows,
)

START = datetime(2024, 3, 1, tzinfo=UTC)


def keys(*rows: tuple[str, int, str]) -> pa.Table:
    names = ("request_id", "row", "version")
    return pa.table({name: [row[place] for row in rows] for place, name in enumerate(names)})


def test_the_first_of_each_identity_is_kept():
    kept = select_rows(keys(("a", 0, "1"), ("a", 1, "1"), ("a", 0, "2"), ("a", 0, "1")), [])
    assert kept.mask.tolist() == [True, True, True, False]
    assert (kept.rows, kept.repeated, kept.elsewhere) == (3, 1, 0)


def test_what_another_day_holds_is_left_to_it():
    other = keys(("b", 0, "1"), ("a", 0, "2"))
    kept = select_rows(keys(("a", 0, "1"), ("b", 0, "1"), ("b", 0, "1")), [other])
    assert kept.mask.tolist() == [True, False, False]
    assert (kept.repeated, kept.elsewhere) == (1, 1)


def test_no_rows_are_no_trouble():
    assert select_rows(keys().cast(keys(("a", 0, "1")).schema), []).rows == 0


def test_identities_are_counted_once():
    assert count_distinct(keys(("a", 0, "1"), ("a", 0, "1"), ("a", 1, "1"))) == 2


def test_a_day_ends_before_the_next_begins():
    times = [datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC), START, datetime(2024, 3, 2, tzinfo=UTC)]
    table = pa.table({"time": pa.array(times, pa.timestamp("us", "UTC"))})
    assert rows_of_day(table, START)["time"].to_pylist() == [START]
    assert count_by_day(table["time"]) == {"2024-02-29": 1, "2024-03-01": 1, "2024-03-02": 1}


def test_small_batches_are_gathered_and_none_is_lost():
    batches = [pa.record_batch({"n": pa.array([number])}) for number in range(40_000)]
    pieces = list(gather_batches(batches))
    assert len(pieces) == 3
    assert [value for piece in pieces for value in piece["n"].to_pylist()] == list(range(40_000))


def test_rows_of_versions_with_other_features_fit_one_schema():
    one = pa.table({"features": [{"a": 1.0}], "entities": pa.nulls(1, pa.struct([]))})
    two = pa.table({"features": [{"a": "x", "b": 2.0}], "role": ["shadow"], "entities": pa.nulls(1, pa.struct([]))})
    schema = common_schema([one.schema, two.schema])
    assert "entities" not in schema.names  # without a field Parquet cannot hold it
    assert fit_schema(one, schema).to_pylist() == [{"features": {"a": "1", "b": None}, "role": None}]
    assert fit_schema(two, schema).to_pylist() == [{"features": {"a": "x", "b": 2.0}, "role": "shadow"}]


def test_rows_without_features_stay_so():
    rows = pa.table({"features": pa.nulls(2, pa.struct([("a", pa.float64())]))})
    schema = pa.schema([("features", pa.struct([("a", pa.float64()), ("b", pa.string())]))])
    assert fit_schema(rows, schema)["features"].to_pylist() == [None, None]
