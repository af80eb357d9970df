"""Consumers of streams for tests: a home with a bundle, a real process, and what Redis holds afterwards."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import redis

from mlops_assets.resources.traffic.endpoint_log import Traffic
from serving.contract.arms import Role
from serving.contract.release import write_release
from serving.settings.streams import StreamSettings, read_stream_settings
from tests.serving.endpoint import PROJECT, free_port
from tests.serving.graphs import category, contract, make_bundle, number, release

MODEL = "delay"


def make_home(home: Path, *, released: bool = True, **how: Any) -> Path:
    """A home with one bundle, and its release."""
    home.mkdir(parents=True, exist_ok=True)
    digest = make_bundle(home / "bundles", contract([number("distance"), category("carrier")], **how))
    (home / "releases").mkdir(exist_ok=True)
    if released:
        let_go(home, digest)
    return home


def let_go(home: Path, digest: str = "") -> None:
    digest = digest or next((home / "bundles").iterdir()).name
    write_release(home / "releases" / f"{MODEL}.json", release(("champion", digest, Role.CHAMPION, 1.0)))


class Streams:
    """The three streams of one test."""

    def __init__(self, url: str, **asked: str) -> None:
        self.url, self.mark = url, uuid.uuid4().hex[:8]
        self.redis = redis.Redis.from_url(url)
        names = {f"STREAM_{part}": f"{self.mark}.{part.lower()}" for part in ("IN", "OUT", "DEAD")}
        self.environment: dict[str, str] = {"STREAM_URL": url, "STREAM_CLAIM_SECONDS": "0.5", **names, **asked}

    @property
    def settings(self) -> StreamSettings:
        return read_stream_settings(MODEL, self.environment)

    def send(self, *bodies: Any) -> list[str]:
        """Messages; a text goes as it is, everything else as JSON."""
        pipe = self.redis.pipeline(transaction=False)
        for body in bodies:
            pipe.xadd(f"{self.mark}.in", {"data": body if isinstance(body, str | bytes) else json.dumps(body)})
        return [id.decode() for id in pipe.execute()]

    def answers(self) -> list[tuple[str, dict[str, Any]]]:
        """Message → answer, in the order in which they were published."""
        found: Any = self.redis.xrange(f"{self.mark}.out")
        return [(fields[b"id"].decode(), json.loads(fields[b"data"])) for _, fields in found]

    def dead(self) -> dict[str, tuple[str, str]]:
        """Message → kind and reason."""
        found: Any = self.redis.xrange(f"{self.mark}.dead")
        return {f[b"id"].decode(): (f[b"kind"].decode(), f[b"reason"].decode()) for _, f in found}

    def pending(self) -> int:
        told: Any = self.redis.xpending(f"{self.mark}.in", "endpoint")
        return int(told["pending"])

    def consumers(self) -> int:
        found: Any = self.redis.xinfo_consumers(f"{self.mark}.in", "endpoint")
        return len(found)

    def clear(self) -> None:
        for key in self.redis.scan_iter(f"{self.mark}.*"):
            self.redis.delete(key)
        self.redis.close()


class Running:
    """`python -m serving.stream` as a real process."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self.port, self._output = free_port(), (home / "stream.log").open("ab")
        self.home = home
        settings = {"MLOPS_HOME": str(home), "STREAM_PORT": str(self.port), "ENDPOINT_DRAIN_SECONDS": "0.1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "serving.stream", "--model", MODEL],
            cwd=PROJECT, env={**os.environ, "PYTHONPATH": str(PROJECT), **settings, **environment},
            stdout=self._output, stderr=self._output,
        )  # fmt: skip

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: Any) -> None:
        if self.process.poll() is None:
            self.kill()
        self._output.close()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)

    def said(self) -> str:
        return (self.home / "stream.log").read_text()[-3_000:]


def until(holds: Callable[[], bool], seconds: float = 40, told: Callable[[], str] = lambda: "") -> None:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(told())
        time.sleep(0.02)


def rows_logged(home: Path) -> Counter[str]:
    """Request id → rows in the prediction log, closed or not."""
    traffic = Traffic(home=str(home))
    return Counter(id for batch in traffic.answers(MODEL) for id in batch["request_id"].to_pylist())
