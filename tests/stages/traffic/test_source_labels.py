"""Labels of the source: only those known by now, and how the log names their example."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from mlops_assets.domain.names import CREATED_TIME, EVENT_TIME, Layer
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.stages.traffic.source_labels import source_labels
from tests.kit.specs import feed_spec, model_spec, source_spec

START = datetime(2024, 1, 1, tzinfo=UTC)
TIME = pa.timestamp("us", "UTC")


@pytest.fixture
def lake(tmp_path) -> Lake:
    made = Lake(root=str(tmp_path))
    for day in range(3):
        at = [START + timedelta(days=day, hours=hour) for hour in (0, 12)]
        rows = {"id": [f"{day}a", f"{day}b"], "label": [1, None if day == 1 else 0]}
        table = pa.table({**rows, EVENT_TIME: pa.array(at, TIME), CREATED_TIME: pa.array(at, TIME)})
        made.table("tiny", Layer.VALIDATED, "events").write(
            f"2024-01-0{day + 1}", table, now=START, time_column=EVENT_TIME
        )
    return made


def ids(lake: Lake, *, hours: float = 0, arrived: str | None = None, since: int = 0, now: float = 9) -> list[str]:
    spec = model_spec(source=source_spec(feed_spec("events", arrived=arrived)))
    spec = spec.with_changes(target=spec.target.with_changes(known_after=timedelta(hours=hours)))
    begin, end = START + timedelta(days=since), START + timedelta(days=now)
    return source_labels(spec, lake, since=begin, now=end)["id"].to_pylist()


def test_labels_that_are_there_and_known_by_now(lake):
    assert ids(lake) == ["0a", "0b", "1a", "2a", "2b"]
    assert ids(lake, now=1.5) == ["0a", "0b", "1a"]


def test_a_label_is_known_a_declared_time_after_its_event(lake):
    assert ids(lake, hours=24, now=1) == ["0a"]
    assert ids(lake, hours=24, now=1, arrived="arrived") == ["0a", "0b", "1a"]


def test_partitions_of_before_are_not_read(lake):
    assert ids(lake, since=2) == ["2a", "2b"]


def test_no_labels_are_an_empty_table(tmp_path):
    found = source_labels(model_spec(), Lake(root=str(tmp_path)), since=START, now=START)
    assert (len(found), found.column_names) == (0, ["id", "label", CREATED_TIME])
