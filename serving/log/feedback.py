"""Outcomes that callers report: into the feedback log, and to the bandits.

A row of the log: request id, row, time (the model's), outcome as JSON text, arm. What an outcome means for the model
is judged elsewhere; here it is only kept. Bandits take `reward`, or an outcome that is a number or true/false.
"""

import json
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from serving.contract.segments import Writer, close_orphans
from serving.models.bandits import Bandits
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
_REMEMBERED = 100_000  # outcomes whose repetition earns no second reward
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
        bandits: Bandits,
        meters: Meters,
        *,
        most_rows: int,
        segment: int,
        clock: Callable[[], float] = time.time,
        model_now: Callable[[str], float] = lambda model: time.time(),
    ) -> None:
        self._model_now = model_now
        self._root, self._worker, self._bandits, self._meters = root, worker, bandits, meters
        self._most_rows, self._segment, self._clock = most_rows, segment, clock
        self._waiting: deque[ReportedOutcome] = deque()
        self._rewarded: OrderedDict[tuple[str, int], None] = OrderedDict()
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
            if arm and reward is not None and self._is_first(item["request_id"], row):
                self._bandits.earn(served.release, arm.name, reward)
            version = arm.version if arm else ""
            self._meters.of(model, version, arm.name if arm else "").count("feedback")
        return len(items)

    def flush(self) -> None:
        with self._writing:
            taken = [self._waiting.popleft() for _ in range(len(self._waiting))]
            for model in dict.fromkeys(outcome.model for outcome in taken):
                self._write(model, [outcome for outcome in taken if outcome.model == model])
            for writer in self._writers.values():
                writer.close_if_due()

    def close(self) -> None:
        self.flush()
        for writer in self._writers.values():
            writer.close()

    def adopt(self) -> list[Path]:
        return close_orphans(self._root)

    def _is_first(self, request_id: str, row: int) -> bool:
        key = (request_id, row)
        if key in self._rewarded:
            return False
        self._rewarded[key] = None
        if len(self._rewarded) > _REMEMBERED:
            self._rewarded.popitem(last=False)
        return True

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
            self.lost += len(outcomes)


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
