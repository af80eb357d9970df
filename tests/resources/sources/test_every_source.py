"""What every source promises, whatever keeps its rows. Vendors have files of their own for what only they can do."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mlops_assets.resources.sources.declared import DeclaredSource
from tests.kit.specs import START
from tests.resources.sources.stored_rows import ALWAYS, StoredFeed, in_postgres

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = START + 30 * DAY
INSTANT = timedelta(microseconds=1)
ZONED, NAIVE = pa.timestamp("us", "UTC"), pa.timestamp("us")
# A row at each edge of the second day, one before, one after, one later still, one without a time.
MOMENTS = [START, START + DAY, START + 2 * DAY - INSTANT, START + 2 * DAY, START + 5 * DAY, None]
IDS = list(range(len(MOMENTS)))
Store = Callable[[pa.Table], StoredFeed]


@pytest.fixture(
    params=[
        *(pytest.param(keep, id=keep.__name__) for keep in ALWAYS),
        pytest.param("postgres", id="postgres", marks=pytest.mark.needs_postgres),
    ]
)
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Puts a table where this kind of source keeps its rows."""
    monkeypatch.syspath_prepend(str(tmp_path))
    with ExitStack() as tables:
        if request.param == "postgres":
            url = request.getfixturevalue("postgres_url")
            yield lambda rows: tables.enter_context(in_postgres(rows, url))
        else:
            yield lambda rows: request.param(rows, tmp_path)


def events(moments: list[datetime | None] = MOMENTS, kind: pa.DataType = ZONED, **more: pa.Array) -> pa.Table:
    return pa.table({"id": pa.array(range(len(moments)), pa.int64()), "at": pa.array(moments, kind), **more})


def read(source: DeclaredSource, start: datetime | None = START + DAY, end: datetime | None = START + 2 * DAY, *,
         as_of: datetime = NOW) -> list[dict[str, Any]]:  # fmt: skip
    return [row for piece in source.read("events", start, end, as_of) for row in piece.rows.to_pylist()]


def ids(source: DeclaredSource, *window: datetime | None, as_of: datetime = NOW) -> list[int]:
    return [row["id"] for row in read(source, *window, as_of=as_of)]


def test_a_window_has_its_start_not_its_end_and_the_untimed(store: Store) -> None:
    assert sorted(ids(store(events()).open())) == [1, 2, 5]


def test_each_row_is_in_one_window_and_none_is_lost(store: Store) -> None:
    source = store(events()).open()
    by_day = [ids(source, START + day * DAY, START + (day + 1) * DAY) for day in range(7)]
    assert sorted(each for found in by_day for each in set(found) - {5}) == [0, 1, 2, 3, 4]
    assert sorted(ids(source, None, None)) == IDS


def test_a_window_without_rows_is_empty_and_no_error(store: Store) -> None:
    assert ids(store(events(MOMENTS[:-1])).open(), START + 3 * DAY, START + 4 * DAY) == []


def test_a_source_without_rows_is_empty_and_no_error(store: Store) -> None:
    assert ids(store(events([])).open()) == []


def test_the_same_window_again_has_the_same_rows_in_order(store: Store) -> None:
    feed = store(events(list(reversed(MOMENTS))))
    assert read(feed.open()) == read(feed.open())


def test_events_are_read_as_moments_in_utc(store: Store) -> None:
    pieces = store(events(MOMENTS[:-1])).open().read("events", None, None, NOW)
    assert {piece.events.type for piece in pieces} == {ZONED}
    assert sorted(each for piece in pieces for each in piece.events.to_pylist()) == MOMENTS[:-1]


@pytest.mark.parametrize(
    ("zone", "start"),
    [
        ("UTC", START + DAY),
        ("America/New_York", START + DAY + 5 * HOUR),
        ("Asia/Kolkata", START + DAY - 5.5 * HOUR),
    ],
)
def test_times_without_zone_are_in_that_of_the_feed(store: Store, zone: str, start: datetime) -> None:
    naive = [None if each is None else each.replace(tzinfo=None) for each in MOMENTS]
    source = store(events(naive, NAIVE)).open(timezone=zone)
    assert sorted(ids(source, start, start + DAY)) == [1, 2, 5]


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        (lambda at: f"{at:%Y-%m-%d %H:%M:%S}", pa.string()),
        (lambda at: at.isoformat(), pa.string()),
        (lambda at: f"{at:%Y-%m-%dT%H:%M:%S.%fZ}", pa.string()),
        (lambda at: int(at.timestamp()), pa.int64()),
        (lambda at: int(at.timestamp() * 1000), pa.int64()),
        (lambda at: int(f"{at:%Y%m%d}"), pa.int64()),
        (lambda at: at.date(), pa.date32()),
    ],
    ids=["text", "iso", "zulu", "seconds", "milliseconds", "yyyymmdd", "date"],
)
def test_every_form_of_time_is_cut_alike(store: Store, form: Callable[[datetime], Any], kind: pa.DataType) -> None:
    moments = [None if at is None else form(at) for at in MOMENTS]
    assert sorted(ids(store(events(moments, kind)).open())) == [1, 2, 5]  # type: ignore[arg-type]  # written otherwise


def test_numbers_texts_and_gaps_stay_what_they_are(store: Store) -> None:
    rows = events(
        MOMENTS[:3],
        price=pa.array([1.5, None, 3.0]),
        note=pa.array(["a", "NA", None]),
        code=pa.array(["007", "1e5", "x"]),
    )
    found = {row["id"]: row for row in read(store(rows).open(), None, None)}
    assert [found[place]["price"] for place in range(3)] == [1.5, None, 3.0]
    assert [found[place]["note"] for place in range(2)] == ["a", "NA"]
    assert found[2]["note"] in (None, "")  # a CSV cannot tell them apart
    assert [found[place]["code"] for place in range(3)] == ["007", "1e5", "x"]


def test_a_column_that_tells_time_and_is_missing_is_named(store: Store) -> None:
    source = store(events()).open(time=("when",), arrived="came")
    with pytest.raises(ValueError, match=r"feed events: no column 'when'.*no column 'came'.*It has: id, at"):
        read(source)
    with pytest.raises(ValueError, match=r"no column 'when'"):
        source.changed("events", START, NOW)


def test_a_feed_without_time_is_read_whole_in_every_window(store: Store) -> None:
    assert sorted(ids(store(events()).open(time=()))) == IDS


def test_late_rows_mark_the_partition_of_their_event(store: Store) -> None:
    came = pa.array([START + 9 * DAY if place == 1 else at for place, at in enumerate(MOMENTS)], ZONED)
    source = store(events(came=came)).open(arrived="came")
    assert source.changed("events", START + 6 * DAY, NOW) == {"2024-01-02"}
    assert source.changed("events", START + 10 * DAY, NOW) == frozenset()


def test_nothing_has_changed_since_a_moment_after_every_row(store: Store) -> None:
    assert store(events()).open().changed("events", datetime.now(UTC) + DAY, NOW) == frozenset()


def test_a_replay_shows_no_row_before_it_became_known(store: Store) -> None:
    came = pa.array([START + 9 * DAY if place == 1 else at for place, at in enumerate(MOMENTS)], ZONED)
    feed = store(events(came=came))
    source = feed.open(arrived="came", replay=START)
    assert sorted(ids(source, as_of=START + 8 * DAY)) == [2, 5]
    assert sorted(ids(source, as_of=START + 9 * DAY)) == [1, 2, 5]
    assert source.changed("events", START + 6 * DAY, START + 8 * DAY) == frozenset()
    live = feed.open(arrived="came")
    assert sorted(ids(live, as_of=START + 8 * DAY)) == [1, 2, 5]
