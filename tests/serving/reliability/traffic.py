"""Callers for tests under load: many connections in one thread, cheap enough to share two cores with the endpoint.

Every answer is compared with what the released bundles say in this process; what differs is kept.
"""

import asyncio
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import psutil

from serving.contract.arms import Role
from serving.contract.release import write_release
from serving.contract.segments import read_batches
from serving.models.loaded_model import load_model
from serving.rows.row_shapes import NamedRows
from tests.serving.graphs import AIRLINES, category, contract, make_bundle, number, release

CONTRACT = contract([number("distance"), category("carrier")])
PATH = "/v1/models/delay/predict"
QUESTIONS = tuple({"distance": step / 8, "carrier": carrier} for step in range(-20, 20) for carrier in AIRLINES)


class Truth:
    """Publishes releases, and knows what each of their bundles answers: asked here, not over a wire."""

    def __init__(self, home: Path, *, rows: int = 1) -> None:
        self.home, self._rows = home, rows
        self._answers: dict[str, np.ndarray] = {}
        self.bodies = tuple(orjson.dumps({"rows": [question] * rows}) for question in QUESTIONS)

    def publish(self, generation: int, **how: Any) -> str:
        """A bundle of its own for this generation, released; its digest."""
        digest = make_bundle(self.home / "bundles", CONTRACT, **{"seed": generation} | how)
        self.learn(digest, generation)
        self.release(digest, generation)
        return digest

    def learn(self, digest: str, generation: int) -> None:
        loaded = load_model(self.home / "bundles" / digest, "cpu", threads=1, most_rows=10_000)
        packed = loaded.reader.read(NamedRows(list(QUESTIONS)))
        self._answers[f"1.0.{generation}"] = loaded.score(packed)

    def release(self, digest: str, generation: int) -> None:
        told = release(("champion", digest, Role.CHAMPION, 1.0), generation=generation)
        (arm,) = told.arms
        told = replace(told, arms=(replace(arm, version=f"1.0.{generation}"),))
        write_release(self.home / "releases" / "delay.json", told, over_broken=True)

    def wrong(self, question: int, answer: Mapping[str, Any]) -> str | None:
        """What is wrong with an answer: its version, its number of rows, its numbers."""
        known = self._answers.get(answer["version"])
        if known is None:
            return f"version {answer['version']} is in no release"
        told = [row["probability"] for row in answer["predictions"]]
        if len(told) != self._rows or max(abs(value - known[question]) for value in told) > 1e-5:
            return f"{QUESTIONS[question]}: {told[:3]}, but {answer['version']} says {known[question]}"
        return None


@dataclass
class Seen:
    """What callers saw."""

    statuses: Counter[Any] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    answered: list[tuple[float, str]] = field(default_factory=list)  # when, request id
    seconds: list[float] = field(default_factory=list)  # of each answer with status 200
    untold: int = 0  # refusals that do not say when to come again
    versions: Counter[str] = field(default_factory=Counter)

    def percentile(self, share: float) -> float:
        return float(np.quantile(self.seconds, share)) if self.seconds else 0.0


class Traffic:
    """Callers on keep-alive connections until the block ends.

    `rate`: requests in a second over all callers, sent on time whether or not others were answered; without one,
    each caller asks anew as soon as it has its answer.
    """

    def __init__(self, port: int, truth: Truth, *, callers: int = 8, rate: float | None = None) -> None:
        self._port, self._truth, self._callers, self._rate = port, truth, callers, rate
        self.seen = Seen()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="traffic")

    def __enter__(self) -> Seen:
        self._thread.start()
        return self.seen

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        self._thread.join()

    async def _run(self) -> None:
        await asyncio.gather(*(self._call(number) for number in range(self._callers)))

    async def _call(self, number: int) -> None:
        draw, connection, due = random.Random(number), None, time.perf_counter()
        pause = self._callers / self._rate if self._rate else 0.0
        due += pause * number / self._callers
        while not self._stop.is_set():
            if self._rate and (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(min(early, 0.2))
                continue
            due = max(due + pause, time.perf_counter() - pause)
            try:
                connection = connection or await asyncio.open_connection("127.0.0.1", self._port)
                keeps = await self._ask(*connection, draw.randrange(len(QUESTIONS)))
            except (OSError, EOFError, TimeoutError) as err:
                self.seen.statuses[type(err).__name__] += 1
                keeps = False
                await asyncio.sleep(0.02)
            if not keeps and connection:
                connection[1].close()
                connection = None
        if connection:
            connection[1].close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, question: int) -> bool:
        body, seen = self._truth.bodies[question], self.seen
        began = time.perf_counter()
        head = (
            f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        async with asyncio.timeout(30):
            headers = await reader.readuntil(b"\r\n\r\n")
            length = int(headers.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            content = await reader.readexactly(length)
        status = int(headers[9:12])
        seen.statuses[status] += 1
        if status == 200:
            self._note(question, orjson.loads(content), time.perf_counter() - began)
        elif status in (429, 503) and b"retry-after: " not in headers:
            seen.untold += 1
        return b"connection: close" not in headers

    def _note(self, question: int, answer: Mapping[str, Any], seconds: float) -> None:
        seen = self.seen
        seen.answered.append((time.monotonic(), answer["request_id"]))
        seen.seconds.append(seconds)
        seen.versions[answer["version"]] += 1
        if wrong := self._truth.wrong(question, answer):
            seen.wrong.append(wrong)


class Memory:
    """The most memory, in bytes, that a process held while the block ran; `first` is where it began."""

    def __init__(self, pid: int) -> None:
        self._process, self._stop = psutil.Process(pid), threading.Event()
        self.first = self.most = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def grown(self) -> float:
        return (self.most - self.first) / 1e6

    def _sample(self) -> None:
        while not self._stop.wait(0.1):
            self.most = max(self.most, self._process.memory_info().rss)


def logged(home: Path) -> Counter[str]:
    """Request ids in the log, closed segments and open ones, with their rows."""
    found: Counter[str] = Counter()
    for path in (home / "predictions").rglob("*.arrow*"):
        for batch in read_batches(path):
            found.update(batch["request_id"].to_pylist())
    return found


def until(holds: Any, seconds: float) -> float:
    """Wait for it; the seconds that it took. Fails after so many."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, f"not within {seconds:g} s"
        time.sleep(0.05)
    return time.monotonic() - began


def figures(text: str) -> None:
    """What was measured; `pytest --log-cli-level=INFO` shows it."""
    logging.getLogger("reliability").info(text)
