"""The prediction log: one row for each prediction, in Arrow segments, written by a thread.

The request path appends one tuple to a bounded buffer and goes on. What does not fit, and what the disk does not
take, is counted, never silently lost. A killed process loses what came in since the last flush.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from serving.contract.segments import Writer, close_orphans
from serving.log.columns import build_batch, split_into_batches
from serving.log.digests import build_digest_batch
from serving.models.served_models import ServedArm
from serving.rows.reader import Packed

_CLOSE_AFTER = 60.0  # seconds in which a segment takes rows
_FULL = 0.25  # share of the buffer at which the next flush need not wait for its time
_MUCH = 4_000_000  # bytes at which it need not either: what lies in the processor's cache is written faster
_DIGESTS = " digests"  # no layout has such a name
_OTHER_BYTES = 500  # what a record costs beside its values
_log = logging.getLogger("serving.log.prediction_log")


class Record(NamedTuple):
    """What one request leaves in the log."""

    request_id: str
    time: float  # seconds since 1970, of the model's clock
    key: str | None  # None: each row's own entity keys
    rows: int
    standing: ServedArm  # who answered, or the champion that could not
    generation: int
    entities: Mapping[str, Any] | None  # entity key → values, one for each row
    packed: Packed | None  # None: the rows were never packed
    scores: Any  # [n] or [n, k]; None: the default answer
    latency: float  # seconds
    why: str  # empty: not degraded
    routed: str  # name of the arm that was to answer
    places: Sequence[int] | None = None  # of the rows in their request; None: from 0 on


class PredictionLog:
    """Takes records, writes segments. `lost` counts rows by cause."""

    def __init__(
        self,
        root: Path,
        worker: str,
        *,
        buffer: int,
        segment: int,
        digests: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`digests`: where the digests of the answers are written, beside the rows."""
        self._digests = digests
        self._root, self._worker, self._clock = root, worker, clock
        self._most, self._segment = buffer, segment
        self._soon = min(buffer * _FULL, _MUCH)
        self._due, self._ended = threading.Event(), False
        self._thread: threading.Thread | None = None
        self._waiting: dict[str, deque[Record]] = {}  # by model and layout of the rows
        self._bytes = 0
        self._writing = threading.Lock()
        self._writers: dict[str, Writer] = {}
        self.lost: dict[str, int] = {"buffer": 0, "disk": 0}
        self.written = self.unclosed = 0

    def add(self, record: Record) -> None:
        """Called on the request path."""
        loaded = record.standing.loaded
        size = _OTHER_BYTES + record.rows * loaded.row_bytes
        if self._bytes + size > self._most:
            self.lost["buffer"] += record.rows
            return
        self._bytes += size
        if self._bytes > self._soon and not self._due.is_set():
            self._due.set()
        kind = loaded.log_key if record.scores is not None else loaded.default_log_key
        try:
            self._waiting[kind].append(record)
        except KeyError:
            self._waiting.setdefault(kind, deque()).append(record)

    def flush(self) -> None:
        """Write what waits. Called by the worker's thread, and once at the end."""
        with self._writing:
            self._bytes = 0  # what comes in meanwhile is counted with the next
            for kind, waiting in tuple(self._waiting.items()):
                if records := [waiting.popleft() for _ in range(len(waiting))]:
                    for part in split_into_batches(records):
                        self._write(kind, part)
            for writer in self._writers.values():
                self._close_due(writer)

    def start(self, seconds: float) -> None:
        """Write every so often in a thread of its own, sooner where the buffer fills."""
        self._thread = threading.Thread(target=self._keep_writing, args=(seconds,), name="log", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended = True
        self._due.set()
        if self._thread:
            self._thread.join(timeout=10)
        self.flush()
        with self._writing:
            for writer in self._writers.values():
                writer.close()

    def adopt(self) -> list[Path]:
        """Complete the segments of workers that were killed."""
        if self._digests is not None:
            close_orphans(self._digests)
        return close_orphans(self._root)

    def _keep_writing(self, seconds: float) -> None:
        while not self._ended:
            self._due.wait(seconds)
            self._due.clear()
            try:
                self.flush()
            except Exception:  # noqa: BLE001 - a thread's border: the next round must come
                _log.exception("the prediction log could not be written; it goes on")

    def _write(self, kind: str, records: Sequence[Record]) -> None:
        try:
            batch = build_batch(records)
        except Exception:  # noqa: BLE001 - whatever a record holds, the others are written
            if len(records) > 1:  # one bad record costs itself, not those that were flushed with it
                half = len(records) // 2
                self._write(kind, records[:half])
                self._write(kind, records[half:])
                return
            self.lost["unwritable"] = self.lost.get("unwritable", 0) + records[0].rows
            _log.exception("request %s cannot be written to the prediction log", records[0].request_id)
            return
        try:
            self._writer(kind).write(batch)
            self.written += batch.num_rows
        except OSError:
            self.lost["disk"] += batch.num_rows
            return
        if self._digests is not None:
            with suppress(OSError):  # then these rows are not compared
                self._digest_writer(kind.split("/")[0]).write(build_digest_batch(records))

    def _close_due(self, writer: Writer) -> None:
        try:
            writer.close_if_due()
        except OSError:
            self.unclosed += 1  # its rows are on disk; the next worker completes the file

    def _digest_writer(self, model: str) -> Writer:
        key = f"{model}/{_DIGESTS}"
        if key not in self._writers and self._digests is not None:
            self._writers[key] = Writer(
                self._digests / model,
                self._worker,
                most_bytes=self._segment,
                most_seconds=_CLOSE_AFTER,
                clock=self._clock,
            )
        return self._writers[key]

    def _writer(self, kind: str) -> Writer:
        """One for each model and layout of rows: a canary with other features does not cut segments short."""
        if kind not in self._writers:
            model, part = kind.split("/")
            self._writers[kind] = Writer(
                self._root / model,
                f"{self._worker}-{part}",
                most_bytes=self._segment,
                most_seconds=_CLOSE_AFTER,
                clock=self._clock,
            )
        return self._writers[kind]
