"""Reading the logs while they are written, and what is skipped, found damaged, or handed to a replay."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mlops_assets.resources.traffic import segment_files
from mlops_assets.resources.traffic.endpoint_log import Traffic
from mlops_assets.resources.traffic.read_log import TrafficError
from mlops_assets.resources.traffic.segment_files import segments_in
from tests.kit.rollout_log import OPENED, EndpointLogs, minutes_later, outcome_rows, release_state, routed_requests
from tests.serving.graphs import category, number

RELEASE = release_state()


@pytest.fixture
def logs(tmp_path) -> Iterator[EndpointLogs]:
    made = EndpointLogs(tmp_path)
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "predictions" / "delay"


def batch(count: int = 4, first: int = 0, minutes: float = 0, generation: int = 7) -> pa.RecordBatch:
    release = release_state(generation=generation)
    rng = np.random.default_rng(first)
    return routed_requests(release, np.zeros(count, dtype=int), rng=rng, first=first, at=minutes_later(minutes))[0]


def rows(traffic: Traffic, **how) -> int:
    return sum(found.num_rows for found in traffic.answers("delay", **how))


def test_open_and_closed_segments_are_read_alike(logs):
    logs.answer(batch(), close=True)
    logs.answer(batch(first=4))
    assert rows(logs.traffic) == 8


def test_a_model_without_a_log_has_no_rows(logs):
    assert list(logs.traffic.answers("nobody")) == []
    assert list(logs.traffic.outcomes("nobody")) == []


def test_a_segment_that_is_closed_while_one_looks_is_read_once(logs, folder):
    logs.answer(batch())
    (path,) = segments_in(folder)
    found = segment_files.batches_of(path, [])
    logs.answer(close=True)
    assert sum(each.num_rows for each in found) == 4
    path.write_bytes(b"left by a worker that died between two renames")
    assert [each.name for each in segments_in(folder)] == [path.name.removesuffix(".open")]


@pytest.mark.parametrize(("since", "until", "expected"), [(None, None, 12), (5, None, 8), (None, 5, 4), (5, 10, 4)])
def test_rows_of_a_span_of_time(logs, since, until, expected):
    for number_, minutes in enumerate((0, 5, 10)):
        logs.answer(batch(first=4 * number_, minutes=minutes), close=number_ == 1)
    span = {name: minutes_later(value) for name, value in (("since", since), ("until", until)) if value is not None}
    for _ in range(2):  # the second time, what is remembered of closed segments skips them
        assert rows(logs.traffic, **span) == expected


def test_rows_of_one_generation_and_only_some_columns(logs):
    logs.answer(batch(generation=6), batch(generation=7), close=True)
    (found,) = logs.traffic.answers("delay", generation=7, columns=["row", "request_id", "absent"])
    assert found.schema.names == ["row", "request_id"]
    assert found.num_rows == 4


def test_a_closed_segment_without_matches_is_not_reopened(logs, folder):
    logs.answer(batch(generation=6), close=True)
    assert rows(logs.traffic, generation=7) == 0
    (path,) = segments_in(folder)
    size = path.stat().st_size
    path.write_bytes(b"\0" * size)  # would be found damaged if it were read
    assert rows(logs.traffic, generation=7) == 0


@pytest.mark.parametrize("keep", [0.5, 0.999])
def test_a_damaged_segment_is_named_and_the_others_are_read(logs, folder, keep):
    logs.answer(batch(), close=True)
    (damaged,) = segments_in(folder)
    logs.answer(batch(first=4), close=True)
    content = damaged.read_bytes()
    damaged.write_bytes(content[: int(len(content) * keep)])
    problems: list[str] = []
    assert rows(logs.traffic, problems=problems) >= 4
    assert damaged.name in problems[0]
    with pytest.raises(TrafficError, match=damaged.name):
        rows(logs.traffic)


def test_outcomes_are_read_the_same_way(logs):
    logs.tell(outcome_rows(batch(), [1, 0, 1, 0], at=minutes_later(3)))
    (found,) = logs.traffic.outcomes("delay", since=OPENED)
    assert found["outcome"].to_pylist() == ["1", "0", "1", "0"]
    assert list(logs.traffic.outcomes("delay", since=minutes_later(4))) == []


def test_the_latest_rows_come_as_requests_to_a_version(logs):
    fields = [number("distance", type="integer"), category("carrier")]
    for first in range(0, 12, 4):
        logs.answer(batch(first=first, minutes=first), close=True)
    logs.tell(outcome_rows(batch(first=8).slice(0, 1), [True], at=minutes_later(20)))
    found = logs.traffic.latest("delay", bundle="champion", fields=fields, most=6)
    assert found.rows.schema == pa.schema({"distance": pa.int64(), "carrier": pa.string()})
    assert found.rows["distance"].to_pylist() == [2, 3, 0, 1, 2, 3]
    assert found.answers.shape == (6,)
    assert found.outcomes.to_pylist() == [None, None, "true", None, None, None]
    assert found.lacking == ()


def test_a_field_that_the_log_does_not_hold_is_named(logs):
    logs.answer(batch())
    found = logs.traffic.latest("delay", bundle="champion", fields=[number("weight"), category("carrier")], most=6)
    assert found.lacking == ("weight",)
    assert len(found.rows) == 0


def test_rows_of_other_bundles_and_days_are_left_out(logs):
    logs.answer(batch())
    fields = [category("carrier")]
    assert len(logs.traffic.latest("delay", bundle="another", fields=fields, most=6).rows) == 0
    late = logs.traffic.latest(
        "delay", bundle="champion", fields=fields, most=6, since=minutes_later(0) + timedelta(days=1)
    )
    assert len(late.rows) == 0
