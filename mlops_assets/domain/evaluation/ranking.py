"""Metrics that depend on the order of the scores: AUC and average precision.

Both are exact with ties. The influence values of AUC are DeLong's structural components; summed by block
they give Obuchowski's variance for clustered rows. No metric is looked up here: see `metrics`.
"""

import numpy as np

from mlops_assets.domain.evaluation.estimators import Array


class Auc:
    """The chance that a random positive row scores above a random negative one; a tie counts one half."""

    def __init__(self, labels: Array, scores: Array) -> None:
        positive = labels == 1
        self._rows = len(labels)
        self._positives = np.flatnonzero(positive)
        negatives = np.flatnonzero(~positive)
        self._negatives = negatives[np.argsort(scores[negatives], kind="stable")]
        ranked, scored = scores[self._negatives], scores[self._positives]
        self._below = np.searchsorted(ranked, scored, side="left")  # negatives strictly below each positive
        self._upto = np.searchsorted(ranked, scored, side="right")
        self._scores = scores

    def value(self) -> float:
        return float(((self._below + self._upto) / (2.0 * len(self._negatives))).mean())

    def influence(self, weights: Array | None = None) -> Array:
        each = np.ones(self._rows) if weights is None else weights
        order = self._positives[np.argsort(self._scores[self._positives], kind="stable")]
        under, scored = _cumulated(each[None, self._negatives])[0], self._scores[self._negatives]
        upto, ranked = _cumulated(each[None, order])[0], self._scores[order]
        wins = (under[self._below] + under[self._upto]) / (2.0 * under[-1])  # share of negatives that a positive beats
        lost = (upto[np.searchsorted(ranked, scored, "left")] + upto[np.searchsorted(ranked, scored, "right")]) / 2
        value = each[self._positives] @ wins / upto[-1]
        influence = np.empty(self._rows)
        influence[self._positives] = (wins - value) * (self._rows / upto[-1])
        influence[self._negatives] = (1.0 - lost / upto[-1] - value) * (self._rows / under[-1])
        return influence

    def resampled(self, weights: Array) -> Array:
        """weights [B, n] → AUC [B]."""
        for_positives = weights[:, self._positives]
        below = _cumulated(weights[:, self._negatives])
        wins = (below[:, self._below] + below[:, self._upto]) * 0.5
        pairs = for_positives.sum(axis=1, dtype=np.float64) * below[:, -1]
        return _ratio(np.einsum("bp,bp->b", for_positives, wins), pairs)


class AveragePrecision:
    """Precision at the score of each positive row, averaged over the positive rows."""

    def __init__(self, labels: Array, scores: Array) -> None:
        self._order = np.argsort(-scores, kind="stable")
        self._labels = (labels == 1)[self._order].astype(np.float64)
        ranked = scores[self._order]
        self._ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # last row of each tie
        self._tie = np.searchsorted(self._ends, np.arange(len(ranked)))  # [n] the tie each row is in

    def value(self) -> float:
        return float(self.resampled(np.ones((1, len(self._order))))[0])

    def influence(self, weights: Array | None = None) -> Array:
        """Derivative of the weighted value by each row's weight, times n."""
        rows = len(self._order)
        each = np.ones(rows) if weights is None else weights[self._order]
        hits, taken = np.cumsum(each * self._labels)[self._ends], np.cumsum(each)[self._ends]
        new_hits = np.diff(hits, prepend=0.0)
        by_taken = _from_here_on(new_hits / taken)[self._tie]
        by_hits = _from_here_on(new_hits * hits / taken**2)[self._tie]
        own = (hits / taken)[self._tie] - new_hits @ (hits / taken) / hits[-1]
        derivative = (self._labels * (own + by_taken) - by_hits) / hits[-1]
        influence = np.empty(rows)
        influence[self._order] = derivative * rows
        return influence

    def resampled(self, weights: Array) -> Array:
        ordered = weights[:, self._order]
        hits = np.cumsum(ordered * self._labels, axis=1, dtype=np.float64)[:, self._ends]
        taken = np.cumsum(ordered, axis=1, dtype=np.float64)[:, self._ends]
        precision = np.divide(hits, taken, out=np.zeros_like(hits), where=taken > 0)
        new_hits = np.diff(hits, axis=1, prepend=0.0)
        return _ratio(np.einsum("bt,bt->b", new_hits, precision), hits[:, -1])


def _cumulated(weights: Array) -> Array:
    """[B, n] → [B, n + 1] sums of the first 0, 1, … n weights."""
    sums = np.zeros((weights.shape[0], weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    return sums


def _from_here_on(values: Array) -> Array:
    return np.cumsum(values[::-1])[::-1]


def _ratio(above: Array, below: Array) -> Array:
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
