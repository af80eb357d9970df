"""Partitions and the windows they stand for."""

from datetime import UTC, datetime

import pytest

from mlops_assets.declaration.data import Every
from mlops_assets.domain.names import SNAPSHOT
from mlops_assets.domain.partitions import earlier, partition_of, window, windows


@pytest.mark.parametrize(
    ("every", "name", "start", "end"),
    [
        (Every.HOUR, "2013-03-10-23:00", datetime(2013, 3, 10, 23), datetime(2013, 3, 11)),
        (Every.DAY, "2012-02-29", datetime(2012, 2, 29), datetime(2012, 3, 1)),
        (Every.MONTH, "2013-12", datetime(2013, 12, 1), datetime(2014, 1, 1)),
    ],
)
def test_a_window_holds_its_time_and_is_named_after_it(every, name, start, end):
    found = window(every, name)
    assert (found.start, found.end) == (start.replace(tzinfo=UTC), end.replace(tzinfo=UTC))
    assert partition_of(every, start.replace(tzinfo=UTC)) == name
    assert partition_of(every, end.replace(tzinfo=UTC)) != name


@pytest.mark.parametrize("every", [Every.HOUR, Every.DAY, Every.MONTH])
def test_neighbours_have_consecutive_ordinals(every):
    name = partition_of(every, datetime(2014, 1, 1, tzinfo=UTC))
    before = earlier(every, name, 3)
    assert [each.ordinal for each in windows(every, [name, *before])] == [
        window(every, name).ordinal - back for back in (3, 2, 1, 0)
    ]


def test_the_one_snapshot_has_no_bounds_and_nothing_before_it():
    assert window(Every.DAY, SNAPSHOT).start is None
    assert earlier(Every.DAY, SNAPSHOT, 5) == []
    with pytest.raises(ValueError, match="one snapshot"):
        window(Every.NONE, "2013-01-01")
