"""Outcomes that callers report, into the feedback log. Only ids that this endpoint issued are taken.

A row of the log: request id, row, time (the model's), outcome as JSON text, reward, arm. What an outcome means for the
model is judged elsewhere; here it is only kept. The reward is the caller's `reward`, or an outcome that is a number or
true/false; the books of rewards are folded from this log. What a full disk does not take waits until it does.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from serving.contract.segments import Writer, close_orphans
from serving.models.request_ids import RequestIds
from serving.models.served_models import ServedArm, ServedModel
from serving.problems import InvalidInput, Overloaded, Problem
from serving.telemetry.meter import Meters

SCHEMA = pa.schema(
    [
        ("request_id", pa.string()),
        ("row", pa.int32()),
        ("time", pa.timestamp("us", "UTC")),
        ("outcome", pa.string()),
        ("reward", pa.float64()),
        ("arm", pa.string()),
    ]
)
_MOST_WAITING = 100_000
_CLOSE_AFTER = 60.0
_LONGEST = 1_000  # characters of an outcome
_FIELDS = {"request_id", "row", "outcome", "reward"}


class ReportedOutcome(NamedTuple):
    model: str
    request_id: str
    row: int
    time: float
    outcome: str
    reward: float | None
    arm: str | None


class Feedback:
    """Takes outcomes, writes segments."""

    def __init__(
        self,
        root: Path,
        worker: str,
        ids: RequestIds,
        meters: Meters,
        *,
        most_rows: int,
        segment: int,
        clock: Callable[[], float] = time.time,
        model_now: Callable[[str], float] = lambda model: time.time(),
    ) -> None:
        self._model_now = model_now
        self._root, self._worker, self._ids, self._meters = root, worker, ids, meters
        self._most_rows, self._segment, self._clock = most_rows, segment, clock
        self._waiting: deque[ReportedOutcome] = deque()
        self._writing = threading.Lock()
        self._writers: dict[str, Writer] = {}
        self.lost = 0

    def take(self, served: ServedModel, items: list[Any]) -> int:
        """Keep these outcomes; InvalidInput lists everything that is wrong with any of them."""
        if not 0 < len(items) <= self._most_rows:
            raise InvalidInput(f"a request brings 1 to {self._most_rows:,} outcomes")
        if len(self._waiting) + len(items) > _MOST_WAITING:
            raise Overloaded("too many outcomes wait for the disk", retry_after=1.0)
        problems = [problem for index, item in enumerate(items) for problem in _problems(index, item)]
        if problems:
            raise InvalidInput(problems)
        model = served.release.model
        if unknown := [problem for index, item in enumerate(items) for problem in self._unissued(model, index, item)]:
            raise InvalidInput(unknown)
        now = self._model_now(model)
        for item in items:
            row, reward = item.get("row", 0), _reward(item)
            arm = find_arm(served, item["request_id"])
            self._waiting.append(
                ReportedOutcome(
                    model, item["request_id"], row, now, json.dumps(item["outcome"], ensure_ascii=False),
                    reward, arm.name if arm else None,
                )
            )  # fmt: skip
            version = arm.version if arm else ""
            self._meters.of(model, version, arm.name if arm else "").count("feedback")
        return len(items)

    def flush(self) -> None:
        with self._writing:
            taken = [self._waiting.popleft() for _ in range(len(self._waiting))]
            for model in dict.fromkeys(outcome.model for outcome in taken):
                self._write(model, [outcome for outcome in taken if outcome.model == model])
            for writer in self._writers.values():
                with suppress(OSError):
                    writer.close_if_due()

    def close(self) -> None:
        self.flush()
        self.lost += len(self._waiting)
        for writer in self._writers.values():
            with suppress(OSError):  # its rows are on disk; the next worker completes the file
                writer.close()

    def adopt(self) -> list[Path]:
        return close_orphans(self._root)

    def _unissued(self, model: str, index: int, item: dict[str, Any]) -> Iterator[Problem]:
        """What is wrong with an outcome for an answer that nobody got."""
        if problem := self._ids.find_problem(model, item["request_id"], item.get("row", 0)):
            yield Problem(problem[0], index, problem[1])

    def _write(self, model: str, outcomes: list[ReportedOutcome]) -> None:
        columns = list(zip(*outcomes, strict=True))
        times = pa.array([int(t * 1e6) for t in columns[3]], pa.int64()).cast(SCHEMA.field("time").type)
        arrays = [pa.array(columns[1]), pa.array(columns[2], pa.int32()), times]
        arrays += [pa.array(columns[i], kind) for i, kind in ((4, pa.string()), (5, pa.float64()), (6, pa.string()))]
        if model not in self._writers:
            self._writers[model] = Writer(
                self._root / model,
                self._worker,
                most_bytes=self._segment,
                most_seconds=_CLOSE_AFTER,
                clock=self._clock,
            )
        try:
            self._writers[model].write(pa.record_batch(arrays, schema=SCHEMA))
        except OSError:
            self._waiting.extendleft(reversed(outcomes))


def find_arm(served: ServedModel, request_id: str) -> ServedArm | None:
    """The arm that answered, where the request belongs to the generation that is served now."""
    tail = request_id.rpartition("-")[2]
    return next((arm for arm in served.arms.values() if arm.tail == tail), None)


def _reward(item: dict[str, Any]) -> float | None:
    value = item.get("reward", item["outcome"])
    return float(value) if isinstance(value, int | float) else None


def _problems(index: int, item: Any) -> list[Problem]:
    if not isinstance(item, dict):
        return [Problem(None, index, 'an outcome is an object {"request_id", "row", "outcome"}')]
    problems = [Problem(name[:100], index, "is not known here") for name in sorted(item.keys() - _FIELDS)]
    request_id, row, outcome = item.get("request_id"), item.get("row", 0), item.get("outcome")
    if not isinstance(request_id, str) or not 0 < len(request_id) <= 100:
        problems.append(Problem("request_id", index, "is the text that came with the answer"))
    if type(row) is not int or not 0 <= row < 2**31:
        problems.append(Problem("row", index, "is the position of the row in its request, from 0"))
    if not isinstance(outcome, str | int | float) or len(str(outcome)) > _LONGEST:
        problems.append(Problem("outcome", index, "is a number, a text, true or false"))
    reward = item.get("reward", 0)
    if not isinstance(reward, int | float) or isinstance(reward, bool) or abs(reward) > 2**53:
        problems.append(Problem("reward", index, "is a number"))
    return problems
