"""How often a policy would retrain a model though nothing changed: tried on the code that decides. Pure.

Where the training data have days, they are replayed through the policy, each without its neighbours. Else windows of
the present size are drawn from the bundle's profile and judged like live ones, against references that are drawn from
it too, as training rows were a sample as well; from windows to alarms the arithmetic is exact.
The second reason that drift needs (falling quality, enough new rows) is taken for granted: an upper bound.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import bdtrc, betaincinv, gammaincinv

from mlops_assets.declaration.monitoring import DriftPolicy
from mlops_assets.domain.drift.days.compare import fit_past
from mlops_assets.domain.drift.days.replay import DayReplay
from mlops_assets.domain.drift.distances import Aspect
from mlops_assets.domain.drift.reference import CategoryReference, NumberReference, Reference, read_profile
from mlops_assets.domain.drift.sketch import CategorySketch, NumberSketch, Sketch
from mlops_assets.domain.drift.window import judge_window
from mlops_assets.domain.quality.fall.detector import PATIENCE
from mlops_assets.domain.verdict import Outcome

_REFERENCES, _WINDOWS = 4, 50
_SURE = 0.95  # of the upper bound
_DAYS_A_YEAR = 365.0


@dataclass(frozen=True)
class FalseRetrains:
    """In a year in which nothing changes."""

    rows: int  # of a window
    windows: int  # tried
    of_training: bool  # the windows are days of the training data
    drifted: int  # of them
    alarms: float  # expected
    alarms_at_most: float  # with 95 % confidence, as so few windows say
    falls: float  # of quality, shown by chance, at most on average

    @property
    def retrains(self) -> float:
        return self.alarms + self.falls

    def __str__(self) -> str:
        if not self.windows:
            return f"no false retrains: windows of {self.rows:,} rows are inconclusive"
        tried = f"simulated windows of {self.rows:,} rows" if not self.of_training else "days of the training data"
        return (
            f"{self.retrains:.2g} false retrains a year are expected: {self.drifted} of {self.windows} {tried} "
            f"drifted by chance ({self.alarms:.2g} alarms a year, at most {self.alarms_at_most:.2g}), and quality "
            f"falls by chance {self.falls:.2g} times at most"
        )


def expected_false_retrains(
    policy: DriftPolicy,
    profile: Mapping[str, Any],
    rows_per_window: int,
    seed: int,
    *,
    windows_per_year: float = _DAYS_A_YEAR,
    watches_quality: bool = False,
) -> FalseRetrains:
    """`watches_quality`: days have realised scores, by which quality may fall too."""
    if rows_per_window < policy.minimum_rows:
        return FalseRetrains(rows_per_window, 0, False, 0, 0.0, 0.0, 0.0)
    read = read_profile(profile)
    falls = _DAYS_A_YEAR / PATIENCE if watches_quality else 0.0
    past = fit_past(read, policy)
    if past is not None:
        return _replayed(past.replay, rows_per_window, windows_per_year, falls)
    reference, rng = read.features, np.random.default_rng(seed)
    hits = [_drifted(policy, reference, rows_per_window, rng) for _ in range(_REFERENCES)]
    total = _REFERENCES * _WINDOWS
    most = float(betaincinv(sum(hits) + 1, max(total - sum(hits), 1), _SURE))
    return FalseRetrains(
        rows_per_window,
        total,
        False,
        sum(hits),
        windows_per_year * float(np.mean([alarm_rate(hit / _WINDOWS, policy) for hit in hits])),
        windows_per_year * alarm_rate(most, policy),
        falls,
    )


def _replayed(replay: DayReplay, rows: int, windows_per_year: float, falls: float) -> FalseRetrains:
    """Alarms come one by one, so their number is Poisson's."""
    years = replay.days / windows_per_year
    most = float(gammaincinv(replay.alarms + 1, _SURE)) / years
    return FalseRetrains(rows, replay.days, True, replay.drifted, replay.alarms / years, most, falls)


def alarm_rate(window_rate: float, policy: DriftPolicy) -> float:
    """The chance that a window is the latest of enough that drifted, when each drifts with `window_rate`."""
    if policy.needed == 1:
        return window_rate
    return window_rate * float(bdtrc(policy.needed - 2, policy.of_last - 1, window_rate))


def _drifted(policy: DriftPolicy, reference: Reference, rows: int, rng: np.random.Generator) -> int:
    ours = redraw_reference(reference, rng)
    live = (draw_sketch(reference, rows, rng) for _ in range(_WINDOWS))
    verdicts = (judge_window("simulated", {Aspect.FEATURE: (ours, sketch)}, policy) for sketch in live)
    return sum(verdict.outcome is Outcome.FAIL for verdict in verdicts)


def draw_sketch(reference: Reference, rows: int, rng: np.random.Generator) -> Sketch:
    """The sketch of a window whose rows are like the reference's."""
    columns = {name: _draw_column(known, rows, rng) for name, known in reference.items()}
    types = {name: "double" if isinstance(known, NumberReference) else "string" for name, known in reference.items()}
    return Sketch(rows, columns, types)


def redraw_reference(reference: Reference, rng: np.random.Generator) -> Reference:
    """Another training sample of the same distribution."""
    return {name: _redraw_column(known, rng) for name, known in reference.items()}


def _draw_column(
    known: NumberReference | CategoryReference, rows: int, rng: np.random.Generator
) -> NumberSketch | CategorySketch:
    if isinstance(known, CategoryReference):
        counts = _draw_counts(np.concatenate([known.counts, [known.other, known.nulls]]), rows, rng)
        return CategorySketch(counts[:-2], int(counts[-2]), rows, int(counts[-1]), ())
    counts = _draw_counts(np.concatenate([known.cells, [known.nulls, known.infinite]]), rows, rng)
    # moments are shown, never judged: those of the reference do
    finite, std = int(counts[:-2].sum()), known.std or 0.0
    return NumberSketch(counts[:-2], rows, int(counts[-2]), int(counts[-1]), 0.0, finite * std**2)


def _redraw_column(
    known: NumberReference | CategoryReference, rng: np.random.Generator
) -> NumberReference | CategoryReference:
    sample = _draw_column(known, known.rows, rng)
    if isinstance(known, CategoryReference) and isinstance(sample, CategorySketch):
        return CategoryReference(known.values, sample.counts.astype(float), sample.other, sample.rows, sample.nulls)
    assert isinstance(known, NumberReference) and isinstance(sample, NumberSketch)  # noqa: PT018 the only other pair
    return NumberReference(
        known.edges, sample.cells, known.coarse, sample.rows, sample.nulls, sample.infinite, known.mean, known.std
    )


def _draw_counts(weights: np.ndarray, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Of `rows` draws; by looking each up where that is cheaper than a binomial for each cell."""
    total = weights.sum()
    if not total:
        return np.zeros(len(weights), dtype=np.int64)
    if rows > len(weights):
        return rng.multinomial(rows, weights / total)
    places = np.searchsorted(weights.cumsum(), rng.random(rows) * total, "right")
    return np.bincount(places, minlength=len(weights))
