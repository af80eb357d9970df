"""Features looked up online, for 1 and 100 entities: Feast's lookup alone, the endpoint's, and requests with it.

SQLite always; Redis where TEST_REDIS_URL names one, or a `redis-server` is installed.
"""

import os
import random
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from serving.contract.arms import Role
from serving.contract.release import write_release
from serving.features.lookup import Lookup
from tests.benchmarks.serving_kit import ROUNDS, Server, endpoint, free_port, load, prepared, told
from tests.serving.graphs import contract, make_bundle, number, release

VIEWED = [f"f{i}" for i in range(10)]
KEYS = 1_000
PREDICT = "/v1/models/delay/predict"
LOOKUPS, WARM = 300, 20


def lookup() -> None:
    with prepared() as (home, _):
        _stored(home, "SQLite", f"sqlite:///{home}/online.db", {"type": "sqlite", "path": str(home / "online.db")})
    with redis() as url:
        if url is None:
            print("Redis: not measured: TEST_REDIS_URL is not set and no redis-server is installed")
            return
        host = url.removeprefix("redis://").split("/")[0]
        with prepared() as (home, _):
            _stored(home, "Redis", url, {"type": "redis", "connection_string": host})


def _stored(home: Path, name: str, url: str, settings: Mapping[str, Any]) -> None:
    store = _store(home, settings)
    given = contract([number(f, lower=-1e6, upper=1e6) for f in VIEWED], entity=("place",), service="delay_v1")
    digest = make_bundle(home / "bundles", given, hidden=(128, 64))
    write_release(home / "releases" / "delay.json", release(("champion", digest, Role.CHAMPION, 1.0), generation=2))
    surroundings = {"MLOPS_FEATURE_REGISTRY": f"sqlite:///{home}/registry.db", "MLOPS_ONLINE_STORE": url}
    with endpoint(home, **surroundings) as ours:
        for count in (1, 100):
            body = home / f"keys{count}"
            body.write_bytes(orjson.dumps({"rows": [{"place": f"p{i}"} for i in range(count)]}))
            load(ours, PREDICT, body, connections=1, requests=100)
            _told(f"{name}, {count}", [_round(store, ours, body, count) for _ in range(ROUNDS)])


def _round(store: Any, ours: Server, body: Path, count: int) -> dict[str, float]:
    """Feast's own lookup, the endpoint's, and requests with it, one after the other."""
    service = store.get_feature_service("delay_v1")
    feasts = _timed(lambda asked: store.get_online_features(service, asked).to_dict(), count)
    lookup = _timed(Lookup(store, "delay_v1"), count)
    one = load(ours, PREDICT, body, connections=1, requests=LOOKUPS)
    many = load(ours, PREDICT, body, connections=8)
    return {
        "feast_us": feasts[0], "feast_p99_ms": feasts[1], "own_us": lookup[0], "own_p99_ms": lookup[1],
        "one_p99_ms": one["p99_ms"], "one_p50_ms": one["p50_ms"], "rps": many["rps"], "cpu_us": many["cpu_us"],
        "share": many["rps"] * feasts[2],
    }  # fmt: skip


def _told(name: str, rounds: list[dict[str, float]]) -> None:
    found = {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
    print(f"  {name}: " + ", ".join(f"{key} {value:.4g}" for key, value in found.items()))
    told(f"{name} entities: p99 of the lookup, ms", found["own_p99_ms"], 10, at_most=True)
    told(f"{name} entities: p99 of the whole request, ms", found["one_p99_ms"], 10, at_most=True)
    told(f"{name} entities: requests a second / Feast's lookups a second", found["share"], 0.5)
    told(f"{name} entities: CPU of Feast's lookup / CPU of a request", found["feast_us"] / found["cpu_us"], 0.5)


def _timed(lookup: Callable[[list[dict[str, str]]], Any], count: int) -> tuple[float, float, float]:
    """CPU in microseconds and p99 in milliseconds of a lookup on the server's core, and seconds of one on average."""
    os.sched_setaffinity(0, {0})
    draw, seconds, used = random.Random(0), [], 0.0
    for turn in range(WARM + LOOKUPS):
        asked = [{"place": f"p{draw.randrange(KEYS)}"} for _ in range(count)]
        began, cpu = time.perf_counter(), time.process_time()
        lookup(asked)
        if turn >= WARM:
            seconds.append(time.perf_counter() - began)
            used += time.process_time() - cpu
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    return 1e6 * used / LOOKUPS, 1e3 * sorted(seconds)[int(0.99 * LOOKUPS)], sum(seconds) / LOOKUPS


def _store(home: Path, settings: Mapping[str, Any]) -> Any:
    import feast
    import pandas as pd
    from feast.repo_config import RepoConfig
    from feast.types import Float64

    config = RepoConfig(
        project="mlops_assets",
        provider="local",
        registry={"registry_type": "sql", "path": f"sqlite:///{home}/registry.db"},  # type: ignore[arg-type]
        online_store=dict(settings),
        offline_store={"type": "file"},
        entity_key_serialization_version=3,
    )
    store = feast.FeatureStore(config=config)
    place = feast.Entity(name="place", value_type=feast.ValueType.STRING)
    source = feast.FileSource(name="source", path=str(home / "none.parquet"), timestamp_field="event_timestamp")
    fields = [feast.Field(name=name, dtype=Float64) for name in VIEWED]
    ttl = timedelta(days=1)
    view = feast.FeatureView(name="view", entities=[place], ttl=ttl, schema=fields, source=source)
    store.apply([place, view, feast.FeatureService(name="delay_v1", features=[view])])
    frame = pd.DataFrame(
        {"place": [f"p{i}" for i in range(KEYS)], **{n: [float(i % 7) for i in range(KEYS)] for n in VIEWED}}
    )
    store.write_to_online_store("view", frame.assign(event_timestamp=datetime.now(UTC)))
    return store


@contextmanager
def redis() -> Iterator[str | None]:
    """The URL of a Redis: the one that is named, or one of our own."""
    named = os.environ.get("TEST_REDIS_URL")
    if named or not shutil.which("redis-server"):
        yield named
        return
    port = free_port()
    process = subprocess.Popen(["redis-server", "--port", str(port), "--save", ""], stdout=subprocess.DEVNULL)
    try:
        time.sleep(1)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait()
