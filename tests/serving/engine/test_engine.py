"""The engine's path: fallback ladder, breakers, batches, queue and deadline, cache, shadow, stamps."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from serving.contract.arms import Role, Strategy
from serving.contract.release import Release, write_release
from serving.contract.segments import read_batches
from serving.engine.batching import Batcher
from serving.engine.engine import Engine
from serving.log.prediction_log import PredictionLog
from serving.models.loaded_model import load_model
from serving.models.router import start_state
from serving.models.served_models import ServedModels
from serving.problems import InvalidInput, NotFound, Overloaded, TooLate, Unavailable
from serving.rows.row_shapes import NamedRows
from serving.telemetry.meter import Meters
from tests.serving.graphs import bandit, category, contract, make_bundle, number, release

CONTRACT = contract([number("distance", lower=-1e9, upper=1e9), category("carrier")])
ROW = {"distance": 1.0, "carrier": "AA"}
BAD = {"distance": 500.0, "carrier": "AA"}  # the broken version fails on it


class Place:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.meters = Meters()
        self.log = PredictionLog(folder / "predictions", "w1", buffer=10_000_000, segment=10_000_000)
        self.models = ServedModels(
            folder / "releases",
            folder / "bundles",
            meters=self.meters,
            load_bundle=partial(load_model, threads=1, most_rows=10_000),
        )
        self.engines: list[Engine] = []

    def bundle(self, seed: int = 1, **how) -> str:
        return make_bundle(self.folder / "bundles", CONTRACT, seed=seed, **how)

    def broken(self, seed: int = 9) -> str:
        return self.bundle(seed, fails_above=100.0)

    def serve(self, made: Release) -> None:
        write_release(self.folder / "releases" / "delay.json", made)
        self.models.poll()
        assert "delay" not in self.models.troubles, self.models.troubles

    def engine(self, **settings: Any) -> Engine:
        given: dict[str, Any] = {"queue": 100, "deadline": 5.0, "cache": 0, "threads": 1} | settings
        engine = Engine(self.models, worker="w1", meters=self.meters, log=self.log, draw=Random(0), **given)
        self.engines.append(engine)
        return engine

    def logged(self) -> list[dict[str, Any]]:
        for engine in self.engines:
            engine.close()
        self.log.close()
        found = sorted((self.folder / "predictions").rglob("*.arrow"))
        return [row for path in found for batch in read_batches(path) for row in batch.to_pylist()]


@pytest.fixture
def place(tmp_path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    for engine in made.engines:
        engine.close()


def infer(engine: Engine, rows: list[dict[str, Any]], **asked: Any):
    return asyncio.run(engine.infer("delay", rows, **asked))


def test_an_answer_bears_its_stamp_and_is_what_the_bundle_says(place):
    place.serve(release(("champion", place.bundle(), Role.CHAMPION, 1.0)))
    answer = infer(place.engine(), [ROW, ROW])
    loaded = place.models.served["delay"].champion.loaded
    expected = loaded.bundle.predict(*loaded.reader.read(NamedRows([ROW, ROW]))[:2])
    np.testing.assert_array_equal(answer.scores, expected)
    assert (answer.version, answer.arm, answer.provider, answer.degraded) == ("1.0.0", "champion", "cpu", False)
    assert answer.generation == 1


def test_unknown_models_and_versions_are_not_found(place):
    place.serve(release(("champion", place.bundle(), Role.CHAMPION, 1.0)))
    engine = place.engine()
    with pytest.raises(NotFound, match="there is no model nobody; served are: delay"):
        asyncio.run(engine.infer("nobody", [ROW]))
    with pytest.raises(NotFound, match=r"version 9.9.9 is not served; there are: 1.0.0"):
        infer(engine, [ROW], version="9.9.9")


def canary_with(place: Place, **other: Any) -> Release:
    """All keys but 1 in 10^6 go to a canary that fails on some rows."""
    arms = (("champion", place.bundle(), Role.CHAMPION, 1e-6), ("canary", place.broken(), Role.CANARY, 1 - 1e-6))
    return release(*arms, strategy=Strategy.CANARY, **other)


def test_a_canary_that_fails_is_answered_for_by_the_champion(place):
    place.serve(canary_with(place))
    engine = place.engine()
    assert infer(engine, [ROW]).arm == "canary"
    answer = infer(engine, [BAD])
    assert (answer.arm, answer.version, answer.degraded) == ("champion", "1.0.0", True)
    assert "canary 1.0.1: ArithmeticError" in answer.why[0]
    assert place.models.served["delay"].arms["canary"].meter.counts["errors", "model"] == 1


def test_a_champion_that_fails_is_answered_for_by_the_one_before(place):
    old = place.bundle()
    place.serve(release(("champion", old, Role.CHAMPION, 1.0)))
    place.serve(release(("champion", place.broken(), Role.CHAMPION, 1.0), generation=2, fallback=old))
    answer = infer(place.engine(), [BAD])
    assert (answer.arm, answer.version, answer.degraded) == ("previous", "1.0.0", True)


def test_when_everything_fails_the_declared_default_answers(place):
    default = {"probability": 0.2, "label": "no"}
    place.serve(release(("champion", place.broken(), Role.CHAMPION, 1.0), default=default))
    answer = infer(place.engine(), [BAD, BAD])
    assert (answer.arm, answer.version, answer.default, answer.rows) == ("default", "default", default, 2)
    assert answer.degraded
    row = place.logged()[0]
    assert (row["arm"], row["answer"], row["degraded"]) == ("default", None, True)


def test_without_a_default_the_request_fails_and_says_why(place):
    place.serve(release(("champion", place.broken(), Role.CHAMPION, 1.0)))
    with pytest.raises(Unavailable, match="not a finite number"):
        infer(place.engine(), [BAD])


def test_a_failing_version_rests_until_its_pause_is_over(place):
    place.serve(canary_with(place))
    now = [0.0]
    engine = place.engine(clock=lambda: now[0])
    for _ in range(6):
        infer(engine, [BAD])
    answer = infer(engine, [ROW])  # good rows too: the circuit is open
    assert (answer.arm, answer.why) == ("champion", ("canary 1.0.1: circuit open",))
    now[0] = 2.5
    assert infer(engine, [ROW]).arm == "canary"  # the trial succeeds
    assert infer(engine, [ROW]).why == ()


def test_an_invalid_row_is_refused_and_is_nobodys_failure(place):
    place.serve(canary_with(place))
    with pytest.raises(InvalidInput):
        infer(place.engine(), [{"distance": "x", "carrier": "AA"}])
    assert place.meters.of("delay", "", "").counts["errors", "invalid"] == 1
    assert place.models.served["delay"].arms["canary"].meter.counts["errors", "model"] == 0


def test_the_same_key_gets_the_same_arm_and_weights_hold(place):
    arms = (("champion", place.bundle(1), Role.CHAMPION, 0.5), ("b", place.bundle(2), Role.VARIANT, 0.5))
    place.serve(release(*arms, strategy=Strategy.AB_TEST))
    engine = place.engine()
    once = [infer(engine, [ROW], key=f"k{i}").arm for i in range(200)]
    again = [infer(engine, [ROW], key=f"k{i}").arm for i in range(200)]
    assert once == again
    assert 60 < once.count("b") < 140


def test_a_shadow_gets_copies_and_its_answers_go_to_the_log_only(place):
    arms = (("champion", place.bundle(1), Role.CHAMPION, 1.0), ("shadow", place.bundle(2), Role.SHADOW, 1.0))
    place.serve(release(*arms, strategy=Strategy.SHADOW))
    engine = place.engine()
    assert {infer(engine, [ROW], key=f"k{i}").arm for i in range(20)} == {"champion"}
    engine.close()
    rows = place.logged()
    by_arm = {arm: [row for row in rows if row["arm"] == arm] for arm in ("champion", "shadow")}
    assert len(by_arm["champion"]) == len(by_arm["shadow"]) == 20
    assert by_arm["champion"][0]["answer"] != by_arm["shadow"][0]["answer"]


def test_a_bandit_routes_by_what_its_arms_earned(place):
    arms = (("champion", place.bundle(1), Role.CHAMPION, 0.5), ("b", place.bundle(2), Role.VARIANT, 0.5))
    made = release(*arms, strategy=Strategy.EPSILON_GREEDY, bandit=bandit(epsilon=0.1, floor=0.05))
    place.serve(made)
    engine = place.engine(rewards=lambda release: start_state(release))
    assert {infer(engine, [ROW]).arm for _ in range(50)} == {"champion", "b"}


def test_the_cache_answers_for_the_same_rows_of_the_same_bundle(place):
    place.serve(release(("champion", place.bundle(), Role.CHAMPION, 1.0)))
    engine = place.engine(cache=2)
    counts = place.models.served["delay"].champion.meter.counts
    rows = [{"distance": float(i), "carrier": "AA"} for i in (1, 1, 2, 3, 1)]
    answers = [np.asarray(infer(engine, [row]).scores).item() for row in rows]
    assert answers[0] == answers[1] == answers[4]
    assert (counts["cache", "hit"], counts["cache", "miss"]) == (1, 4)  # 1 was pushed out by 2 and 3


def test_a_passed_deadline_is_not_answered(place):
    place.serve(release(("champion", place.bundle(), Role.CHAMPION, 1.0)))
    with pytest.raises(TooLate):
        infer(place.engine(), [ROW], began=time.perf_counter() - 10, deadline=1.0)


def test_threads_ask_through_the_loop(place):
    place.serve(release(("champion", place.bundle(), Role.CHAMPION, 1.0)))
    engine = place.engine()

    async def ask() -> str:
        engine.attach(asyncio.get_running_loop())
        return (await asyncio.to_thread(engine.infer_from_thread, "delay", [ROW])).arm

    assert asyncio.run(ask()) == "champion"


def batcher(score, *, seconds: float, calls: list[int]) -> Batcher:
    return Batcher(
        score,
        seconds=lambda rows: seconds,
        most_rows=8,
        executor=ThreadPoolExecutor(1),
        observe=calls.append,
        clock=time.perf_counter,
    )


@pytest.mark.parametrize("seconds", [0.0, 1.0])  # on the loop, and off it
def test_requests_of_one_turn_are_scored_as_one_batch(place, seconds):
    reader = load_reader(place)
    calls: list[int] = []

    async def ask() -> list[float]:
        made = batcher(lambda packed: packed.numbers[:, 0] * 2, seconds=seconds, calls=calls)
        until = time.perf_counter() + 5
        packed = [reader.read(NamedRows([{"distance": float(i), "carrier": "AA"}])) for i in range(10)]
        return [float(a[0]) for a in await asyncio.gather(*(made.submit(p, until) for p in packed))]

    assert asyncio.run(ask()) == [float(2 * i) for i in range(10)]
    assert calls == [8, 2]


def test_one_bad_row_fails_alone(place):
    reader = load_reader(place)

    def score(packed: Any) -> np.ndarray:
        if (packed.numbers == 3).any():
            raise RuntimeError("three")
        return packed.numbers[:, 0]

    async def ask() -> list[Any]:
        made = batcher(score, seconds=0.0, calls=[])
        packed = [reader.read(NamedRows([{"distance": float(i), "carrier": "AA"}])) for i in range(5)]
        until = time.perf_counter() + 5
        return await asyncio.gather(*(made.submit(p, until) for p in packed), return_exceptions=True)

    answers = asyncio.run(ask())
    assert [i for i, answer in enumerate(answers) if isinstance(answer, RuntimeError)] == [3]


def load_reader(place: Place):
    place.serve(release(("champion", place.bundle(), Role.CHAMPION, 1.0)))
    return place.models.served["delay"].champion.loaded.reader


def test_a_full_queue_refuses_with_a_retry_time(place):
    place.serve(release(("champion", place.bundle(), Role.CHAMPION, 1.0)))
    place.models.served["delay"].champion.loaded.batched = True
    engine = place.engine(queue=3)

    async def ask() -> list[Any]:
        return await asyncio.gather(*(engine.infer("delay", [ROW]) for _ in range(5)), return_exceptions=True)

    answers = asyncio.run(ask())
    refused = [answer for answer in answers if isinstance(answer, Overloaded)]
    assert len(refused) == 2
    assert all(refusal.retry_after for refusal in refused)
    assert engine.waiting == 0
