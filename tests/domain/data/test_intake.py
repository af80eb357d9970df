"""Rows on their way in: windows, partitions, pieces that do not agree."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from mlops_assets.declaration.data import Every
from mlops_assets.domain.data.intake import NO_TIME, Piece, cut, known_after, partitions_in, split, together
from mlops_assets.domain.partitions import windows
from mlops_assets.domain.times import event_times
from tests.kit.specs import START, feed_spec

FEED = feed_spec()
DAYS = windows(Every.DAY, ["2024-01-01", "2024-01-02", "2024-01-03"])


def rows(*times: object, **more: list) -> pa.Table:
    return pa.table({"at": pa.array(times, pa.string()), "n": list(range(len(times))), **more})


def piece(table: pa.Table) -> Piece:
    return Piece(table, event_times(table, FEED, np.arange(table.num_rows)))


def test_a_window_is_cut_exactly_and_untimed_rows_stay():
    table = rows("2024-01-01T23:59:59", "2024-01-02", "2024-01-02T23:59:59", "2024-01-03", "?", None)
    (found,) = cut([table], FEED, DAYS[1].start, DAYS[1].end, known_by=None)
    assert found.rows["n"].to_pylist() == [1, 2, 4, 5]


def test_a_replay_sees_only_what_had_arrived():
    feed = feed_spec(arrived="came")
    table = rows("2024-01-01", "2024-01-01", "2024-01-02", came=["2024-01-01", "2024-01-05", None])
    (found,) = cut([table], feed, None, None, known_by=datetime(2024, 1, 3, tzinfo=UTC))
    assert found.rows["n"].to_pylist() == [0, 2]
    assert known_after(table, feed, datetime(2024, 1, 3, tzinfo=UTC))["n"].to_pylist() == [1]


def test_rows_go_to_their_events_partition_in_order():
    table = rows("2024-01-03", "2024-01-01T05:00", "?", "2024-01-03T01:00", "2024-01-01", "2025-01-01")
    parts = split([piece(table)], DAYS, untyped=False)
    assert {name: part["n"].to_pylist() for name, part in parts.items()} == {
        "2024-01-01": [1, 4],
        "2024-01-03": [0, 3],
        NO_TIME: [2],
    }


def test_a_partition_is_the_same_whatever_range_it_is_read_in():
    narrow = pa.table({"at": ["2024-01-01"], "x": [1]})
    wide = pa.table({"at": ["2024-01-02"], "x": [1.5]})
    alone = split([piece(narrow)], DAYS[:1], untyped=False)["2024-01-01"]
    in_range = split([piece(narrow), piece(wide)], DAYS, untyped=False)["2024-01-01"]
    assert alone.equals(in_range)


def test_types_that_do_not_agree_become_texts():
    mixed = together([pa.table({"x": [1], "y": [1]}), pa.table({"x": ["a"], "y": [2.5]})])
    assert mixed.to_pydict() == {"x": ["1", "a"], "y": [1.0, 2.5]}


def test_a_source_without_types_gives_none_to_an_empty_column():
    table = rows("2024-01-01", x=pa.array([None], pa.string()))
    assert split([piece(table)], DAYS, untyped=True)["2024-01-01"].schema.field("x").type == pa.null()
    assert split([piece(table)], DAYS, untyped=False)["2024-01-01"].schema.field("x").type == pa.string()


def test_the_partitions_of_rows_are_named():
    table = rows("2024-01-01", "2024-01-01T12:00", "2024-01-03", "?")
    assert partitions_in([piece(table)], Every.DAY) == {"2024-01-01", "2024-01-03"}
    assert partitions_in([piece(table)], Every.MONTH) == {"2024-01"}
    assert partitions_in([piece(table)], Every.NONE) == {"all"}


def test_missing_time_columns_are_named_beside_present_ones():
    feed = feed_spec(time=("day", "hour"), arrived="came")
    with pytest.raises(ValueError, match=r"'day'.*'hour'.*'came'.*It has: at, n"):
        list(cut([rows("2024-01-01")], feed, START, START + timedelta(days=1), known_by=None))
