"""Sources that shrink, repeat themselves, change their columns."""

from dataclasses import replace

import pyarrow as pa

from mlops_assets.domain.data.source_checks import (
    BODY,
    Arrival,
    body,
    every_row_timed,
    kept_rows,
    kept_schema,
    no_repeats,
)
from mlops_assets.domain.records import Snapshot
from tests.kit.specs import START, feed_spec


def snapshot(partition: str, rows: int = 10, said: str = "", **columns: str) -> Snapshot:
    inputs = {BODY: said} if said else {}
    return Snapshot(partition, "d", rows, "f", None, None, columns or {"x": "int64"}, inputs, START)


def arrival(*after: Snapshot, before: tuple[Snapshot, ...] = (), others: tuple[Snapshot, ...] = ()) -> Arrival:
    named = [{each.partition: each for each in several} for several in (before, after, others)]
    return Arrival("events", *named, untimed=0)


def test_a_source_that_shrank_is_seen():
    verdict = kept_rows([arrival(snapshot("b", 9), snapshot("c", 1), before=(snapshot("b", 10),))])
    assert not verdict.passed
    assert "events b: 9 rows, 10 before" in verdict.reason
    assert kept_rows([arrival(snapshot("b", 11), before=(snapshot("b", 10),))]).passed


def test_a_repeated_partition_is_detected_across_runs():
    assert "b repeats a" in no_repeats([arrival(snapshot("a", said="1"), snapshot("b", said="1"))]).reason
    assert "b repeats a" in no_repeats([arrival(snapshot("b", said="1"), others=(snapshot("a", said="1"),))]).reason
    assert no_repeats([arrival(snapshot("b", said="2"), others=(snapshot("a", said="1"),))]).passed


def test_what_rows_say_leaves_out_which_they_are_and_when():
    feed = feed_spec(arrived="came")
    rows = pa.table({"id": range(30), "at": range(30), "came": range(30), "x": range(30)})
    said = body(rows, feed)
    assert said is not None
    assert said.column_names == ["x"]
    assert body(rows.slice(0, 5), feed) is None  # a handful may well be alike
    assert body(rows.select(["id", "at"]), feed) is None


def test_column_changes_are_reported_once_where_they_begin():
    changed = [snapshot("b", x="string", y="int64"), snapshot("c", x="string", y="int64")]
    verdict = kept_schema([arrival(*changed, others=(snapshot("a", x="int64", z="bool"),))])
    assert not verdict.passed
    assert verdict.numbers["problems"] == 1
    for told in ("events b", "new: y", "missing: z", "x was number (int64), is text (string)"):
        assert told in verdict.reason


def test_an_empty_partition_changes_no_schema():
    empty = replace(snapshot("b"), rows=0, columns={})
    assert kept_schema([arrival(snapshot("a"), empty, snapshot("c"))]).passed


def test_rows_without_a_time_are_counted():
    verdict = every_row_timed([replace(arrival(snapshot("a")), untimed=3)])
    assert not verdict.passed
    assert "events: 3 rows" in verdict.reason
