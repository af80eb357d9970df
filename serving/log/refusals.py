"""The log of refusals: requests that got no prediction, with the version they were routed to and the reason.

A row is bounded and holds nothing of the request but its key. What comes in crowds is counted: of the refusals of one
kind by one version, the first of each flush have a row each, all others share one that says how many they are.

request_id, time, key, version, arm, role, bundle, generation: as in the prediction log, by the arm it was routed to
kind, why           of the refusal
rows                of the request
requests            how many requests the row stands for
others_take         whether another version of the release would have taken the request
"""

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from serving.contract.segments import Writer, close_orphans

SCHEMA = pa.schema(
    [
        ("request_id", pa.string()),
        ("time", pa.timestamp("us", "UTC")),
        ("key", pa.string()),
        ("version", pa.string()),
        ("arm", pa.string()),
        ("role", pa.string()),
        ("bundle", pa.string()),
        ("generation", pa.int64()),
        ("kind", pa.string()),
        ("why", pa.string()),
        ("rows", pa.int64()),
        ("others_take", pa.bool_()),
        ("requests", pa.int64()),
    ]
)
_MOST_EACH = 100  # refusals of one kind by one version that have a row of their own, in one flush
_LONGEST_KEY, _LONGEST_REASON = 200, 300  # characters
_CLOSE_AFTER = 60.0


class Refusal(NamedTuple):
    """One request without a prediction."""

    request_id: str
    time: float  # seconds since 1970, of the model's clock
    key: str
    version: str  # empty where no version was chosen
    arm: str
    role: str
    bundle: str
    generation: int
    kind: str
    why: str
    rows: int
    others_take: bool


class RefusalLog:
    """Takes refusals on the request path, writes them with `flush`."""

    def __init__(
        self, root: Path, worker: str, *, segment: int = 64_000_000, clock: Callable[[], float] = time.time
    ) -> None:
        self._root, self._worker, self._segment, self._clock = root, worker, segment, clock
        self._waiting: dict[tuple[str, ...], list[Refusal]] = {}
        self._further: dict[tuple[str, ...], int] = {}
        self._adding, self._writing = threading.Lock(), threading.Lock()
        self._writers: dict[str, Writer] = {}
        self.lost = 0

    def add(self, model: str, refusal: Refusal) -> None:
        group = (model, refusal.arm, refusal.version, refusal.kind, str(refusal.others_take))
        with self._adding:
            waiting = self._waiting.setdefault(group, [])
            if len(waiting) < _MOST_EACH:
                waiting.append(refusal)
            else:
                waiting[-1] = refusal
                self._further[group] = self._further.get(group, 0) + 1

    def flush(self) -> None:
        with self._writing:
            with self._adding:
                waiting, self._waiting = self._waiting, {}
                further, self._further = self._further, {}
            by_model: dict[str, list[tuple[Refusal, int]]] = {}
            for group, refusals in waiting.items():
                counts = [1] * (len(refusals) - 1) + [1 + further.get(group, 0)]
                by_model.setdefault(group[0], []).extend(zip(refusals, counts, strict=True))
            for model, counted in by_model.items():
                self._write(model, counted)
            for writer in self._writers.values():
                self._try(writer.close_if_due, 0)

    def close(self) -> None:
        self.flush()
        for writer in self._writers.values():
            self._try(writer.close, 0)

    def adopt(self) -> list[Path]:
        """Complete the segments of workers that were killed."""
        return close_orphans(self._root)

    def _write(self, model: str, counted: list[tuple[Refusal, int]]) -> None:
        if model not in self._writers:
            self._writers[model] = Writer(
                self._root / model,
                self._worker,
                most_bytes=self._segment,
                most_seconds=_CLOSE_AFTER,
                clock=self._clock,
            )
        batch = build_refusal_batch(counted)
        self._try(lambda: self._writers[model].write(batch), sum(count for _, count in counted))

    def _try(self, work: Callable[[], None], requests: int) -> None:
        try:
            work()
        except OSError:
            self.lost += requests


def build_refusal_batch(counted: Iterable[tuple[Refusal, int]]) -> pa.RecordBatch:
    """Refusals, and how many requests each stands for, as columns."""
    rows = [(*_bound(refusal), count) for refusal, count in counted]
    columns = list(zip(*rows, strict=True))
    arrays = [
        pa.array(column, _plain(field.type)).cast(field.type) for column, field in zip(columns, SCHEMA, strict=True)
    ]
    return pa.record_batch(arrays, schema=SCHEMA)


def _bound(refusal: Refusal) -> Refusal:
    """The refusal with texts of bounded length, and its time in microseconds."""
    key, why = _shorten(refusal.key, _LONGEST_KEY), _shorten(refusal.why, _LONGEST_REASON)
    return refusal._replace(time=int(refusal.time * 1e6), key=key, why=why)


def _shorten(text: str, most: int) -> str:
    """Text that Arrow takes, of bounded length."""
    return text[:most].encode("utf-8", "replace").decode()


def _plain(kind: pa.DataType) -> pa.DataType:
    return pa.int64() if pa.types.is_timestamp(kind) else kind
