"""Cuts the test rows into parts and measures each. Which part may lose how much is the gates' business.

A part is one value of a column, or one bin of a number with edges from the training rows. Missing values
are a part of their own, so that every row is in exactly one part of each column.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.evaluation import SliceSpec
from mlops_assets.domain.evaluation.comparison import Basis, Opponent
from mlops_assets.domain.evaluation.estimators import Array
from mlops_assets.domain.evaluation.evidence import GuardSlice, Interval
from mlops_assets.domain.evaluation.metrics import Metric, UnmeasurableError

MISSING = "missing"
OTHER = "other values"
MOST_VALUES = 50  # of a column told apart; the rarer ones are one part together
_FEWEST_RETURNING = 200  # rows below which new or returning groups are not guarded
FEWEST_OF_A_CLASS = 10  # below that an interval of a binary metric is not to be trusted


@dataclass(frozen=True, eq=False)
class Part:
    """Rows of one slice: mask [n]."""

    column: str
    value: str
    minimum: int
    mask: Array

    @property
    def name(self) -> str:
        return f"{self.column}: {self.value}"


@dataclass(frozen=True)
class SliceScore:
    """Quality on one part; `gain` is against the champion. `problem` says why something is missing."""

    column: str
    value: str
    rows: int
    minimum: int
    score: Interval | None
    gain: Interval | None
    problem: str
    compared: int = 0  # rows that the gain is of

    @property
    def name(self) -> str:
        return f"{self.column}: {self.value}"

    @property
    def guard(self) -> GuardSlice:
        return GuardSlice(self.name, self.compared, self.minimum, self.gain, self.problem)


def cut(specs: Sequence[SliceSpec], rows: pa.Table, training: pa.Table) -> tuple[Part, ...]:
    """All parts of all declared columns. `training` gives the edges of bins."""
    _demand_columns(specs, rows, training)
    parts = []
    for spec in specs:
        column = rows[spec.column]
        labelled = _values(column) if spec.bins == 0 else _bins(column, training[spec.column], spec.bins)
        parts += [Part(spec.column, value, spec.minimum, mask) for value, mask in labelled]
    return tuple(parts)


def cut_returning(group: str, returning: Array) -> tuple[Part, ...]:
    """New groups and returning ones: of these a model may remember what it should have learnt."""
    parts = (Part(group, "returning", _FEWEST_RETURNING, returning), Part(group, "new", _FEWEST_RETURNING, ~returning))
    return tuple(part for part in parts if part.mask.any())


def _demand_columns(specs: Sequence[SliceSpec], rows: pa.Table, training: pa.Table) -> None:
    problems = [f"{s.column} is not in the test rows" for s in specs if s.column not in rows.column_names]
    for spec in (s for s in specs if s.bins and s.column in rows.column_names):
        if spec.column not in training.column_names:
            problems.append(f"{spec.column} is not in the training rows, which give the edges of its bins")
        elif not _is_number(training[spec.column].type):
            problems.append(f"{spec.column} is {training[spec.column].type}, no number: leave out its `bins`")
    if problems:
        raise ValueError("slices cannot be cut: " + "; ".join(problems))


def _is_number(type_: pa.DataType) -> bool:
    return pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_)


def _values(column: pa.ChunkedArray) -> list[tuple[str, Array]]:
    """(value, mask) of each value, the most frequent first."""
    text = pc.fill_null(pc.cast(column, pa.string()), "").to_numpy(zero_copy_only=False)
    values, codes, counts = np.unique(text.astype(str), return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    masks = [(str(values[k]) or MISSING, codes == k) for k in order[:MOST_VALUES]]
    if len(order) > MOST_VALUES:
        masks.append((OTHER, np.isin(codes, order[MOST_VALUES:])))
    return masks


def _bins(column: pa.ChunkedArray, training: pa.ChunkedArray, bins: int) -> list[tuple[str, Array]]:
    known = _numbers(training)
    known = known[np.isfinite(known)]
    values = _numbers(column)
    missing = np.isnan(values)
    edges = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1])) if len(known) else np.empty(0)
    codes = np.where(missing, -1, np.searchsorted(edges, values, side="left"))
    masks = [(_bin_name(edges, k), codes == k) for k in range(len(edges) + 1)] + [(MISSING, missing)]
    return [(name, mask) for name, mask in masks if mask.any()]


def _numbers(column: pa.ChunkedArray) -> Array:
    return pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False).astype(np.float64)


def _bin_name(edges: Array, k: int) -> str:
    if len(edges) == 0:
        return "any number"
    if k == 0:
        return f"up to {edges[0]:.6g}"
    return f"above {edges[-1]:.6g}" if k == len(edges) else f"{edges[k - 1]:.6g} to {edges[k]:.6g}"


def measure(parts: Sequence[Part], basis: Basis, candidate: Array, champion: Opponent | None) -> tuple[SliceScore, ...]:
    """Every part measured, the worst first, those without a score last."""
    scored = [_one(part, basis, candidate, champion) for part in parts]
    sign = basis.metric.sign
    return tuple(sorted(scored, key=lambda s: (s.score is None, sign * s.score.estimate if s.score else 0.0)))


def _one(part: Part, basis: Basis, candidate: Array, champion: Opponent | None) -> SliceScore:
    inside = basis.taken(part.mask)
    both = part.mask if champion is None or champion.compared is None else part.mask & champion.compared
    found, gained, problem = None, None, _too_few(basis.metric, inside.labels)
    if not problem:
        try:
            found = inside.score(candidate[part.mask])
            if champion is not None:
                gained = _gain(both, basis, candidate, champion)
        except UnmeasurableError as err:
            problem = str(err)
    rows, compared = int(part.mask.sum()), int(both.sum())
    return SliceScore(part.column, part.value, rows, part.minimum, found, gained, problem, compared)


def _gain(both: Array, basis: Basis, candidate: Array, champion: Opponent) -> Interval:
    """On the part's rows that the champion has not learnt."""
    rows = basis.taken(both)
    if few := _too_few(basis.metric, rows.labels):
        raise UnmeasurableError(f"{few} that the champion has not learnt")
    assert champion.scores is not None
    return rows.gain(candidate[both], champion.scores[both])


def _too_few(metric: Metric, labels: Array) -> str:
    if len(labels) == 0:
        return "no rows"
    if Kind.REGRESSION in metric.kinds or labels.max(initial=0) > 1:
        return ""
    counts = {k: int((labels == k).sum()) for k in (0, 1)}
    rare = min(counts, key=counts.__getitem__)
    return f"only {counts[rare]} rows of class {rare}" if counts[rare] < FEWEST_OF_A_CLASS else ""
