"""What a simulated life is made of: versions, what their arms did, what goes wrong, answers as they lie in the lake."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from mlops_assets.domain.drift.reference import Profile, read_profile
from mlops_assets.domain.evaluation.evidence import Interval
from mlops_assets.domain.quality.estimator import QualityEstimator
from mlops_assets.domain.quality.inputs import ServedVersion
from mlops_assets.domain.release.rollout_signals import Watched
from mlops_assets.domain.release.sequential import Sample
from tests.lifecycle.simulator.world import Learnt, Rows

START = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Faults:
    """What goes wrong around the model."""

    daemons: int = 1
    repeats: int = 1  # ticks of each sensor
    forgets: float = 0.0
    dies: float = 0.0
    undecided: float = 0.0  # chance that a day's decision is not made with the day
    jumps: Mapping[int, timedelta] = field(default_factory=dict)  # day → how far the clock is off while it is looked at
    unreadable: frozenset[int] = frozenset()  # days whose records are half written


@dataclass(eq=False)
class Made:
    """A version: what it has learnt and what is known of it."""

    number: str
    learnt: Learnt
    trained_at: datetime
    baseline: Interval
    estimator: QualityEstimator | None
    errors: float
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def bundle(self) -> str:
        return self.number.rjust(64, "b")

    @property
    def semantic(self) -> str:
        return f"1.0.{int(self.number) - 1}"

    @property
    def profile(self) -> Profile:
        if "profile" not in self.told:
            self.told["profile"] = read_profile(self.learnt.profile())
        return self.told["profile"]

    @property
    def version(self) -> ServedVersion:
        return ServedVersion(self.semantic, self.bundle, None, None, {}, (), self.baseline, self.estimator, ())


@dataclass
class Step:
    """What the arms did since the present generation began."""

    arm: list[np.ndarray] = field(default_factory=list)
    failed: list[np.ndarray] = field(default_factory=list)
    loss: list[np.ndarray] = field(default_factory=list)
    known: list[np.ndarray] = field(default_factory=list)

    def watched(self, names: list[str], now: float) -> dict[str, Watched]:
        if not self.arm:
            return dict.fromkeys(names, Watched(0, 0, 0, Sample(0, 0.0, 0.0)))
        arm, failed, loss, known = (np.concatenate(x) for x in (self.arm, self.failed, self.loss, self.known))
        there = (known <= now) & ~failed
        found = {}
        for index, name in enumerate(names):
            mine, told = arm == index, (arm == index) & there
            sums = Sample(int(told.sum()), float(loss[told].sum()), float(np.square(loss[told]).sum()))
            found[name] = Watched(int(mine.sum()), int((mine & failed).sum()), 0, sums)
        return found


def answers(
    versions: list[Made],
    gave: np.ndarray,
    scores: np.ndarray,
    seconds: np.ndarray,
    known: np.ndarray,
    label: np.ndarray,
) -> pa.Table:
    """Answers as they lie in the lake, with the labels that will come."""
    bundles, names = (pa.array([getattr(m, what) for m in versions], pa.string()) for what in ("bundle", "semantic"))
    never = np.isnan(known)
    return pa.table(
        {
            "time": _times(seconds),
            "known_at": pa.array(_moments(np.where(never, 0, known)), pa.timestamp("us", "UTC"), mask=never),
            "version": names.take(pa.array(gave)),
            "bundle": bundles.take(pa.array(gave)),
            "role": pa.array(["champion"] * len(gave), pa.string()),
            "answer": pa.ListArray.from_arrays(np.arange(len(gave) + 1, dtype=np.int32), scores),
            "label": label.astype(float),
        }
    )


def labelled(rows: pa.Table, now: datetime) -> pa.Table:
    """As it is known by now: the label of a row that waits is no number."""
    waits = ~(rows["known_at"].to_numpy() <= np.datetime64(now.replace(tzinfo=None), "us"))
    if not waits.any():
        return rows
    label = np.where(waits, np.nan, rows["label"].to_numpy())
    return rows.set_column(rows.schema.get_field_index("label"), "label", pa.array(label))


def leading(rows: pa.Table) -> str:
    """Number of the version that gave most answers; empty: nobody asked."""
    counts = rows["bundle"].value_counts().to_pylist()
    best = max(counts, key=lambda each: (each["counts"], each["values"]), default=None)
    return best["values"].lstrip("b") if best else ""


def _times(seconds: np.ndarray) -> pa.Array:
    return pa.array(_moments(seconds), pa.timestamp("us", "UTC"))


def _moments(seconds: np.ndarray) -> np.ndarray:
    return np.datetime64(START.replace(tzinfo=None), "us") + (seconds * 1e6).astype("timedelta64[us]")


def no_answers() -> pa.Table:
    nothing = np.empty(0)
    blank = Made("1", Learnt(Rows({}, nothing, nothing)), START, Interval(0, 0, 0, 0.9, ""), None, 0.0)
    return answers([blank], np.empty(0, dtype=int), nothing, nothing, nothing, nothing)
