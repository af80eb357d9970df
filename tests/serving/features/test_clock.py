"""What time it is for a model, and that its logs are written in it."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from mlops_assets.resources.traffic.endpoint_log import Traffic
from serving.contract.arms import Role
from serving.contract.release import write_release
from serving.features.clock import open_model_clock
from tests.serving.endpoint import in_process
from tests.serving.graphs import category, contract, make_bundle, number, release

THEN = datetime(2013, 7, 2, 8, 30, tzinfo=UTC)


class Wall:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_without_a_clock_it_is_wall_time(tmp_path):
    wall = Wall()
    now = open_model_clock(tmp_path, wall)
    assert now("m") == 1_000.0
    wall.now = 1_000.5
    assert now("m") == 1_000.5


def test_a_replayed_model_follows_its_own_clock_at_once(tmp_path):
    wall, file = Wall(), tmp_path / "m.txt"
    file.write_text(THEN.isoformat())
    now = open_model_clock(tmp_path, wall)
    assert (now("m"), now("other")) == (THEN.timestamp(), 1_000.0)
    file.write_text("2013-07-03T00:00:00+02:00")
    wall.now += 0.04
    assert now("m") == THEN.timestamp()
    wall.now += 0.02
    assert now("m") == datetime(2013, 7, 2, 22, tzinfo=UTC).timestamp()


def test_the_file_is_not_looked_at_for_each_request(tmp_path):
    wall, file = Wall(), tmp_path / "m.txt"
    file.write_text(THEN.isoformat())
    now = open_model_clock(tmp_path, wall)
    now("m")
    file.unlink()
    assert {now("m") for _ in range(1_000)} == {THEN.timestamp()}


def test_wall_time_that_jumps_back_does_not_stop_the_looking(tmp_path):
    wall, file = Wall(), tmp_path / "m.txt"
    now = open_model_clock(tmp_path, wall)
    now("m")
    file.write_text(THEN.isoformat())
    wall.now = 10.0
    assert now("m") == THEN.timestamp()


def test_an_unreadable_clock_stops_and_fails_no_request(tmp_path, caplog):
    wall, file = Wall(), tmp_path / "m.txt"
    file.write_text(THEN.isoformat())
    now = open_model_clock(tmp_path, wall)
    now("m")
    file.write_text("half past eight")
    wall.now += 2
    assert now("m") == THEN.timestamp()
    assert "tells no time" in caplog.text


def test_the_log_is_written_in_the_models_time(tmp_path):
    answered, shadowed, outcomes = asyncio.run(_ask(tmp_path))
    assert {answered["time"], shadowed["time"], outcomes["time"]} == {THEN}
    assert (answered["role"], shadowed["role"]) == ("champion", "shadow")
    assert 0 < answered["latency_ms"] < 60_000  # is wall time


async def _ask(home: Path) -> list[dict]:
    digest = make_bundle(home / "bundles", contract([number("distance"), category("carrier")], entity=("tail",)))
    arms = (("champion", digest, Role.CHAMPION, 1.0), ("shadow", digest, Role.SHADOW, 1.0))
    write_release(home / "releases" / "delay.json", release(*arms))
    (home / "clock").mkdir()
    (home / "clock" / "delay.txt").write_text(THEN.isoformat())
    async with in_process(home) as (client, _):
        row = {"distance": 1.0, "carrier": "AA", "tail": "N1"}
        answer = await client.post("/v1/models/delay/predict", json={"rows": [row]})
        told = {"request_id": answer.json()["request_id"], "outcome": 1}
        assert (await client.post("/v1/models/delay/feedback", json=told)).status_code == 202
        await asyncio.sleep(0.2)
    traffic = Traffic(home=str(home))
    rows = [row for batch in traffic.answers("delay") for row in batch.to_pylist()]
    rows.sort(key=lambda each: each["role"])
    return [*rows, *(row for batch in traffic.outcomes("delay") for row in batch.to_pylist())]
