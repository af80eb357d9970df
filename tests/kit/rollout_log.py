"""Logs as the endpoint writes them, without an endpoint: segments with chosen answers, errors and outcomes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mlops_assets.domain.release.release_state import ArmState, ReleaseState
from mlops_assets.resources.traffic.endpoint_log import Traffic
from serving.contract.arms import Role, Strategy
from serving.contract.segments import Writer
from serving.log.feedback import SCHEMA

OPENED = datetime(2024, 5, 1, 12, tzinfo=UTC)
TIME = pa.timestamp("us", "UTC")


def release_state(
    strategy: Strategy = Strategy.CANARY,
    *,
    share: float = 0.05,
    generation: int = 7,
    bundles: Sequence[str] = ("c" * 64, "d" * 64),
    **other: Any,
) -> ReleaseState:
    """A champion and one challenger with this share."""
    role = {Strategy.CANARY: Role.CANARY, Strategy.SHADOW: Role.SHADOW}.get(strategy, Role.VARIANT)
    rest = 1.0 if role is Role.SHADOW else 1 - share
    arms = (
        ArmState("champion", "1.0.0", "1", bundles[0], Role.CHAMPION, rest),
        ArmState(role.value, "1.1.0", "2", bundles[1], role, share),
    )
    values: dict[str, Any] = {
        "model": "delay", "generation": generation, "strategy": strategy, "arms": arms, "fallback": None,
        "salt": "s", "opened_at": OPENED, "frozen": False, "bento": "", "sequence": 1, "actor": "tests",
    } | other  # fmt: skip
    return ReleaseState(**values)


@dataclass(frozen=True)
class Behaviour:
    """What an arm does with its requests."""

    errors: float = 0.0
    slow: float = 0.0
    shift: float = 0.0  # of the answered probability, away from the truth


def routed_requests(
    state: ReleaseState,
    arm: np.ndarray,
    *,
    rng: np.random.Generator,
    behaviour: Mapping[str, Behaviour] = {},
    first: int = 0,
    at: datetime = OPENED,
    rows: int = 1,
    keys: Sequence[str] | None = None,
    airline: Sequence[str] = ("AA", "UA"),
) -> tuple[pa.RecordBatch, np.ndarray]:
    """A batch of the prediction log for requests routed to the arms of these indices; and each row's true class."""
    n, names, tails = len(arm), [a.name for a in state.arms], list(state.tails.values())
    does = [behaviour.get(name, Behaviour()) for name in names]
    failed = rng.random(n) < np.array([d.errors for d in does])[arm]
    slow = rng.random(n) < np.array([d.slow for d in does])[arm]
    gave = np.where(failed, 0, arm)
    gave = np.where(failed & (arm == 0), -1, gave)
    each = np.repeat(np.arange(n), rows)
    chance = rng.uniform(0.1, 0.5, n * rows)
    truth = (rng.random(n * rows) < chance).astype(int)
    said = np.clip(chance + np.array([d.shift for d in does])[arm][each], 0, 1)
    ids = [f"w1-{first + i:x}{tails[a]}" for i, a in enumerate(arm)]
    stamps = [*names, "default"]
    columns = {
        "request_id": pa.array(ids, pa.string()).take(pa.array(each)),
        "row": pa.array(np.tile(np.arange(rows), n), pa.int32()),
        "time": pa.array([at] * (n * rows), TIME),
        "key": pa.array(keys or [f"k{first + i}" for i in range(n)], pa.string()).take(pa.array(each)),
        **{name: pa.array(stamps).take(pa.array(gave[each] % len(stamps))) for name in ("version", "arm", "bundle")},
        "routed": pa.array(names, pa.string()).take(pa.array(arm[each])),
        "generation": pa.array(np.full(n * rows, state.generation)),
        "latency_ms": pa.array(np.where(slow, 900.0, 5.0)[each]),
        "degraded": pa.array(failed[each]),
        "why": pa.array(np.where(failed, "model", "")[each]),
        "answer": pa.ListArray.from_arrays(np.arange(n * rows + 1, dtype=np.int32), said),
        "entities": _struct({"tail": [f"N{i}" for i in range(10)]}, n * rows),
        "features": _struct({"distance": [float(i) for i in range(7)], "carrier": airline}, n * rows),
    }
    return pa.record_batch(columns), truth


def _struct(values: Mapping[str, Sequence[Any]], n: int) -> pa.StructArray:
    """Fields whose values come round and round."""
    arrays = [pa.array(each).take(pa.array(np.arange(n) % len(each))) for each in values.values()]
    return pa.StructArray.from_arrays(arrays, names=list(values))


def outcome_rows(
    batch: pa.RecordBatch, outcome: Sequence[Any], *, at: datetime, reward: Sequence[float] | None = None
) -> pa.RecordBatch:
    """Outcomes for all rows of a batch."""
    n = batch.num_rows
    columns = [
        batch["request_id"],
        batch["row"],
        pa.array([at] * n, TIME),
        pa.array([json.dumps(value) for value in outcome], pa.string()),
        pa.array(reward, pa.float64()) if reward is not None else pa.nulls(n, pa.float64()),
        pa.array(["?"] * n),
    ]
    return pa.record_batch(columns, schema=SCHEMA)


class EndpointLogs:
    """The two logs of one model under a folder, written by the endpoint's own writer."""

    def __init__(self, home: Path, model: str = "delay") -> None:
        self.traffic = Traffic(home=str(home))
        self._clock = datetime.now(UTC).timestamp()
        self._answers, self._outcomes = (self._writer(home / part / model) for part in ("predictions", "feedback"))

    def answer(self, *batches: pa.RecordBatch, close: bool = False) -> None:
        self._write(self._answers, batches, close)

    def tell(self, *batches: pa.RecordBatch, close: bool = False) -> None:
        self._write(self._outcomes, batches, close)

    def close(self) -> None:
        self._answers.close()
        self._outcomes.close()

    def _write(self, writer: Writer, batches: Sequence[pa.RecordBatch], close: bool) -> None:
        for batch in batches:
            writer.write(batch)
        if close:
            writer.close()

    def _writer(self, folder: Path) -> Writer:
        return Writer(folder, "w1", most_bytes=10**9, most_seconds=1e9, clock=self._now)

    def _now(self) -> float:
        self._clock += 1
        return self._clock


def minutes_later(minutes: float) -> datetime:
    return OPENED + timedelta(minutes=minutes)
