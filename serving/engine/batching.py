"""Adaptive batching without a timer: rows that reach the worker in one turn of its event loop are scored as one.

An idle worker scores a request in the next turn; a busy one finds more requests waiting when a turn ends, so
batches grow with the load and nobody waits for company. Calls that would hold up the loop run in a thread.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np

from serving.problems import RETRY, Overloaded, TooLate
from serving.rows.reader import Packed

_INLINE = 1e-3  # seconds that a call may hold up the event loop


class _Waiting(NamedTuple):
    packed: Packed
    until: float  # on the engine's clock
    done: asyncio.Future[np.ndarray]


class Batcher:
    """Scores for one model."""

    def __init__(
        self,
        score: Callable[[Packed], np.ndarray],
        *,
        seconds: Callable[[int], float],
        most_rows: int,
        executor: Executor,
        observe: Callable[[int], None],
        clock: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._score, self._seconds, self._observe = score, seconds, observe
        self._most_rows, self._executor = most_rows, executor
        self._waiting: list[_Waiting] = []
        self._scheduled = False
        self._running = False
        self._rows = 0  # that wait or are being scored
        self._pace = 0.0  # seconds of one row, in the last call outside the event loop

    def submit(self, packed: Packed, until: float) -> "asyncio.Future[np.ndarray]":
        """The answer, or TooLate where `until` passes before these rows have their turn.

        Overloaded at once where so many rows wait that it would surely pass.
        """
        if self._rows and self._clock() + self._rows * self._pace > until:
            raise Overloaded(f"{self._rows} rows wait already", retry_after=RETRY)
        self._rows += len(packed.numbers)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[np.ndarray] = loop.create_future()
        self._waiting.append(_Waiting(packed, until, done))
        if not self._scheduled and not self._running:
            self._scheduled = True
            loop.call_soon(self._turn, loop)
        return done

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._scheduled = False
        batch = self._take()
        if not batch:
            return
        rows = sum(len(waiting.packed.numbers) for waiting in batch)
        self._observe(rows)
        if self._seconds(rows) <= _INLINE:
            _deliver(batch, score_each(self._score, [w.packed for w in batch]))
            self._rows -= rows
            self._again(loop)
            return
        self._running, began = True, self._clock()
        task = loop.run_in_executor(self._executor, score_each, self._score, [w.packed for w in batch])
        task.add_done_callback(lambda ended: self._ended(loop, batch, rows, began, ended))

    def _take(self) -> list[_Waiting]:
        """As many as fit into one call; those that nobody waits for any more fall away."""
        rows, taken, now = 0, 0, self._clock()
        for waiting in self._waiting:
            if waiting.until < now and not waiting.done.done():
                waiting.done.set_exception(TooLate("the deadline passed while the request waited"))
        self._rows -= sum(len(waiting.packed.numbers) for waiting in self._waiting if waiting.done.done())
        self._waiting = [waiting for waiting in self._waiting if not waiting.done.done()]
        for waiting in self._waiting:
            rows += len(waiting.packed.numbers)
            if taken and rows > self._most_rows:
                break
            taken += 1
        batch, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return batch

    def _ended(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[_Waiting],
        rows: int,
        began: float,
        ended: "asyncio.Future[list[np.ndarray | Exception]]",
    ) -> None:
        self._running = False
        self._rows -= rows
        self._pace = (self._clock() - began) / rows
        _deliver(batch, ended.result())
        self._again(loop)

    def _again(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._waiting and not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._turn, loop)


def score_each(score: Callable[[Packed], np.ndarray], packed: Sequence[Packed]) -> "list[np.ndarray | Exception]":
    """The answers to several requests in one call. Where that fails each is asked alone: one bad row, one failure."""
    if len(packed) == 1:
        return [_tried(score, packed[0])]
    whole = Packed(np.concatenate([p.numbers for p in packed]), np.concatenate([p.categories for p in packed]), ())
    answers = _tried(score, whole)
    if isinstance(answers, Exception):
        return [_tried(score, p) for p in packed]
    ends = np.cumsum([len(p.numbers) for p in packed])
    return list(np.split(answers, ends[:-1]))


def _tried(score: Callable[[Packed], np.ndarray], packed: Packed) -> "np.ndarray | Exception":
    try:
        return score(packed)
    except Exception as err:  # noqa: BLE001 - whatever a graph throws belongs to the request that caused it
        return err


def _deliver(batch: list[_Waiting], answers: "list[np.ndarray | Exception]") -> None:
    for waiting, answer in zip(batch, answers, strict=True):
        if waiting.done.done():
            continue
        if isinstance(answer, Exception):
            waiting.done.set_exception(answer)
        else:
            waiting.done.set_result(answer)
