"""Realised quality: which outcome belongs to which answer, what the ripe ones say, and whether it has fallen.

An outcome is the answer's it names. Repeats are counted and the first one known wins; contradictions and
outcomes of unknown requests are counted and told, never guessed at.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.declaration.monitoring import QualityPolicy
from mlops_assets.domain.evaluation.evidence import Interval
from mlops_assets.domain.evaluation.intervals import score
from mlops_assets.domain.evaluation.metrics import METRICS, Metric, UnmeasurableError
from mlops_assets.domain.verdict import Outcome, Verdict

KEYS = ("request_id", "row")
OUTCOME, KNOWN_AT = "outcome", "known_at"
_PLACE = "place"


@dataclass(frozen=True)
class Joined:
    """Every answer, with its outcome and when that became known, or nulls; and what was odd."""

    rows: pa.Table
    counts: Mapping[str, int]

    @property
    def told(self) -> str:
        """The counts that are not 0, in words."""
        return ", ".join(f"{count:,} {name}" for name, count in self.counts.items() if count)


def join(answers: pa.Table, outcomes: pa.Table) -> Joined:
    """Answers with `request_id`, `row`, `time`; outcomes with the same and `outcome`, in any order."""
    told = outcomes.select([*KEYS, "time", OUTCOME]).filter(pc.is_valid(outcomes[OUTCOME]))
    ordered = told.sort_by([("time", "ascending")])
    first = ordered.group_by(list(KEYS), use_threads=False).aggregate(
        [(OUTCOME, "first"), ("time", "first"), (OUTCOME, "count_distinct"), (OUTCOME, "count")]
    )
    asked = answers.select(list(KEYS)).append_column(_PLACE, pa.array(np.arange(len(answers))))
    known = first.join(asked, keys=list(KEYS), join_type="inner")
    rows = _beside(answers, known)
    waited = pc.fill_null(pc.less(rows[KNOWN_AT], rows["time"]), False)
    counts = {
        "answers": len(answers),
        "labelled": len(known),
        "repeated": int(len(told) - len(first)),
        "contradicting": _count(pc.greater(first[f"{OUTCOME}_count_distinct"], 1)),
        "for unknown requests": len(first) - len(known),
        "known before the answer": _count(waited),
    }
    return Joined(rows, counts)


def _beside(answers: pa.Table, known: pa.Table) -> pa.Table:
    """Joins cannot carry lists and structs, so outcomes are put beside their answers by place."""
    found = np.full(len(answers), -1, dtype=np.int64)
    found[known[_PLACE].to_numpy()] = np.arange(len(known))
    places = pa.array(found, mask=found < 0)
    beside = answers.append_column(OUTCOME, known[f"{OUTCOME}_first"].take(places))
    return beside.append_column(KNOWN_AT, known["time_first"].take(places))


def _count(flags: pa.ChunkedArray | pa.Array) -> int:
    return int(pc.sum(flags).as_py() or 0)


@dataclass(frozen=True)
class Scored:
    """One metric on ripe rows; without an interval `problem` says why."""

    metric: str
    interval: Interval | None
    problem: str


def measure(
    metrics: Sequence[Metric],
    labels: np.ndarray,
    scores: np.ndarray,
    *,
    level: float,
    blocks: np.ndarray | None = None,
) -> tuple[Scored, ...]:
    """Each metric with its interval, or the reason why there is none."""
    return tuple(_scored(metric, labels, scores, level, blocks) for metric in metrics)


def _scored(metric: Metric, labels: np.ndarray, scores: np.ndarray, level: float, blocks: np.ndarray | None) -> Scored:
    try:
        return Scored(metric.name, score(metric, labels, scores, level=level, blocks=blocks), "")
    except UnmeasurableError as err:
        return Scored(metric.name, None, str(err))


@dataclass(frozen=True)
class Quality:
    """A window's score beside the champion's at its evaluation. Estimated ones need no ripe labels."""

    name: str  # realised or estimated
    metric: str
    baseline: Interval
    current: Interval | None
    rows: int
    maturity: float  # part of the labels that will come and are there; 1 of an estimate


def judge_quality(quality: Quality, policy: QualityPolicy) -> Verdict:
    """FAIL: a fall of more than `fall` of the baseline is shown. PASS: it is shown that there is none."""
    numbers = {"rows": float(quality.rows), "maturity": quality.maturity, "baseline": quality.baseline.estimate}
    if why := _unripe(quality, policy):
        return Verdict(quality.name, Outcome.INCONCLUSIVE, f"{quality.name} {quality.metric}: {why}.", numbers)
    assert quality.current is not None  # told by `_unripe`
    change, reach = _change(quality.metric, quality.baseline, quality.current)
    limit = -policy.fall * abs(quality.baseline.estimate)
    numbers |= {"current": quality.current.estimate, "change": change, "reach": reach, "limit": limit}
    said = (
        f"{quality.name} {quality.metric} {quality.current}, {quality.baseline} when it was evaluated; "
        f"change {change:+.4f} ± {reach:.4f}, allowed {limit:+.4f}"
    )
    if change + reach < limit:
        return Verdict(quality.name, Outcome.FAIL, f"{said}: it fell.", numbers)
    if change - reach > limit:
        return Verdict(quality.name, Outcome.PASS, f"{said}: it has not fallen that far.", numbers)
    return Verdict(quality.name, Outcome.INCONCLUSIVE, f"{said}: not shown either way.", numbers)


def _unripe(quality: Quality, policy: QualityPolicy) -> str:
    if not quality.maturity >= policy.maturity:
        return f"{quality.maturity:.0%} of its labels are there, {policy.maturity:.0%} are needed"
    if quality.rows < policy.minimum_rows:
        return f"{quality.rows:,} rows, at least {policy.minimum_rows:,} are needed"
    return "it could not be measured" if quality.current is None else ""


def _change(name: str, baseline: Interval, current: Interval) -> tuple[float, float]:
    """How much better it became, and how far that may be off; the two samples are independent."""
    sign = METRICS[name].sign
    one, other = ((each.high - each.low) / 2 for each in (baseline, current))
    return sign * (current.estimate - baseline.estimate), math.hypot(one, other)
