"""Proof that features use nothing from the future. Pure: training rows, recipes and rows of feeds in; a verdict out.

What had arrived by a moment T decides every feature of a row at t <= T. So the features of the training rows shortly
before several moments are made again from only what had arrived by then, and compared with those that were joined:
a transform that looks ahead (a centred window, a mean over the whole table, next month's mean), or a row that
claims to be known before it arrived, comes out different.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.domain.names import CREATED_TIME, EVENT_TIME
from mlops_assets.domain.training_set.asof import AsOfView, Beside, asof_join
from mlops_assets.domain.verdict import Outcome, Verdict

NAME = "no_future_in_features"
Feeds = Mapping[str, pd.DataFrame]
ReadFeeds = Callable[[datetime, datetime], Feeds]  # the rows of feeds from one moment to another
_INSTANT = timedelta(microseconds=1)
_MOMENTS = 12  # spread over the rows
_ROWS = 200  # the latest before each moment
_REACH = timedelta(days=90)  # how far back rows of a view without ttl are made again
_EXACT = 1e-9  # relative: sums in another order differ by less
_NAMED = 8  # columns described in the reason


@dataclass(frozen=True)
class Recipe:
    """One view: how its rows are made, and how they are looked up."""

    view: str
    function: Callable[[Feeds, datetime, datetime], pd.DataFrame]
    feeds: tuple[str, ...]
    keys: tuple[str, ...]
    features: tuple[str, ...]
    ttl: timedelta | None

    @property
    def reach(self) -> timedelta:
        """How old a row of the view may be to count."""
        return _REACH if self.ttl is None else self.ttl


@dataclass(frozen=True)
class _Compared:
    """What the rows before one moment showed: column → rows that differ, and rows too old to be made again."""

    rows: int
    changed: Mapping[str, int]
    out_of_reach: int
    arrived_later: int


def prove_no_leakage(
    recipes: Sequence[Recipe],
    read: ReadFeeds,
    arrived: Mapping[str, str | None],
    rows: pa.Table,
    *,
    since: datetime,
) -> Verdict:
    """Make the features of training rows again, each time from what had arrived by a moment, and compare.

    `arrived` names each feed's column that says when a row became known; None: the feed has no clock, so that
    nothing can be proven about it. `rows` are the training rows in any order; views have rows from `since` on.
    """
    untimed = sorted(name for name, column in arrived.items() if column is None)
    timed = [recipe for recipe in recipes if not set(recipe.feeds) <= set(untimed)]
    if not timed:
        reason = (
            f"Not applicable: {', '.join(untimed) or 'no feed'} has no clock, so nothing tells what was known when."
        )
        return Verdict(NAME, Outcome.INCONCLUSIVE, reason, {"rows": 0.0})
    ordered = rows.sort_by([(EVENT_TIME, "ascending")])
    compared = [_compare(timed, read, arrived, before, since=since) for before in _stretches(ordered)]
    return _judge(compared, columns=sum(len(recipe.features) for recipe in timed), untimed=untimed)


def _stretches(ordered: pa.Table) -> list[pa.Table]:
    """The rows up to each of several moments: the latest few, all those of the moment itself among them."""
    times = pc.cast(ordered[EVENT_TIME], pa.int64()).to_numpy()
    places = np.unique(np.linspace(0, len(times) - 1, _MOMENTS + 1)[1:].astype(np.int64)) if len(times) else []
    ends = sorted({int(np.searchsorted(times, times[place], "right")) for place in places})
    return [ordered.slice(max(end - _ROWS, 0), min(end, _ROWS)) for end in ends]


def _compare(
    recipes: Sequence[Recipe],
    read: ReadFeeds,
    arrived: Mapping[str, str | None],
    rows: pa.Table,
    *,
    since: datetime,
) -> _Compared:
    first, moment = (pc.min_max(rows[EVENT_TIME]).as_py()[end] for end in ("min", "max"))
    reached = first - max(recipe.reach for recipe in recipes)
    start = max(datetime.combine(reached.date(), time(), UTC), since)  # at midnight, as partitions begin
    feeds = read(start, moment + timedelta(days=1))  # a day more, so that there is something to leave out
    known = {name: _known_rows(frame, arrived[name], moment) for name, frame in feeds.items()}
    entities = rows.select(sorted({EVENT_TIME, *(key for recipe in recipes for key in recipe.keys)}))
    again = asof_join(entities, EVENT_TIME, [_beside(recipe, known, start, moment + _INSTANT) for recipe in recipes])
    changed, out_of_reach = {}, 0
    for recipe in recipes:
        for name in recipe.features:
            differs = _differing(rows[name], again[f"{recipe.view}.{name}"])
            if recipe.ttl is None:  # an older row than was made again may have brought the value
                lost = differs & pc.is_null(again[f"{recipe.view}.{name}"], nan_is_null=True).to_numpy()
                out_of_reach, differs = out_of_reach + int(lost.sum()), differs & ~lost
            if differs.any():
                changed[f"{recipe.view}.{name}"] = int(differs.sum())
    later = sum(len(frame) - len(known[name]) for name, frame in feeds.items())
    return _Compared(len(rows), changed, out_of_reach, later)


def _beside(recipe: Recipe, feeds: Feeds, start: datetime, end: datetime) -> Beside:
    rows = pa.Table.from_pandas(recipe.function(feeds, start, end), preserve_index=False)
    return Beside(
        AsOfView(rows, recipe.keys, EVENT_TIME, CREATED_TIME, recipe.ttl),
        recipe.keys,
        tuple((name, f"{recipe.view}.{name}") for name in recipe.features),
    )


def _known_rows(frame: pd.DataFrame, column: str | None, moment: datetime) -> pd.DataFrame:
    return frame if column is None else frame.loc[frame[column] <= moment]


def _judge(compared: Sequence[_Compared], *, columns: int, untimed: Sequence[str]) -> Verdict:
    changed: dict[str, int] = {}
    for each in compared:
        for name, rows in each.changed.items():
            changed[name] = changed.get(name, 0) + rows
    rows, later = sum(each.rows for each in compared), sum(each.arrived_later for each in compared)
    numbers = {
        "rows": float(rows),
        "moments": float(len(compared)),
        "columns": float(columns),
        "rows_that_arrived_later": float(later),
        "values_out_of_reach": float(sum(each.out_of_reach for each in compared)),
        "changed_columns": float(len(changed)),
    }
    if changed:
        named = ", ".join(f"{name} ({count:,} rows)" for name, count in list(changed.items())[:_NAMED])
        reason = (
            f"{len(changed)} columns of training rows change when they are made from only what had arrived by their "
            f"moment: {named}. Their transform looks ahead, or says that a row was known before it arrived."
        )
        return Verdict(NAME, Outcome.FAIL, reason, numbers)
    if not later:
        reason = (
            f"Nothing arrived after any of {len(compared)} moments, so nothing could be left out: nothing is proven."
        )
        return Verdict(NAME, Outcome.INCONCLUSIVE, reason, numbers)
    clockless = f" Nothing is proven of {', '.join(untimed)}, which has no clock." if untimed else ""
    reason = (
        f"{rows:,} training rows before {len(compared)} moments are the same without the {later:,} rows that "
        f"arrived afterwards.{clockless}"
    )
    return Verdict(NAME, Outcome.PASS, reason, numbers)


def _differing(joined: pa.ChunkedArray, again: pa.ChunkedArray) -> np.ndarray:
    """The mask of rows that are not the same. Missing is the same as missing."""
    if pa.types.is_null(again.type) or pa.types.is_null(joined.type):
        return pc.is_valid(joined).to_numpy() | pc.is_valid(again).to_numpy()
    missing = [pc.is_null(each, nan_is_null=True).to_numpy() for each in (joined, again)]
    if pa.types.is_floating(joined.type) or pa.types.is_floating(again.type):
        left, right = (pc.cast(each, pa.float64()).to_numpy() for each in (joined, again))
        with np.errstate(invalid="ignore"):
            same = np.isclose(left, right, rtol=_EXACT, atol=_EXACT)
    else:
        same = pc.fill_null(pc.equal(joined, again.cast(joined.type)), False).to_numpy()
    return ~np.where(missing[0] | missing[1], missing[0] & missing[1], same)
