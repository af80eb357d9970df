"""Every form in which feeds write times."""

from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pytest

from mlops_assets.domain.partitions import EPOCH
from mlops_assets.domain.times import as_written, event_times, known_times, read_times
from tests.kit.specs import feed_spec

NEW_YORK = "America/New_York"


def moment(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "timezone", "meant"),
    [
        ("2013-01-01T00:00:00Z", NEW_YORK, moment(2013, 1, 1)),
        ("2013-01-01 02:00:00+02:00", NEW_YORK, moment(2013, 1, 1)),
        ("2013-01-01 00:00:00+00", "UTC", moment(2013, 1, 1)),
        ("2013-01-01", NEW_YORK, moment(2013, 1, 1, 5)),
        ("2013-07-01 00:00", NEW_YORK, moment(2013, 7, 1, 4)),
        ("2013-03-10 02:30", NEW_YORK, moment(2013, 3, 10, 7)),  # skipped: the next that exists
        ("2013-11-03 01:30", NEW_YORK, moment(2013, 11, 3, 5, 30)),  # twice: the first
        ("yesterday", "UTC", None),
        ("2013-13-01", "UTC", None),
        (date(2013, 1, 1), NEW_YORK, moment(2013, 1, 1, 5)),
        (datetime(2013, 1, 1), NEW_YORK, moment(2013, 1, 1, 5)),
        (datetime(2013, 1, 1, tzinfo=UTC), NEW_YORK, moment(2013, 1, 1)),
        (2013, "UTC", moment(2013, 1, 1)),
        (201302, "UTC", moment(2013, 2, 1)),
        (20130228, NEW_YORK, moment(2013, 2, 28, 5)),
        (20130231, "UTC", None),
        (1357000000, NEW_YORK, moment(2013, 1, 1, 0, 26, 40)),
        (1357000000000, "UTC", moment(2013, 1, 1, 0, 26, 40)),
        (1357000000000000, "UTC", moment(2013, 1, 1, 0, 26, 40)),
        (1357000000000000000, "UTC", moment(2013, 1, 1, 0, 26, 40)),
        (1357000000.5, "UTC", moment(2013, 1, 1, 0, 26, 40, 500_000)),
        (2013.5, "UTC", None),
        (-5, "UTC", None),
        (True, "UTC", None),
    ],
)
def test_a_time_is_read_or_is_null(written, timezone, meant):
    assert read_times(pa.array([written, None]), timezone).to_pylist() == [meant, None]


def test_a_dictionary_and_an_empty_column_are_read_too():
    coded = pa.array(["2013-01-01", "2013-01-01"]).dictionary_encode()
    assert read_times(coded, "UTC").to_pylist() == [moment(2013, 1, 1)] * 2
    for kind in (pa.string(), pa.int64(), pa.timestamp("ns"), pa.null()):
        assert len(read_times(pa.array([], kind), NEW_YORK)) == 0


def test_a_day_and_an_hour_make_a_time():
    feed = feed_spec(time=("day", "hour"), timezone=NEW_YORK)
    rows = pa.table({"day": [date(2013, 7, 1)] * 4, "hour": [0, 23, 24, 25]})
    assert event_times(rows, feed, np.arange(4)).to_pylist() == [
        moment(2013, 7, 1, 4),
        moment(2013, 7, 2, 3),
        moment(2013, 7, 2, 4),
        None,
    ]


def test_order_stands_in_for_time_as_seconds():
    rows = pa.table({"n": [5, None, 7]})
    by_column = event_times(rows, feed_spec(time=(), order="n"), np.arange(3)).to_pylist()
    by_position = event_times(rows, feed_spec(time=(), order="row"), np.arange(10, 13)).to_pylist()
    assert by_column == [moment(1970, 1, 1, 0, 0, 5), None, moment(1970, 1, 1, 0, 0, 7)]
    assert by_position == [moment(1970, 1, 1, 0, 0, second) for second in (10, 11, 12)]


def test_a_static_feed_was_always_known():
    rows = pa.table({"x": [1]})
    feed = feed_spec(time=())
    events = event_times(rows, feed, np.arange(1))
    assert events.to_pylist() == [EPOCH]
    assert known_times(rows, feed, events).to_pylist() == [EPOCH]


def test_a_row_is_known_when_it_arrived():
    rows = pa.table({"at": ["2013-01-01"], "came": ["2013-01-03"]})
    feed = feed_spec(arrived="came")
    assert known_times(rows, feed, event_times(rows, feed, np.arange(1))).to_pylist() == [moment(2013, 1, 3)]


@pytest.mark.parametrize(
    ("sample", "written"),
    [
        (2011, 2013),
        (201101, 201302),
        (20110101, 20130203),
        (1_300_000_000, 1_359_849_600),
        (1_300_000_000_000, 1_359_849_600_000),
        ("2011-01-01", "2013-02-03"),
        (date(2011, 1, 1), date(2013, 2, 3)),
        (datetime(2011, 1, 1), datetime(2013, 2, 3)),
        ("01/02/2011", None),
        (12345, None),
        (True, None),
    ],
)
def test_a_bound_is_written_as_the_column_writes(sample, written):
    assert as_written(moment(2013, 2, 3), sample) == written
