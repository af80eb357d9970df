"""The consumer of a Redis stream, as a real process: nothing lost, nothing twice, poison set aside."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import redis

from mlops_assets.resources.lake.table import Table
from mlops_assets.resources.traffic.log_segments import LogSegments
from mlops_assets.stages.traffic.predictions.collect import compact
from tests.serving.endpoint import free_port
from tests.serving.graphs import category, contract, make_bundle, number
from tests.serving.stream.streams import MODEL, Running, Streams, let_go, make_home, rows_logged, until

pytestmark = pytest.mark.needs_redis
ROW = {"distance": 1.5, "carrier": "AA"}


@pytest.fixture
def streams() -> Iterator[Streams]:
    made = Streams(os.environ["TEST_REDIS_URL"])
    yield made
    made.clear()


@pytest.fixture
def home(tmp_path) -> Path:
    return make_home(tmp_path / "home")


def compacted(home: Path) -> list[str]:
    """The request ids that a day of the log makes in the lake."""
    segments = LogSegments(home / "predictions" / MODEL, home / "notes.json").look()
    table, now = Table(str(home / "lake")), datetime.now(UTC)
    found = [compact("answers", day, segments, table, [], now=now).snapshot for day in _days(now)]
    return table.read_snapshots(found, ["request_id"])["request_id"].to_pylist()


def _days(now: datetime) -> list[str]:
    return [f"{now:%Y-%m-%d}"]


def test_an_answer_is_the_one_that_the_endpoint_would_give(home, streams):
    (sent,) = streams.send({"rows": [ROW, {**ROW, "distance": -2.0}]})
    with Running(home, streams.environment) as running:
        until(lambda: len(streams.answers()) == 1, told=running.said)
        url = f"http://127.0.0.1:{running.port}"
        assert httpx.get(f"{url}/readyz").status_code == 200
        until(lambda: 'endpoint_stream_messages_total{arm="",kind="answered"' in httpx.get(f"{url}/metrics").text)
        assert httpx.get(f"{url}/v1/models/{MODEL}/card").status_code == 404
        assert running.end() == 0
    ((message, answer),) = streams.answers()
    assert message == sent
    assert (answer["model"], answer["version"], answer["arm"]) == (MODEL, "1.0.0", "champion")
    assert [set(each) for each in answer["predictions"]] == [{"probability", "label"}] * 2
    assert rows_logged(home) == {answer["request_id"]: 2}
    assert (streams.pending(), streams.consumers()) == (0, 0)


def test_a_kill_amid_2000_messages_answers_each_once(home, streams):
    sent = streams.send(*({"rows": [{**ROW, "distance": place / 300}]} for place in range(2_000)))
    for part in (0.25, 0.6):
        with Running(home, streams.environment) as running:
            until(lambda share=part: len(streams.answers()) > share * len(sent), told=running.said)
            running.kill()
    with Running(home, streams.environment) as running:
        until(lambda: len(streams.answers()) >= len(sent) and not streams.pending(), told=running.said)
        assert running.end() == 0
    answered = streams.answers()
    assert sorted(message for message, _ in answered) == sorted(sent)
    ids = [answer["request_id"] for _, answer in answered]
    assert len(set(ids)) == len(sent)
    assert sorted(compacted(home)) == sorted(ids)
    assert streams.dead() == {}


def test_a_kill_before_acknowledgement_repeats_no_answer(home, streams):
    streams.redis.set(f"{streams.mark}.out", "nothing can be added to this")
    sent = streams.send(*({"rows": [ROW]} for _ in range(20)))
    with Running(home, streams.environment) as running:
        until(lambda: len(rows_logged(home)) == len(sent), told=running.said)
        running.kill()
    logged = rows_logged(home)
    streams.redis.delete(f"{streams.mark}.out")
    with Running(home, streams.environment) as running:
        until(lambda: len(streams.answers()) == len(sent), told=running.said)
        running.end()
    assert {answer["request_id"] for _, answer in streams.answers()} == set(logged)
    assert max(rows_logged(home).values()) > 1  # logged again
    assert sorted(compacted(home)) == sorted(logged)


def test_competing_consumers_publish_each_answer_once(home, streams, tmp_path):
    hasty = {**streams.environment, "STREAM_CLAIM_SECONDS": "0.1", "STREAM_BATCH": "20"}
    sent = streams.send(*({"rows": [ROW]} for _ in range(600)))
    with Running(home, hasty) as one, Running(home, {**hasty, "STREAM_CONSUMER": "other"}):
        until(lambda: len(streams.answers()) >= len(sent), told=one.said)
        time.sleep(0.3)
    assert sorted(message for message, _ in streams.answers()) == sorted(sent)


def test_poison_goes_to_the_dead_letters_with_its_reason(home, streams):
    deep = "[" * 10_000
    bodies = ["{half", {"rows": [{**ROW, "speed": 1}]}, {"rows": []}, {"rows": [{**ROW, "distance": "far"}]},
              {"rows": [ROW], "hurry": True}, "x" * 3_000, deep, b"\xff\xfe", {"rows": [ROW]}]  # fmt: skip
    sent = streams.send(*bodies)
    streams.redis.xadd(f"{streams.mark}.in", {"body": "no data here"})
    with Running(home, {**streams.environment, "ENDPOINT_BODY_MB": "0.0025"}) as running:
        until(lambda: len(streams.dead()) == 9 and len(streams.answers()) == 1, told=running.said)
        assert running.end() == 0
    dead = streams.dead()
    assert [message for message, _ in streams.answers()] == [sent[-1]]
    assert "not JSON" in dead[sent[0]][1]
    assert "speed: is no field" in dead[sent[1]][1].replace("speed, row 0", "speed")
    assert "1 to" in dead[sent[2]][1]
    assert "must be a number" in dead[sent[3]][1]
    assert "hurry" in dead[sent[4]][1]
    assert dead[sent[5]][0] == "too_large"
    assert streams.pending() == 0


def test_a_message_that_kills_its_readers_is_dead_in_the_end(home, streams):
    (sent,) = streams.send({"rows": [ROW]})
    source = f"{streams.mark}.in"
    streams.redis.xgroup_create(source, "endpoint", id="0")
    streams.redis.xreadgroup("endpoint", "ghost", {source: ">"})
    streams.redis.xclaim(source, "endpoint", "ghost", 0, [sent], retrycount=6)
    with Running(home, streams.environment) as running:
        until(lambda: sent in streams.dead(), told=running.said)
        running.end()
    assert streams.dead()[sent][0] == "crash"
    assert streams.answers() == []


def test_a_row_that_fails_everywhere_is_dead_after_attempts(tmp_path, streams):
    home = make_home(tmp_path / "home", released=False)
    shutil.rmtree(home / "bundles")
    make_bundle(home / "bundles", contract([number("distance"), category("carrier")]), fails_above=5.0)
    let_go(home)
    good, bad = streams.send({"rows": [ROW]}, {"rows": [{**ROW, "distance": 9.0}]})
    with Running(home, {**streams.environment, "STREAM_ATTEMPTS": "2"}) as running:
        until(lambda: bad in streams.dead(), told=running.said)
        running.end()
    assert [message for message, _ in streams.answers()] == [good]
    assert streams.dead()[bad][0] == "model"


def test_messages_wait_for_a_release_and_are_then_answered(tmp_path, streams):
    home = make_home(tmp_path / "home", released=False)
    sent = streams.send({"rows": [ROW]}, {"rows": [ROW]})
    with Running(home, streams.environment) as running:
        until(lambda: "messages wait" in running.said())
        assert (streams.answers(), streams.dead()) == ([], {})
        let_go(home)
        until(lambda: len(streams.answers()) == len(sent), told=running.said)
        running.end()


def test_a_broker_that_dies_and_comes_back_is_found_again(home, tmp_path):
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not on the path")
    port = free_port()
    command = ["redis-server", "--port", str(port), "--dir", str(tmp_path), "--appendonly", "yes", "--appendfsync",
               "always", "--save", ""]  # fmt: skip

    def serve() -> subprocess.Popen[bytes]:
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until(lambda: _answers(port))
        return server

    server = serve()
    streams = Streams(f"redis://127.0.0.1:{port}/0")
    try:
        with Running(home, streams.environment) as running:
            sent = streams.send(*({"rows": [ROW]} for _ in range(300)))
            until(lambda: len(streams.answers()) > 20, told=running.said)
            server.send_signal(signal.SIGKILL)
            server.wait()
            url = f"http://127.0.0.1:{running.port}/readyz"
            until(lambda: httpx.get(url).status_code == 503, told=running.said)
            server = serve()
            sent += streams.send(*({"rows": [ROW]} for _ in range(50)))
            until(lambda: len(streams.answers()) >= len(sent) and not streams.pending(), told=running.said)
            assert httpx.get(url).status_code == 200
            running.end()
        assert sorted(message for message, _ in streams.answers()) == sorted(sent)
    finally:
        server.kill()
        server.wait()


def _answers(port: int) -> bool:
    try:
        return bool(redis.Redis(port=port).ping())
    except redis.RedisError:
        return False
