"""The store of online features is killed, hangs, loses its file, gets another one. Nobody lends a hand."""

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from feast import FeatureStore
from feast.repo_config import RepoConfig

from serving.contract.arms import Role
from serving.contract.release import write_release
from tests.serving.endpoint import Process, free_port
from tests.serving.features.test_online_features import CONTRACT, apply, put
from tests.serving.graphs import make_bundle, release
from tests.serving.reliability.traffic import PATH, figures, until

pytestmark = pytest.mark.simulation
DOWN = "features: the online store"


def rows(origin: str) -> dict[str, Any]:
    return {"rows": [{"origin": origin, "distance": 2.0, "scheduled_at": "2013-01-02T18:30:00+00:00"}]}


def published(home: Path) -> Path:
    (home / "feast").mkdir()
    digest = make_bundle(home / "bundles", CONTRACT)
    write_release(home / "releases" / "delay.json", release(("champion", digest, Role.CHAMPION, 1.0)))
    return home


def settings(home: Path, store: str) -> dict[str, str]:
    return {
        "ENDPOINT_GRPC_PORT": "off",
        "MLOPS_FEATURE_REGISTRY": f"sqlite:///{home}/feast/registry.db",
        "MLOPS_ONLINE_STORE": store,
    }


def ask(process: Process, origin: str = "EWR") -> httpx.Response:
    return httpx.post(process.url + PATH, json=rows(origin), timeout=10)


def score(answer: httpx.Response) -> float:
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"][0]["probability"]


def stands_in(process: Process, known: float) -> float:
    """Last known values answer, and say so; the seconds that the slowest of ten took."""
    slowest = 0.0
    for _ in range(10):
        began = time.monotonic()
        answer = ask(process)
        slowest = max(slowest, time.monotonic() - began)
        assert score(answer) == pytest.approx(known)
        assert answer.json()["degraded"]
        assert answer.json()["why"][0].startswith(DOWN)
    unknown = ask(process, "XXX")
    assert unknown.status_code == 503
    assert "retry-after" in unknown.headers
    return slowest


def whole_again(process: Process) -> bool:
    answer = ask(process)
    return answer.status_code == 200 and not answer.json()["degraded"]


@contextmanager
def redis(port: int) -> Iterator[subprocess.Popen[bytes]]:
    server = subprocess.Popen(
        ["redis-server", "--port", str(port), "--save", "", "--bind", "127.0.0.1"], stdout=subprocess.DEVNULL
    )
    try:
        until(
            lambda: subprocess.run(["redis-cli", "-p", str(port), "ping"], capture_output=True).stdout == b"PONG\n", 10
        )
        yield server
    finally:
        server.kill()
        server.wait()


def fill_redis(home: Path, port: int, mean_delay: float = 12.0) -> None:
    config = RepoConfig(
        project="mlops_assets", provider="local", registry={"registry_type": "sql", "path": f"sqlite:///{home}/feast/registry.db"},  # type: ignore[arg-type]
        online_store={"type": "redis", "connection_string": f"127.0.0.1:{port}"}, offline_store={"type": "file"},
        entity_key_serialization_version=3,
    )  # fmt: skip
    put(FeatureStore(config=config), EWR=(mean_delay, "rain", datetime.now(UTC) - timedelta(hours=1)))


@pytest.mark.needs_redis
@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not on the path")
def test_redis_is_killed_hangs_and_comes_back(tmp_path):
    home, port = published(tmp_path), free_port()
    apply(home / "feast")
    with Process(home, settings(home, f"redis://127.0.0.1:{port}")) as process:
        assert ask(process).status_code == 503  # not there yet
        with redis(port) as server:
            fill_redis(home, port)
            until(lambda: whole_again(process), 10)
            known = score(ask(process))
            server.send_signal(signal.SIGSTOP)
            hanging = stands_in(process, known)
            server.send_signal(signal.SIGCONT)
            resumed = until(lambda: whole_again(process), 10)
            server.kill()
            server.wait()
            down = stands_in(process, known)
        with redis(port):
            fill_redis(home, port, mean_delay=-3.0)
            back = until(lambda: whole_again(process), 10)
            assert score(ask(process)) != pytest.approx(known)  # the new value, not the remembered one
    figures(f"redis hangs: slowest answer {hanging:.2f} s, back after {resumed:.1f} s; ")
    figures(f"killed: {down:.2f} s, back after {back:.1f} s")
    assert max(hanging, down) < 2


def test_the_file_of_features_is_broken_removed_and_replaced(tmp_path):
    home = published(tmp_path)
    path = home / "feast" / "online.db"
    put(apply(home / "feast"), EWR=(12.0, "rain", datetime.now(UTC) - timedelta(hours=1)))
    kept = home / "kept.db"
    shutil.copy(path, kept)
    with Process(home, settings(home, f"sqlite:///{path}")) as process:
        until(lambda: whole_again(process), 20)
        known = score(ask(process))
        with path.open("r+b") as stream:  # the same file, another content
            stream.write(b"x" * 8_192)
        stands_in(process, known)
        _replace(kept, path)
        until(lambda: whole_again(process), 10)
        path.unlink()
        stands_in(process, known)
        path.write_bytes(b"")  # a file without tables
        stands_in(process, known)
        _replace(kept, path)
        until(lambda: whole_again(process), 10)
        assert score(ask(process)) == pytest.approx(known)


def _replace(kept: Path, path: Path) -> None:
    aside = path.with_name("another.db")
    shutil.copy(kept, aside)
    aside.replace(path)
