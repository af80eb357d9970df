"""Judges a candidate on requests that the champion has answered, before it gets any traffic. Sends nothing itself.

A fail stops the release. Under `minimum` rows nothing is concluded, which stops nothing: a young model has no log.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import rankdata

from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.release import ReplayPolicy
from mlops_assets.domain.evaluation.estimators import CalibrationError
from mlops_assets.domain.evaluation.metrics import METRICS, UnmeasurableError
from mlops_assets.domain.verdict import Outcome, Verdict

Array = NDArray[np.float64]

WORST = 10  # disagreements that are shown
_TELLING = 0.95  # quantile of latency


@dataclass(frozen=True)
class Disagreement:
    """One request that the two versions answer differently."""

    row: Mapping[str, Any]  # its features
    champion: float  # binary: probability; multiclass: that of the class the champion chose; regression: value
    candidate: float
    outcome: float | None


@dataclass(frozen=True, eq=False)
class ReplayReport:
    rows: int
    labelled: int
    verdicts: tuple[Verdict, ...]
    worst: tuple[Disagreement, ...]
    champion: Array  # one number a row that both answered
    candidate: Array

    @property
    def stops(self) -> bool:
        return any(verdict.outcome is Outcome.FAIL for verdict in self.verdicts)


def judge_replay(
    policy: ReplayPolicy,
    kind: Kind,
    champion_answers: Array,
    candidate_answers: Array,
    latencies_ms: Array,
    budget_ms: float,
    outcomes: Array | None,
    failures: NDArray[np.bool_],
    rows: pa.Table | None = None,
) -> ReplayReport:
    """Answers are [n] or [n, k]; `failures` [n] are rows that the candidate could not answer, whose answer is ignored.

    `outcomes` [n] are labels or class indices, NaN where unknown. `latencies_ms`: one a request that was sent.
    """
    both = ~np.asarray(failures, dtype=bool)
    ours, theirs = np.asarray(candidate_answers, dtype=float)[both], np.asarray(champion_answers, dtype=float)[both]
    known = np.full(len(both), np.nan) if outcomes is None else np.asarray(outcomes, dtype=float)
    truth = known[both]
    verdicts = (
        _errors(policy, both),
        _agreement(policy, kind, ours, theirs),
        _calibration(policy, kind, ours, theirs, truth),
        _latency(policy, latencies_ms, budget_ms),
    )
    pair = _pair(kind, theirs, ours)
    worst = tuple(_worst(*pair, truth, rows, np.flatnonzero(both)))
    return ReplayReport(len(both), int((~np.isnan(known)).sum()), verdicts, worst, *pair)


def _errors(policy: ReplayPolicy, answered: NDArray[np.bool_]) -> Verdict:
    failed, rows = int((~answered).sum()), len(answered)
    share = failed / max(rows, 1)
    told = f"{failed} of {rows} rows that the champion answered ({share:.2%}) fail, allowed are {policy.errors:.2%}"
    return _placed("errors", rows, policy, share <= policy.errors, told, {"share": share, "at_most": policy.errors})


def _agreement(policy: ReplayPolicy, kind: Kind, ours: Array, theirs: Array) -> Verdict:
    """Rank correlation (Spearman), or for several classes the share of rows with the same one."""
    numbers = {"at_least": policy.agreement, "rows": float(len(ours))}
    if kind is Kind.MULTICLASS:
        value, what = float(np.mean(ours.argmax(1) == theirs.argmax(1))) if len(ours) else 0.0, "same class"
    else:
        value, what = _rank_correlation(ours, theirs), "rank correlation"
    if np.isnan(value):
        told = "a version gives every row the same answer, so ranks say nothing"
        same = bool(np.array_equal(ours, theirs))
        return Verdict("agreement", Outcome.PASS if same else Outcome.INCONCLUSIVE, f"{told}.", numbers)
    told = f"{what} {value:.3f}, at least {policy.agreement:g} is asked"
    return _placed("agreement", len(ours), policy, value >= policy.agreement, told, numbers | {"agreement": value})


def _rank_correlation(ours: Array, theirs: Array) -> float:
    if len(ours) < 2 or np.ptp(ours) == 0 or np.ptp(theirs) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(ours), rankdata(theirs))[0, 1])


def _calibration(policy: ReplayPolicy, kind: Kind, ours: Array, theirs: Array, truth: Array) -> Verdict:
    known = ~np.isnan(truth)
    labelled = int(known.sum())
    if labelled < policy.minimum:
        told = f"{labelled} rows have an outcome, {policy.minimum} are needed"
        return Verdict("calibration", Outcome.INCONCLUSIVE, f"{told}.", {"labelled": float(labelled)})
    try:
        errors = [_calibration_error(kind, truth[known], given[known]) for given in (ours, theirs)]
    except UnmeasurableError as err:
        return Verdict("calibration", Outcome.INCONCLUSIVE, f"{err}.", {"labelled": float(labelled)})
    numbers = {"candidate": errors[0], "champion": errors[1], "at_most": policy.calibration}
    told = f"error {errors[0]:.4f} against {errors[1]:.4f}, {policy.calibration:g} more is allowed"
    return _placed("calibration", labelled, policy, errors[0] - errors[1] <= policy.calibration, told, numbers)


def _calibration_error(kind: Kind, truth: Array, given: Array) -> float:
    if kind is not Kind.REGRESSION:
        return METRICS["ece"](truth.astype(np.int64), given)
    spread = truth.std()
    if not spread:
        raise UnmeasurableError("every outcome is the same number")
    return CalibrationError(truth / spread, given / spread).value()


def _latency(policy: ReplayPolicy, latencies: Array, budget: float) -> Verdict:
    if not len(latencies):
        return Verdict("latency", Outcome.INCONCLUSIVE, "Nothing was measured.", {"budget_ms": budget})
    seen = float(np.quantile(latencies, _TELLING))
    told = f"p95 {seen:.1f} ms, the budget is {budget:g} ms"
    return _placed("latency", len(latencies), None, seen <= budget, told, {"p95_ms": seen, "budget_ms": budget})


def _placed(
    name: str, rows: int, policy: ReplayPolicy | None, good: bool, told: str, numbers: dict[str, float]
) -> Verdict:
    if policy is not None and rows < policy.minimum:
        return Verdict(name, Outcome.INCONCLUSIVE, f"{told}; {rows} rows, {policy.minimum} are needed.", numbers)
    return Verdict(name, Outcome.PASS if good else Outcome.FAIL, f"{told}.", numbers)


def _pair(kind: Kind, theirs: Array, ours: Array) -> tuple[Array, Array]:
    """One number a row and version: with several classes, the probability of the class that the champion chose."""
    if kind is not Kind.MULTICLASS or not len(theirs):
        return theirs.reshape(len(theirs)), ours.reshape(len(ours))
    chosen = theirs.argmax(1)
    rows = np.arange(len(theirs))
    return theirs[rows, chosen], ours[rows, chosen]


def _worst(
    theirs: Array, ours: Array, truth: Array, rows: pa.Table | None, places: NDArray[np.int64]
) -> Iterator[Disagreement]:
    for index in np.argsort(-np.abs(ours - theirs), kind="stable")[:WORST]:
        row = rows.slice(int(places[index]), 1).to_pylist()[0] if rows is not None else {}
        outcome = None if np.isnan(truth[index]) else float(truth[index])
        yield Disagreement(row, float(theirs[index]), float(ours[index]), outcome)


def markdown(report: ReplayReport) -> str:
    """For the metadata of the check."""
    lines = [f"{report.rows} logged rows, {report.labelled} with an outcome.", ""]
    lines += ["| signal | outcome | reason |", "|---|---|---|"]
    lines += [f"| {v.name} | {v.outcome.value} | {v.reason} |" for v in report.verdicts]
    if report.worst:
        names = list(report.worst[0].row)
        head = ["champion", "candidate", "outcome", *names]
        lines += ["", "Where they differ most:", "", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
        lines += [f"| {' | '.join(_cells(each, names))} |" for each in report.worst]
    return "\n".join(lines) + "\n"


def _cells(each: Disagreement, names: list[str]) -> Iterator[str]:
    yield f"{each.champion:.4g}"
    yield f"{each.candidate:.4g}"
    yield "" if each.outcome is None else f"{each.outcome:g}"
    for name in names:
        value = each.row[name]
        told = "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
        yield told.replace("|", "/")[:40]
