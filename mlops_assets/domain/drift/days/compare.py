"""Compares a live window with days of the training data like it, and says so. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from mlops_assets.declaration.monitoring import DriftPolicy
from mlops_assets.domain.drift.days.contrasts import normal_shift, share_of
from mlops_assets.domain.drift.days.like_days import LikeDays, LikeWindow, MeasuredRespect, fit_like_days
from mlops_assets.domain.drift.days.pairs import PairDays, PairRows, fit_pairs
from mlops_assets.domain.drift.days.replay import DayReplay, replay_days
from mlops_assets.domain.drift.distances import FAULTS, Aspect, DriftTest
from mlops_assets.domain.drift.reference import CategoryReference, NumberReference, Profile
from mlops_assets.domain.drift.sketch import CategorySketch, NumberSketch, Sketch


@dataclass(frozen=True, eq=False)
class TrainingPast:
    """The days of a version's training data, and what became of them under the policy."""

    like: Mapping[Aspect, LikeDays]
    pairs: PairDays | None  # None: the rows are gone, or there are no two columns
    replay: DayReplay


def fit_past(profile: Profile, policy: DriftPolicy, rows: PairRows | None = None) -> TrainingPast | None:
    """None where the training rows have too few days, so that only sampling noise is known. `rows`: some of them."""
    if profile.feature_days is None:
        return None
    like = {Aspect.FEATURE: fit_like_days(profile.feature_days, profile.features)}
    if profile.prediction_days is not None:
        like[Aspect.PREDICTION] = fit_like_days(profile.prediction_days, profile.predictions)
    if profile.label_days is not None:
        like[Aspect.LABEL] = fit_like_days(profile.label_days, profile.label, by_weekday=False)
    pairs = fit_pairs(rows, profile.features, policy.exclude) if rows else None
    return TrainingPast(like, pairs, replay_days(like, pairs, policy))


def compare_with_days(
    aspect: Aspect, past: TrainingPast, live: Sketch, days: Sequence[date], policy: DriftPolicy
) -> Iterator[DriftTest]:
    """Every test of an aspect. `days`: those of the window."""
    like = past.like[aspect]
    window = like.place_window(live, np.array(days, dtype="datetime64[D]"))
    for name in like.places:
        found = live.columns.get(name)
        if found is None or (aspect is Aspect.FEATURE and name in policy.exclude):
            continue
        for measured in like.measure(name, window, policy):
            if measured.aspect is not Aspect.FEATURE:
                yield _test_share(name, measured, like, window, found)
            elif _known_rows(found) >= policy.minimum_rows:
                yield _test_values(aspect, name, measured, like, window, found)


def _known_rows(live: NumberSketch | CategorySketch) -> int:
    return live.finite if isinstance(live, NumberSketch) else live.rows - live.nulls


def _test_values(
    aspect: Aspect,
    name: str,
    measured: MeasuredRespect,
    like: LikeDays,
    window: LikeWindow,
    live: NumberSketch | CategorySketch,
) -> DriftTest:
    moved, deviation = float(measured.moved), like.deviation(name, window)
    numbers = {"moved": moved, "p": float(measured.p), "rows": float(_known_rows(live)), "like_days": deviation}
    known = like.reference[name]
    if isinstance(known, NumberReference) and isinstance(live, NumberSketch):
        own = slice(like.places[name].start, like.places[name].stop - 2)
        shift, (mean, std) = float(normal_shift(window.apart[own])), live.moments(known)
        numbers |= {"shift": shift, "mean": mean, "std": std}
        note = f", about {shift:+.2f} standard deviations, {deviation:.2f} are usual; mean {mean:.4g}"
        if known.mean is not None:
            numbers["mean_in_training"] = known.mean
            note += f" against {known.mean:.4g} in training"
    else:
        assert isinstance(known, CategoryReference)
        note = _most_changed(known, like.places[name], window)
    text = f"{moved:.1%} of rows moved from where they are on such days{note}"
    return DriftTest(aspect, name, float(measured.p), bool(measured.material), text, numbers)


def _most_changed(known: CategoryReference, place: slice, window: LikeWindow) -> str:
    own = slice(place.start, place.stop - 2)
    now, before = share_of(window.values[own]), share_of(window.expected[own])
    most = int(np.abs(now - before).argmax())
    value = repr(known.values[known.common[most]]) if most < len(known.common) else "all other values"
    return f"; most changed: {value}, {now[most]:.1%} where {before[most]:.1%} are expected"


def _test_share(
    name: str, measured: MeasuredRespect, like: LikeDays, window: LikeWindow, live: NumberSketch | CategorySketch
) -> DriftTest:
    place = like.places[name].stop - (2 if measured.aspect is Aspect.MISSING else 1)
    now, before = (float(share_of(side[place])) for side in (window.values, window.expected))
    rows = live.rows if measured.aspect is Aspect.MISSING else live.rows - live.nulls
    text = f"{now:.1%} of {rows:,} rows are {FAULTS[measured.aspect]}, {before:.1%} are expected of such days"
    if isinstance(live, CategorySketch) and measured.aspect is Aspect.UNSEEN and live.strangers:
        text += f": {', '.join(map(repr, live.strangers))}"
    numbers = {"share": now, "share_in_training": before, "p": float(measured.p), "rows": float(rows)}
    return DriftTest(measured.aspect, name, float(measured.p), bool(measured.material), text, numbers)
