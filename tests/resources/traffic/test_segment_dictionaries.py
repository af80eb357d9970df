"""Who reads the logs sees plain columns, however the endpoint wrote them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from mlops_assets.resources.traffic.segment_files import RowFilter, batches_of, read_matching
from serving.contract.segments import Writer

NOON = datetime(2013, 1, 2, 12, tzinfo=UTC)


def batch(number: int, moment: datetime) -> pa.RecordBatch:
    places = pa.array([0, 0, 1], pa.int16())
    times = pa.array([moment, moment + timedelta(hours=1)], pa.timestamp("us", "UTC"))
    return pa.record_batch(
        {
            "request_id": pa.DictionaryArray.from_arrays(places, pa.array([f"{number}a", f"{number}b"])),
            "time": pa.DictionaryArray.from_arrays(places, times),
            "generation": pa.DictionaryArray.from_arrays(places, pa.array([number, number])),
        }
    )


@pytest.fixture(params=["open", "closed"])
def path(request, tmp_path) -> Path:
    writer = Writer(tmp_path / "m", "w", most_bytes=10**9, most_seconds=1e9, clock=lambda: 0.0)
    for number in (1, 2):
        writer.write(batch(number, NOON + timedelta(days=number)))
    if request.param == "closed":
        writer.close()
    (found,) = (tmp_path / "m").iterdir()
    return found


def test_every_column_is_plain(path):
    problems: list[str] = []
    rows = [row for each in batches_of(path, problems) for row in each.to_pylist()]
    assert [row["request_id"] for row in rows] == ["1a", "1a", "1b", "2a", "2a", "2b"]
    assert [each.schema.types for each in batches_of(path, problems)] == [
        [pa.string(), pa.timestamp("us", "UTC"), pa.int64()]
    ] * 2
    assert problems == []


def test_rows_are_chosen_by_time_and_generation_every_time(path):
    for _ in range(2):
        late = read_matching(path, RowFilter(NOON + timedelta(days=1, hours=1), None, None), [])
        assert [row["request_id"] for each in late for row in each.to_pylist()] == ["1b", "2a", "2a", "2b"]
        second = read_matching(path, RowFilter(None, None, 2), [])
        assert [row["request_id"] for each in second for row in each.to_pylist()] == ["2a", "2a", "2b"]
