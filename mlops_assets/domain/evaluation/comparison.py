"""Compares the candidate with its rivals on the same rows. Which gain is enough: see `gates`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from mlops_assets.declaration.data import Kind
from mlops_assets.domain.evaluation.estimators import Array
from mlops_assets.domain.evaluation.evidence import Interval, Rival
from mlops_assets.domain.evaluation.intervals import bootstrap, gain, score
from mlops_assets.domain.evaluation.metrics import Metric, UnmeasurableError, metrics_for

CANDIDATE, CHAMPION, ANCHOR = "candidate", "champion", "anchor"


@dataclass(frozen=True, eq=False)
class Opponent:
    """An earlier version's scores on the test rows, or why there are none.

    Only the rows of `compared` count: the others it has learnt, so what it answers there says nothing.
    """

    version: str
    scores: Array | None
    problem: str = ""
    same: bool = False  # it is the candidate's own bundle: a training was repeated
    compared: Array | None = None  # mask [n]; None: all rows
    basis: str = ""  # which rows these are, in words; empty: all rows


@dataclass(frozen=True, eq=False)
class Contenders:
    candidate: Array
    champion: Opponent | None
    anchor: Opponent | None
    baselines: Mapping[str, Array]

    def scored(self) -> dict[str, tuple[Array, Array | None]]:
        """Name → scores of all that have some, the candidate first, with the mask of the rows that count."""
        earlier = {CHAMPION: self.champion, ANCHOR: self.anchor}
        found: dict[str, tuple[Array, Array | None]] = {CANDIDATE: (self.candidate, None)}
        found |= {name: (o.scores, o.compared) for name, o in earlier.items() if o and o.scores is not None}
        return found | {name: (scores, None) for name, scores in self.baselines.items()}

    def scored_everywhere(self) -> dict[str, Array]:
        """Name → scores of those whose scores count on every row."""
        return {name: scores for name, (scores, compared) in self.scored().items() if compared is None}

    def versions(self) -> dict[str, str]:
        return {name: o.version for name, o in ((CHAMPION, self.champion), (ANCHOR, self.anchor)) if o is not None}


@dataclass(frozen=True, eq=False)
class Basis:
    """What every comparison stands on: one metric, the same rows, one level of confidence."""

    kind: Kind
    metric: Metric
    labels: Array
    level: float
    blocks: Array | None = None  # rows that move together, as numbers; see intervals.blocks_of

    def taken(self, mask: Array | None) -> "Basis":
        """The same on a part of the rows."""
        if mask is None:
            return self
        blocks = None if self.blocks is None else self.blocks[mask]
        return replace(self, labels=self.labels[mask], blocks=blocks)

    def score(self, scores: Array, metric: Metric | None = None) -> Interval:
        return score(metric or self.metric, self.labels, scores, level=self.level, blocks=self.blocks)

    def gain(self, candidate: Array, rival: Array) -> Interval:
        return gain(self.metric, self.labels, candidate, rival, level=self.level, blocks=self.blocks)

    def versus(self, candidate: Array, opponent: Opponent | None) -> Rival:
        """The paired comparison with an earlier version. What makes it impossible is told, not raised."""
        if opponent is None:
            return Rival(None, None, "")
        if opponent.same:
            return Rival(opponent.version, None, "", same=True)
        if opponent.scores is None:
            return Rival(opponent.version, None, opponent.problem or "it gave no scores")
        rows = slice(None) if opponent.compared is None else opponent.compared
        try:
            found = self.taken(opponent.compared).gain(candidate[rows], opponent.scores[rows])
            return Rival(opponent.version, found, "", basis=opponent.basis)
        except UnmeasurableError as err:
            return Rival(opponent.version, None, str(err), basis=opponent.basis)

    def fitting(self, scores: Array) -> Iterator[Metric]:
        """The metrics that these scores admit: RMSLE, for one, has no place where a number is below 0."""
        for metric in metrics_for(self.kind):
            try:
                metric.prepare(self.labels, scores)
            except UnmeasurableError:
                continue
            yield metric


@dataclass(frozen=True)
class ContenderScore:
    contender: str
    version: str | None
    metric: str
    interval: Interval


def score_all(
    basis: Basis,
    contenders: Contenders,
    *,
    rng: np.random.Generator,
    resamples: int,
    known: Mapping[str, Interval] | None = None,
) -> tuple[ContenderScore, ...]:
    """Every metric of every contender; by bootstrap for the candidate and for the primary metric.

    `known`: intervals of the candidate's metrics that need not be made again.
    """
    versions, found = contenders.versions(), []
    for name, (everywhere, compared) in contenders.scored().items():
        scores, own = everywhere if compared is None else everywhere[compared], basis.taken(compared)
        fitting = list(own.fitting(scores))
        intervals = dict(known or {}) if name == CANDIDATE else {}
        drawn = [m for m in fitting if m.name not in intervals and (name == CANDIDATE or m == basis.metric)]
        intervals |= _bootstrapped(own, scores, drawn, rng, resamples)
        for metric in fitting:
            interval = intervals.get(metric.name) or own.score(scores, metric)
            found.append(ContenderScore(name, versions.get(name), metric.name, interval))
    return tuple(found)


def _bootstrapped(
    basis: Basis, scores: Array, metrics: list[Metric], rng: np.random.Generator, resamples: int
) -> dict[str, Interval]:
    estimators = [metric.prepare(basis.labels, scores) for metric in metrics]
    intervals = bootstrap(
        estimators,
        rows=len(basis.labels),
        level=basis.level,
        rng=rng,
        resamples=resamples,
        blocks=basis.blocks,
    )
    return {metric.name: interval for metric, interval in zip(metrics, intervals, strict=True)}


def worst_differences(trained: Array, served: Array, parts: Mapping[str, Array]) -> dict[str, float]:
    """Slice → largest absolute difference of a score; "all rows" besides. NaN where either is no number."""
    difference = np.abs(np.asarray(trained, dtype=np.float64) - served)
    difference = difference.reshape(len(difference), -1).max(axis=1)
    masks = {"all rows": np.ones(len(difference), dtype=bool), **parts}
    return {name: float(difference[mask].max()) for name, mask in masks.items() if mask.any()}
