"""Rows that go on, rows that wait, and that there are no others."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.domain.data.quarantine import Partition, divide, groups, prepare, repeats, without_fault
from mlops_assets.domain.names import CREATED_TIME, EVENT_TIME, REASONS, ROW_KEY
from tests.kit.specs import START, feed_spec

LATEST = START + timedelta(days=30)
PLACES = [Partition(ordinal=19723 + day, first_position=0) for day in range(3)]


def events(*at: object, ids: list | None = None, **more: list) -> pa.Table:
    return pa.table({"at": pa.array(at, pa.string()), "id": ids or list(range(len(at))), **more})


def prepared(*raw: pa.Table, feed=None, **declared: str):
    return prepare(list(raw), PLACES[: len(raw)], feed or feed_spec(), declared, latest=LATEST)


def test_keyed_rows_get_times_and_no_row_id():
    ready = prepared(events("2024-01-01T05:00"), feed=feed_spec(timezone="America/New_York"))
    assert ready.rows.column_names == ["at", "id", EVENT_TIME, CREATED_TIME]
    assert ready.rows[EVENT_TIME].to_pylist() == [datetime(2024, 1, 1, 10, tzinfo=UTC)]
    assert ready.faults == {}


def test_a_row_id_names_partition_and_place():
    ready = prepared(events("2024-01-01"), events("2024-01-02", "2024-01-02"), feed=feed_spec(key=()))
    assert ready.rows[ROW_KEY].to_pylist() == [19723 << 32, 19724 << 32, (19724 << 32) + 1]


def test_each_partition_is_typed_as_if_it_were_alone():
    whole, broken = events("2024-01-01", x=[1]), events("2024-01-02", x=[1.5])
    both = prepared(whole, pa.table({}), broken)
    assert both.parts[0].equals(prepared(whole).parts[0])
    assert both.parts[1].num_rows == 0
    assert str(both.parts[2].schema.field("x").type) == "double"
    assert both.partition.tolist() == [0, 2]


def test_position_stands_in_for_time_from_the_partition_s_first():
    places = [Partition(0, 0), Partition(1, 3600)]
    raw = [pa.table({"x": [1, 2]}), pa.table({"x": [3]})]
    ready = prepare(raw, places, feed_spec(time=(), order="row", key=()), {}, latest=LATEST)
    seconds = [int(moment.timestamp()) for moment in ready.rows[EVENT_TIME].to_pylist()]
    assert seconds == [0, 1, 3600]


def test_faults_that_need_no_declaration():
    ready = prepared(
        events(
            "2024-01-01", None, "2025-01-01", "2024-01-01", "2024-01-01",
            ids=[1, 2, 3, None, 5], x=["1", "1", "1", "1", "one"], y=[0.0, 0.0, 0.0, 0.0, float("inf")],
        ),
        x="number",
    )  # fmt: skip
    assert {reason: np.flatnonzero(mask).tolist() for reason, mask in ready.faults.items()} == {
        "at: no readable event time": [1],
        "at: in the future": [2],
        "id: key is missing": [3],
        "x: not readable as number": [4],
        "y: infinite": [4],
    }


def test_only_rows_that_arrive_ahead_are_from_the_future():
    feed = feed_spec(arrived="came")
    rows = events(
        "2025-01-01",
        "2024-01-01",
        "2025-01-01",
        "2024-01-01",
        came=["2024-01-01", "2025-01-01", "2025-06-01", None],
    )
    ready = prepared(rows, feed=feed)
    assert {reason: np.flatnonzero(mask).tolist() for reason, mask in ready.faults.items()} == {
        "came: in the future": [1, 2],
        "at: in the future": [2],
        "came: no readable arrival time": [3],
    }


def test_the_first_good_repeat_of_a_partition_is_kept():
    rows = pa.table({"a": [1, 1, 1, 1, None, None], "b": ["x", "x", "x", "x", "x", "x"]})
    group = groups(rows, ["a", "b"], np.array([0, 0, 0, 1, 1, 1]))
    assert repeats(group, np.ones(6, bool)).tolist() == [False, True, True, False, False, False]
    assert repeats(group, np.array([False, True, True, True, True, True])).tolist() == [
        False,
        False,
        True,
        False,
        False,
        False,
    ]


def test_quarantined_rows_are_as_they_came_with_every_reason():
    raw = [events("2024-01-01", "2024-01-01", x=["1", "one"])]
    ready = prepared(*raw, x="number")
    (parts,) = divide(ready, ready.faults | {"x: small": np.array([False, True])}, raw)
    assert parts.valid["x"].to_pylist() == [1.0]
    assert parts.quarantined.drop_columns([REASONS]).equals(raw[0].slice(1))
    assert parts.quarantined[REASONS].to_pylist() == [["x: not readable as number", "x: small"]]


texts = st.sampled_from(["2024-01-01", "2024-01-02T05:00:00Z", "2030-01-01", "never", "", None])
numbers = st.one_of(st.none(), st.floats(), st.integers(-5, 5).map(float))
one_row = st.tuples(texts, st.one_of(st.none(), st.integers(0, 3)), numbers, st.sampled_from(["1", "x", "", None]))


def table_of(rows: list[tuple]) -> pa.Table:
    kinds = {"at": pa.string(), "id": pa.int64(), "x": pa.float64(), "t": pa.string()}
    columns = {name: pa.array([row[at] for row in rows], kind) for at, (name, kind) in enumerate(kinds.items())}
    return pa.table(columns if rows else {})


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(one_row, max_size=6), min_size=1, max_size=3))
def test_no_row_is_lost_and_none_is_in_both(partitions):
    raw = [table_of(rows) for rows in partitions]
    ready = prepared(*raw, t="number")
    faults = dict(ready.faults)
    if ready.rows.num_rows:
        again = repeats(groups(ready.rows, ["id"], ready.partition), without_fault(faults, ready.rows.num_rows))
        faults["again"] = again
    divided = divide(ready, faults, raw)
    for rows, parts in zip(raw, divided, strict=True):
        assert parts.valid.num_rows + parts.quarantined.num_rows == rows.num_rows
        if rows.num_rows:
            came = Counter(map(str, rows["id"].to_pylist()))
            went = Counter(map(str, parts.valid["id"].to_pylist())) + Counter(
                map(str, parts.quarantined["id"].to_pylist())
            )
            assert came == went
        if parts.valid.num_rows:
            ids = parts.valid["id"].to_pylist()
            assert len(ids) == len(set(ids))
            assert parts.valid[EVENT_TIME].null_count == 0
        if parts.quarantined.num_rows:
            assert all(parts.quarantined[REASONS].to_pylist())
