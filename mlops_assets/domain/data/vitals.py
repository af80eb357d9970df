"""The vital signs of partitions: rows, freshness, quarantine, nulls, distance from those before.

One row for each feed and partition; limits come from the declaration; what lies outside is told with
numbers. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate

import numpy as np
import pandas as pd

from mlops_assets.declaration.validation import ExpectationSpec, ValidationSpec
from mlops_assets.domain.data.checks import DISTRIBUTION, FRESHNESS, NULLS, QUARANTINE, VOLUME, listed, vital_checks
from mlops_assets.domain.partitions import Window
from mlops_assets.domain.verdict import Outcome, Verdict

RATIO, LAG, SHARE = "volume_ratio", "lag_hours", "quarantined_share"
NULLS_OF, DRIFT_OF = "nulls of", "drift of"
USUAL_NEEDS = 3  # partitions before there is a "usual" number of rows

Limits = dict[str, tuple[float | None, float | None]]


@dataclass(frozen=True)
class FeedVitals:
    """What was measured of one feed in this run, partition by partition."""

    feed: str
    windows: Sequence[Window]
    rows: Sequence[int]  # that came
    quarantined: Sequence[int]
    latest: Sequence[datetime | None]  # event
    rows_before: Sequence[int]  # of earlier partitions, oldest first
    latest_before: datetime | None
    clocked: bool  # events have a real time, so that freshness means something
    shares: Mapping[str, Sequence[float]]  # "nulls of weather.temp" → by partition


def vitals_frame(measured: Sequence[FeedVitals], validation: ValidationSpec, now: datetime) -> pd.DataFrame:
    """One row for each feed and partition; NaN where a sign is not judged."""
    return pd.concat([_of_feed(each, validation, now) for each in measured], ignore_index=True)


def limits_of(validation: ValidationSpec, frame: pd.DataFrame) -> Limits:
    """Column of the frame → smallest and largest value allowed."""
    limits: Limits = {RATIO: validation.volume, SHARE: (None, validation.quarantine_at_most)}
    if validation.freshness is not None:
        limits[LAG] = (None, _hours(validation.freshness))
    for expectation in validation.expectations:
        for column in expectation.columns:
            limits |= {nulls_name(expectation, column): (None, expectation.nulls)} if expectation.nulls else {}
            limits |= {drift_name(expectation, column): (None, expectation.drift)} if expectation.drift else {}
    return {name: limit for name, limit in limits.items() if name in frame}


def nulls_name(expectation: ExpectationSpec, column: str) -> str:
    return f"{NULLS_OF} {expectation.feed}.{column}"


def drift_name(expectation: ExpectationSpec, column: str) -> str:
    return f"{DRIFT_OF} {expectation.feed}.{column}"


def judge_vitals(
    frame: pd.DataFrame, limits: Limits, outside: Mapping[str, Sequence[int]], validation: ValidationSpec
) -> list[Verdict]:
    """One verdict for each kind of sign that is declared. `outside`: column → rows outside its limits."""
    warned = {
        nulls_name(each, name) for each in validation.expectations if each.severity != "error" for name in each.columns
    }
    kinds = {
        VOLUME: [RATIO],
        FRESHNESS: [LAG],
        QUARANTINE: [SHARE],
        NULLS: [name for name in limits if name.startswith(NULLS_OF) and name not in warned],
        DISTRIBUTION: [name for name in limits if name.startswith(DRIFT_OF)],
    }
    return [
        _verdict(kind, [name for name in kinds[kind] if name in limits], frame, limits, outside=outside)
        for kind in vital_checks(validation)
    ]


def _of_feed(measured: FeedVitals, validation: ValidationSpec, now: datetime) -> pd.DataFrame:
    rows = np.array(measured.rows, float)
    usual = _usual(measured, validation.recent)
    came = np.where(rows > 0, rows, np.nan)
    signs = {
        "feed": measured.feed,
        "partition": [each.partition for each in measured.windows],
        "rows": rows,
        "usual": usual,
        RATIO: rows / np.where(usual > 0, usual, np.nan),
        LAG: _lags(measured, now),
        "quarantined_rows": np.array(measured.quarantined, float),
        SHARE: np.array(measured.quarantined, float) / came,
    }
    return pd.DataFrame(signs | {name: np.asarray(share, float) for name, share in measured.shares.items()})


def _usual(measured: FeedVitals, recent: int) -> np.ndarray:
    """Median of the partitions before each; NaN where there are too few, and for a feed of one snapshot."""
    if measured.windows[0].start is None:
        return np.full(len(measured.rows), np.nan)
    history = [*measured.rows_before, *measured.rows]
    first = len(measured.rows_before)
    before = [history[max(0, at - recent) : at] for at in range(first, len(history))]
    return np.array([np.median(some) if len(some) >= USUAL_NEEDS else np.nan for some in before], float)


def _lags(measured: FeedVitals, now: datetime) -> np.ndarray:
    """Hours from the latest event so far to the partition's end, or to now where that is earlier."""
    if not measured.clocked:
        return np.full(len(measured.rows), np.nan)
    latest = list(accumulate([measured.latest_before, *measured.latest], _later))[1:]
    ends = [min(now, each.end) if each.end else now for each in measured.windows]
    return np.array(
        [np.inf if last is None else _hours(end - last) for end, last in zip(ends, latest, strict=True)],
        float,
    )


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((moment for moment in (one, other) if moment is not None), default=None)


def _verdict(
    kind: str,
    columns: Sequence[str],
    frame: pd.DataFrame,
    limits: Limits,
    *,
    outside: Mapping[str, Sequence[int]],
) -> Verdict:
    problems = [
        _describe_excess(frame.iloc[row], name, limits[name]) for name in columns for row in outside.get(name, ())
    ]
    judged = float(sum(frame[name].notna().sum() for name in columns))
    numbers = {"judged": judged, "outside": float(len(problems))}
    if problems:
        return Verdict(kind, Outcome.FAIL, f"{listed(problems)}. {_REMEDIES[kind]}", numbers)
    fine = "within limits" if judged else "nothing to judge yet"
    empty = [f"{row['feed']} {row['partition']}" for _, row in frame[frame["rows"] == 0].iterrows()]
    note = f"; no rows at all: {listed(empty)}" if kind == VOLUME and empty else ""
    return Verdict(kind, Outcome.PASS, fine + note, numbers)


_REMEDIES = {
    VOLUME: "Ask the source's owner what happened; if it is real, widen `validation.volume`.",
    FRESHNESS: "The source has stopped or is late; look at what feeds it.",
    QUARANTINE: "See the reasons in the table of the materialisation, and the rows in the lake's quarantine.",
    NULLS: "A column has lost values: look at the source, or raise `nulls` if it is meant.",
    DISTRIBUTION: "Values differ from those before: look at the column before training on it.",
}


def _describe_excess(row: pd.Series, name: str, limit: tuple[float | None, float | None]) -> str:
    place = f"{row['feed']} {row['partition']}"
    value = float(row[name])
    low, high = limit
    if name == RATIO:
        usual = f"{value:.2f} times the usual {row['usual']:,.0f}"
        return f"{place}: {row['rows']:,.0f} rows, {usual} (allowed {low:g} to {high:g})"
    if name == LAG:
        return (
            f"{place}: no event at all"
            if np.isinf(value)
            else f"{place}: last event {value:.1f} h before (allowed {high:g} h)"
        )
    if name == SHARE:
        count = f"{row['quarantined_rows']:,.0f} of {row['rows']:,.0f} rows"
        return f"{place}: {count} quarantined, {value:.1%} (allowed {high:.1%})"
    column = name.rpartition(f"{row['feed']}.")[2]
    if name.startswith(NULLS_OF):
        return f"{place}: {value:.1%} of {column} is null (allowed {high:.1%})"
    return f"{place}: {column} has PSI {value:.2f} (allowed {high:g})"


def _hours(length: timedelta) -> float:
    return length.total_seconds() / 3600
