"""The endpoint's life: from start to ready, a further version, a swap under load, a heavy model in batches."""

import json
import statistics
import threading
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from serving.contract.arms import Role, Strategy
from serving.contract.release import write_release
from tests.benchmarks.serving_kit import (
    FIELDS,
    Server,
    endpoint,
    interleaved,
    load,
    peer,
    prepared,
    table,
    told,
)
from tests.serving.graphs import contract, make_bundle, number, release

PREDICT = "/v1/models/delay/predict"
HEAVY = {"10 x": (512, 256), "100 x": (2_048, 832)}  # hidden layers with so many times the arithmetic of 128 → 64


def start() -> None:
    """Seconds from the command to the first ready answer."""
    with prepared() as (home, _):
        seconds = []
        for _ in range(3):
            began = time.perf_counter()
            with endpoint(home):
                seconds.append(time.perf_counter() - began)
    told("cold start to ready, seconds", statistics.median(seconds), 10, at_most=True)


def versions() -> None:
    """Memory of one more version of a model."""
    with prepared() as (home, bodies), endpoint(home) as ours:
        load(ours, PREDICT, bodies["one"], requests=20_000)
        alone = ours.memory()
        arms = [(f"arm{i}", _bundle(home, i), Role.VARIANT if i else Role.CHAMPION, 0.1) for i in range(10)]
        _publish(home, 2, *arms, strategy=Strategy.AB_TEST)
        _until_served(ours, 2)
        load(ours, PREDICT, bodies["one"], requests=20_000)
        more = (ours.memory() - alone) / 9
    told("memory of one more version, MB", more, 5, at_most=True)


def swap() -> None:
    """A release every half second under load: nothing fails, latency stays."""
    with prepared() as (home, bodies), endpoint(home) as ours:
        load(ours, PREDICT, bodies["one"], requests=5_000)
        steady = load(ours, PREDICT, bodies["one"], requests=30_000)
        digests, seconds = [_bundle(home, seed) for seed in (0, 1)], []
        done: dict[str, Any] = {}
        under_load = threading.Thread(target=lambda: done.update(load(ours, PREDICT, bodies["one"], requests=60_000)))
        under_load.start()
        generation = 1
        while under_load.is_alive():
            generation += 1
            _publish(home, generation, ("champion", digests[generation % 2], Role.CHAMPION, 1.0))
            seconds.append(_until_served(ours, generation))
            time.sleep(0.4)
        under_load.join()
    failed = sum(count for status, count in done["statuses"].items() if status != "200")
    print(f"  {generation - 1} swaps in {done['requests']:,} requests; slowest answer {done['max_ms']:.0f} ms")
    told("requests failed during swaps", failed, 0, at_most=True)
    told("p99 during swaps / steady", done["p99_ms"] / steady["p99_ms"], 2, at_most=True)
    told("seconds from a release's file to traffic, under load", statistics.median(seconds), 1, at_most=True)


def batching() -> None:
    """Models with more arithmetic: batches of whatever waits, against a bare server with one call for each request."""
    for name, hidden in HEAVY.items():
        with prepared() as (home, bodies):
            digest = _bundle(home, 0, hidden)
            _publish(home, 2, ("champion", digest, Role.CHAMPION, 1.0))
            with endpoint(home) as ours, peer("bare", home / "bundles" / digest / "model.onnx") as bare:
                batched = _told(ours)["models"]["delay"]["arms"]
                runs = {"endpoint": (ours, PREDICT, bodies["one"], {}), "bare": (bare, "/", bodies["one"], {})}
                found = interleaved(runs)
        table(found)
        print(f"  arms: {json.dumps(batched)[:300]}")
        told(f"{name} the arithmetic, endpoint / bare unbatched", found["endpoint"]["rps"] / found["bare"]["rps"], 2)


def _bundle(home: Path, seed: int, hidden: Sequence[int] = (128, 64)) -> str:
    given = contract([number(name, lower=-1e6, upper=1e6) for name in FIELDS])
    return make_bundle(home / "bundles", given, hidden=hidden, seed=seed)


def _publish(home: Path, generation: int, *arms: tuple[str, str, Role, float], **other: Any) -> None:
    write_release(home / "releases" / "delay.json", release(*arms, generation=generation, **other))


def _told(server: Server) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/releases", timeout=10) as answer:
        return json.load(answer)


def _until_served(server: Server, generation: int) -> float:
    began = time.perf_counter()
    while _told(server)["models"]["delay"]["generation"] < generation:
        time.sleep(0.01)
    return time.perf_counter() - began
