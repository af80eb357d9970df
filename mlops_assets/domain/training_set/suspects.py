"""Which columns know the outcome too well. Pure: training rows in; a share for each column, and a verdict, out.

A column that is written together with the outcome, or after it, explains the outcome nearly alone on rows that the
relation was not learnt from: by its value, by whether it is missing, together with a second column, or as a term of a
sum. An honest column that strong is rare, and its owner says so once (`features.known`).
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.domain.names import LABEL
from mlops_assets.domain.records import Inputs
from mlops_assets.domain.verdict import Outcome, Verdict

NAME = "no_leak"
_ALONE = {True: 0.8, False: 0.98}  # of the outcome's uncertainty; classes, numbers
_TOGETHER = {True: 0.95, False: 0.9999}
_ROWS = 50_000  # of each side, evenly taken
_FEWEST = 5  # rows of the rarer outcome among those judged on
_FINE, _COARSE = 64, 16  # quantile bins of a column alone, and of each of two
_PAIRED = 8  # of the most telling columns, every two are tried
_TERM = 0.02  # of the outcome's spread: the least that a term of a sum moves
_NAMED = 5
_Score = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class Telling:
    """What of the outcome some columns explain on rows that the relation was not learnt from, at most 1."""

    columns: tuple[str, ...]
    how: str
    share: float

    @property
    def named(self) -> str:
        return " and ".join(self.columns[:_NAMED]) + ("" if len(self.columns) <= _NAMED else " and others")


def judge_suspects(
    parts: Sequence[pa.Table], inputs: Inputs, *, classes: int, known: Collection[str]
) -> tuple[list[Telling], Verdict]:
    """Learn each relation on the first part and measure it on the others; `classes`: 0 for a number.

    Returns every column's share, the highest first, and the verdict. Columns in `known` are measured and never
    suspected.
    """
    sides = [_even_sample(parts[0]), _even_sample(pa.concat_tables(parts[1:]))]
    labels = [side[LABEL].to_numpy() for side in sides]
    if reason := _too_few(labels, classes):
        return [], Verdict(NAME, Outcome.INCONCLUSIVE, reason, {"rows": float(len(sides[1]))})
    score = _class_score(labels[0], labels[1], classes) if classes else _number_score(labels[0], labels[1])
    alone = sorted(_alone(sides, inputs, score), key=lambda each: -each.share)
    unknown = [each for each in alone if not set(each.columns) & set(known)]
    together = _pairs(sides, unknown, inputs, score) if classes else _sums(sides, labels, inputs)
    kind = bool(classes)
    guilty = [each for each in unknown if each.share >= _ALONE[kind]]
    guilty += [
        each
        for each in together
        if each.share >= _TOGETHER[kind]
        and not any(set(one.columns) & set(each.columns) for one in guilty)
        and not set(each.columns) <= set(known)
    ]
    return alone, _verdict(guilty, alone, len(sides[1]))


def _verdict(guilty: Sequence[Telling], alone: Sequence[Telling], rows: int) -> Verdict:
    most = alone[0].share if alone else 0.0
    numbers = {"rows": float(rows), "suspected": float(len(guilty)), "most_explained": most}
    if not guilty:
        text = f"{alone[0].named} explains most alone: {most:.1%}." if alone else "There is no column to suspect."
        return Verdict(NAME, Outcome.PASS, f"{text} Judged on {rows:,} rows.", numbers)
    texts = "; ".join(f"{each.named} {each.how} explains {each.share:.1%}" for each in guilty[:_NAMED])
    more = f"; and {len(guilty) - _NAMED} more" if len(guilty) > _NAMED else ""
    reason = (
        f"Of what is uncertain about the outcome, on {rows:,} rows that nothing was learnt from: {texts}{more}. That "
        "is how a column looks that is written together with the outcome or after it. Name it in features.exclude (or "
        "take it out of the feature service); if it is known when a prediction is asked for, name it in features.known."
    )
    return Verdict(NAME, Outcome.FAIL, reason, numbers)


def _too_few(labels: Sequence[np.ndarray], classes: int) -> str:
    learnt, judged = labels
    if not classes:
        if len(judged) >= 2 * _FEWEST and np.ptp(judged) > 0 and np.ptp(learnt) > 0:
            return ""
        return f"{len(judged)} rows to judge on, with one and the same outcome or too few of them."
    least = min(np.sort(np.bincount(part.astype(int), minlength=classes))[-2] for part in labels)
    if least >= _FEWEST:
        return ""
    return f"Only {least} rows have another outcome than the commonest: too few to suspect a column."


def _alone(sides: Sequence[pa.Table], inputs: Inputs, score: _Score) -> list[Telling]:
    told = []
    for name in inputs.names:
        learnt, judged = (side[name] for side in sides)
        value = Telling((name,), "by its value", score(*_codes(learnt, judged, name in inputs.numbers, _FINE)))
        gaps = [_is_missing(column).astype(np.int64) for column in (learnt, judged)]
        absent = Telling((name,), "by being missing", score(*gaps)) if gaps[0].any() else value
        told.append(absent if absent.share >= value.share - 1e-3 else value)
    return told


def _pairs(sides: Sequence[pa.Table], alone: Sequence[Telling], inputs: Inputs, score: _Score) -> list[Telling]:
    coded = {
        each.columns[0]: _codes(
            sides[0][each.columns[0]], sides[1][each.columns[0]], each.columns[0] in inputs.numbers, _COARSE
        )
        for each in alone[:_PAIRED]
    }
    found = []
    for left, right in combinations(coded, 2):
        width = int(max(codes.max(initial=0) for codes in coded[right])) + 1
        both = [one * width + two for one, two in zip(coded[left], coded[right], strict=True)]
        _, dense = np.unique(np.concatenate(both), return_inverse=True)  # only pairs that occur cost memory
        found.append(Telling((left, right), "together", score(dense[: len(both[0])], dense[len(both[0]) :])))
    return sorted(found, key=lambda each: -each.share)


def _sums(sides: Sequence[pa.Table], labels: Sequence[np.ndarray], inputs: Inputs) -> list[Telling]:
    """The one weighted sum of all number columns that comes nearest to the outcome, and its terms."""
    if not inputs.numbers:
        return []
    learnt, judged = (
        np.column_stack([_numbers(side[name], sides[0][name]) for name in inputs.numbers]) for side in sides
    )
    centre, spread = learnt.mean(axis=0), learnt.std(axis=0)
    usable = spread > 0
    learnt, judged = ((each[:, usable] - centre[usable]) / spread[usable] for each in (learnt, judged))
    middle, scale = labels[0].mean(), labels[0].std()
    gram = learnt.T @ learnt + 1e-9 * len(learnt) * np.eye(learnt.shape[1])
    weights = np.linalg.solve(gram, learnt.T @ (labels[0] - middle))
    errors = labels[1] - middle - judged @ weights
    names = np.array(inputs.numbers)[usable]
    terms = [str(names[at]) for at in np.argsort(-np.abs(weights)) if abs(weights[at]) > _TERM * scale]
    share = 1 - np.mean(errors**2) / np.var(labels[1])
    return [Telling(tuple(terms), "as a sum", float(share))] if terms else []


def _codes(learnt: pa.ChunkedArray, judged: pa.ChunkedArray, number: bool, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Small whole numbers for the values of both sides; 0: missing, 1: a text that the learnt side lacks."""
    if not number:
        values = pc.unique(pc.cast(learnt, pa.string()).drop_null())
        found = [pc.index_in(pc.cast(column, pa.string()), value_set=values) for column in (learnt, judged)]
        missing = [_is_missing(column) for column in (learnt, judged)]
        places = [pc.fill_null(each, -1).to_numpy().astype(np.int64) + 2 for each in found]
        return tuple(np.where(gap, 0, place) for gap, place in zip(missing, places, strict=True))  # pyright: ignore[reportReturnType]  # two in, two out
    raw = [pc.cast(column, pa.float64()).to_numpy() for column in (learnt, judged)]
    present = raw[0][~np.isnan(raw[0])]
    if not len(present):
        return np.zeros(len(learnt), np.int64), np.zeros(len(judged), np.int64)
    edges = np.unique(np.quantile(present, np.linspace(0, 1, bins + 1)[1:-1], method="lower"))
    left, right = (np.where(np.isnan(each), 0, np.searchsorted(edges, each, "left") + 1) for each in raw)
    return left, right


def _class_score(learnt: np.ndarray, judged: np.ndarray, classes: int) -> _Score:
    """1 - log loss / entropy: the share of the classes' uncertainty that codes resolve."""
    learnt, judged = learnt.astype(np.int64), judged.astype(np.int64)
    prior = (np.bincount(learnt, minlength=classes) + 1e-6) / (len(learnt) + classes * 1e-6)
    uncertainty = -np.log(prior[judged]).mean()

    def score(of_learnt: np.ndarray, of_judged: np.ndarray) -> float:
        width = int(max(of_learnt.max(initial=0), of_judged.max(initial=0))) + 1
        counts = np.bincount(of_learnt * classes + learnt, minlength=width * classes).reshape(width, classes)
        shares = (counts + prior) / (counts.sum(axis=1, keepdims=True) + 1)
        return float(1 + np.log(shares[of_judged, judged]).mean() / uncertainty)

    return score


def _number_score(learnt: np.ndarray, judged: np.ndarray) -> _Score:
    """The share of the variance of the outcome's ranks that codes resolve: one huge outcome decides nothing."""
    ordered = np.sort(learnt)
    ranks = [
        np.searchsorted(ordered, part, "left") + np.searchsorted(ordered, part, "right") for part in (learnt, judged)
    ]
    middle = ranks[0].mean()
    spread = np.mean((ranks[1] - middle) ** 2)

    def score(of_learnt: np.ndarray, of_judged: np.ndarray) -> float:
        width = int(max(of_learnt.max(initial=0), of_judged.max(initial=0))) + 1
        sums = np.bincount(of_learnt, weights=ranks[0] - middle, minlength=width)
        means = middle + sums / (np.bincount(of_learnt, minlength=width) + 1e-9)
        return float(1 - np.mean((ranks[1] - means[of_judged]) ** 2) / spread)

    return score


def _numbers(column: pa.ChunkedArray, learnt: pa.ChunkedArray) -> np.ndarray:
    values, known = (pc.cast(each, pa.float64()).to_numpy() for each in (column, learnt))
    known = known[np.isfinite(known)]
    return np.where(np.isfinite(values), values, np.median(known) if len(known) else 0.0)


def _is_missing(column: pa.ChunkedArray) -> np.ndarray:
    return pc.is_null(column, nan_is_null=True).to_numpy()


def _even_sample(rows: pa.Table) -> pa.Table:
    if len(rows) <= _ROWS:
        return rows
    return rows.take(pa.array(np.linspace(0, len(rows) - 1, _ROWS).astype(np.int64)))
