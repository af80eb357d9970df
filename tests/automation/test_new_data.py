"""The sensor of new data: which partitions it asks for, once, and by which key."""

import os
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import dagster as dg
import pyarrow as pa
import pytest

from mlops_assets.automation.new_data import open_partitions, request_partitions
from mlops_assets.automation.run_requests import unbroken_ranges
from mlops_assets.domain.names import SNAPSHOT
from mlops_assets.stages.common import partitions_of
from tests.kit.daily import AFTER, BEFORE, MODEL, START, attributes, bench, definitions_of, write_days
from tests.kit.declared import RANGE, Bench, specified

HOUR = timedelta(hours=1)


@pytest.fixture
def made(tmp_path) -> Bench:
    """The model before any of its days, on rows of the first twelve."""
    write_days(tmp_path / "source", days=range(12))
    return bench(tmp_path / "home", tmp_path / "source", replay=START.isoformat())


def look(made: Bench, cursor: str | None) -> tuple[list[dg.RunRequest], str | None, str]:
    """One tick: runs asked for, the cursor after it, the reason where nothing is asked."""
    sensor = definitions_of(made).resolve_sensor_def(f"{MODEL}_new_data")
    with dg.build_sensor_context(cursor=cursor, resources=made.resources) as context:
        found = sensor.evaluate_tick(context)
    return list(found.run_requests or ()), found.cursor or cursor, found.skip_message or ""


def moved(made: Bench, moment: datetime) -> None:
    made.resources["clock"].move(made.spec, moment)


def spans(asked: list[dg.RunRequest]) -> list[tuple[str, str]]:
    return [(request.tags[RANGE[0]], request.tags[RANGE[1]]) for request in asked]


def test_the_first_tick_only_takes_note_of_the_time(made):
    asked, cursor, why = look(made, None)
    assert asked == []
    assert cursor == START.isoformat()
    assert "First tick" in why


def test_days_that_came_are_asked_for_as_one_range_and_once(made):
    _, cursor, _ = look(made, None)
    moved(made, START + timedelta(days=3))
    asked, cursor, _ = look(made, cursor)
    assert spans(asked) == [("2024-01-01", "2024-01-04")]
    assert asked[0].run_key == f"data:{MODEL}:{START.isoformat()}:2024-01-01:2024-01-04"
    again, kept, why = look(made, cursor)
    assert (again, kept) == ([], cursor)
    assert "No rows arrived since 2024-01-04" in why


def test_a_tick_that_is_repeated_gives_the_same_key(made):
    _, cursor, _ = look(made, None)
    moved(made, START + timedelta(days=3))
    assert [r.run_key for r in look(made, cursor)[0]] == [r.run_key for r in look(made, cursor)[0]]


def test_every_row_is_asked_for_by_exactly_one_look(made):
    """Looks at odd moments: the day that is under way is asked for again whenever it grew, and never for nothing."""
    _, cursor, _ = look(made, None)
    moments = [START + timedelta(hours=hours) for hours in (5, 29, 30, 53, 100)]
    for before, now in pairwise([START, *moments]):
        moved(made, now)
        asked, cursor, _ = look(made, cursor)
        days = {f"{before + timedelta(minutes=m):%F}" for m in range(1, int((now - before) / timedelta(minutes=1)) + 1)}
        assert spans(asked) == [(min(days), max(days))]


def test_late_rows_name_the_day_they_belong_to(tmp_path):
    """Rows that arrive long after their event: `arrived` says when."""

    def arrives(rows: pa.Table) -> pa.Table:
        late = rows["at"][0].as_py().day == 2
        came = [AFTER - HOUR if late and i < 3 else moment for i, moment in enumerate(rows["at"].to_pylist())]
        return rows.append_column("came", pa.array(came, pa.timestamp("us", "UTC")))

    write_days(tmp_path / "source", arrives, range(5))
    source = {**attributes(tmp_path / "source")["source"], "arrived": "came"}
    late = bench(tmp_path / "home", tmp_path / "source", source=source)
    asked, cursor, _ = look(late, BEFORE.isoformat())
    assert asked == []
    moved(late, AFTER)
    asked, cursor, _ = look(late, cursor)
    assert spans(asked) == [("2024-01-02", "2024-01-02")]
    assert cursor == AFTER.isoformat()


def test_a_rewritten_file_requests_its_day_on_wall_time(tmp_path):
    write_days(tmp_path / "source", days=range(4))
    made = bench(tmp_path / "home", tmp_path / "source", replay=None)
    old = datetime.now(UTC) - timedelta(days=1)
    for file in (tmp_path / "source").iterdir():
        os.utime(file, (old.timestamp(), old.timestamp()))
    cursor = (datetime.now(UTC) - HOUR).isoformat()
    assert look(made, cursor)[0] == []
    write_days(tmp_path / "source", days=range(2, 3))
    assert spans(look(made, cursor)[0]) == [("2024-01-03", "2024-01-03")]


def test_a_model_without_partitions_is_asked_for_whole(tmp_path):
    spec = specified(attributes(tmp_path, partitions={"every": "none"}))
    (asked,) = request_partitions(spec, frozenset({SNAPSHOT}), START)
    assert asked.run_key == f"data:{MODEL}:{START.isoformat()}"
    assert list(request_partitions(spec, frozenset(), START)) == []


def test_a_changed_timeless_feed_reruns_the_latest_partition(made):
    (asked,) = request_partitions(made.spec, frozenset({SNAPSHOT}), START)
    definition = partitions_of(made.spec)
    assert definition is not None
    last = definition.get_partition_keys()[-1]
    assert spans([asked]) == [(last, last)]


def test_rows_of_a_day_that_is_not_over_wait_for_its_end(tmp_path):
    """A run for an old day must not make the sensor forget what arrived for today."""
    write_days(tmp_path / "source", days=range(1))
    made = bench(
        tmp_path / "home", tmp_path / "source", replay=None, partitions={"every": "day", "start": START.date()}
    )
    today = f"{datetime.now(UTC):%F}"
    assert open_partitions(made.spec, frozenset({today, "2024-01-01", SNAPSHOT})) == {today}
    before = f"{(datetime.now(UTC) - HOUR).isoformat()}|2024-01-03"
    asked, cursor, _ = look(made, before)
    assert ("2024-01-03", "2024-01-03") in spans(asked) or ("2024-01-01", "2024-01-03") in spans(asked)
    assert cursor is not None
    assert "2024-01-03" not in cursor


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("", []),
        ("b", [("b", "b")]),
        ("abcd", [("a", "d")]),
        ("abd", [("a", "b"), ("d", "d")]),
        ("acz", [("a", "a"), ("c", "c")]),  # z is no partition
    ],
)
def test_neighbours_become_one_range(wanted, expected):
    assert list(unbroken_ranges(["a", "b", "c", "d"], frozenset(wanted))) == expected
