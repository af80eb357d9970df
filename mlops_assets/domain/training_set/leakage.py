"""Proof that features use nothing from the future. Pure: feeds, recipes and a moment in; a verdict out.

What had arrived by a moment T decides every feature of an entity row at t <= T. So the features of those
rows are built twice, from all there is now and from only what had arrived by T: every column must be the
same. A transform that looks ahead (a centred window, a mean over the whole table, a label) comes out
different.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.domain.names import CREATED_TIME, EVENT_TIME
from mlops_assets.domain.training_set.asof import AsOfView, Beside, asof_join
from mlops_assets.domain.verdict import Outcome, Verdict

Feeds = Mapping[str, pd.DataFrame]
_NAME = "no_leakage"
_NAMED = 8  # columns told in full in the reason


@dataclass(frozen=True)
class Recipe:
    """One view: how its rows are made, and how they are looked up."""

    view: str
    function: Callable[[Feeds, datetime, datetime], pd.DataFrame]
    keys: tuple[str, ...]
    ttl: timedelta | None


def prove_no_leakage(
    recipes: Sequence[Recipe],
    feeds: Feeds,
    arrived: Mapping[str, str | None],
    entities: pa.Table,
    *,
    start: datetime,
    cutoff: datetime,
) -> Verdict:
    """Compare the features of entity rows up to `cutoff`: made from all rows, and from those known by then.

    `arrived` names each feed's column that says when a row became known; None: it always was. Views are
    derived from `start` on.
    """
    past = entities.filter(pc.less_equal(entities[EVENT_TIME], pa.scalar(cutoff, entities[EVENT_TIME].type)))
    if not len(past):
        return Verdict(_NAME, Outcome.INCONCLUSIVE, f"No entity row at or before {cutoff:%F %T}.", {"rows": 0.0})
    end = cutoff + timedelta(microseconds=1)
    full = training_frame(recipes, feeds, past, start=start, end=end)
    known = training_frame(recipes, known_by(feeds, arrived, cutoff), past, start=start, end=end)
    return _judge(full, known, cutoff, removed=_removed(feeds, arrived, cutoff))


def known_by(feeds: Feeds, arrived: Mapping[str, str | None], moment: datetime) -> dict[str, pd.DataFrame]:
    """Each feed's rows that had arrived by then."""
    return {name: _known_rows(frame, arrived[name], moment) for name, frame in feeds.items()}


def training_frame(
    recipes: Sequence[Recipe], feeds: Feeds, entities: pa.Table, *, start: datetime, end: datetime
) -> pa.Table:
    """The entity rows with every feature, named `view.feature`."""
    return asof_join(entities, EVENT_TIME, [_beside(recipe, recipe.function(feeds, start, end)) for recipe in recipes])


def _beside(recipe: Recipe, frame: pd.DataFrame) -> Beside:
    rows = pa.Table.from_pandas(frame, preserve_index=False)
    features = [name for name in rows.column_names if name not in (*recipe.keys, EVENT_TIME, CREATED_TIME)]
    return Beside(
        AsOfView(rows, recipe.keys, EVENT_TIME, CREATED_TIME, recipe.ttl),
        recipe.keys,
        tuple((name, f"{recipe.view}.{name}") for name in features),
    )


def _known_rows(frame: pd.DataFrame, column: str | None, moment: datetime) -> pd.DataFrame:
    return frame if column is None else frame.loc[frame[column] <= moment]


def _removed(feeds: Feeds, arrived: Mapping[str, str | None], cutoff: datetime) -> int:
    return sum(len(frame) - len(_known_rows(frame, arrived[name], cutoff)) for name, frame in feeds.items())


def _judge(full: pa.Table, known: pa.Table, cutoff: datetime, *, removed: int) -> Verdict:
    changed = {name: rows for name in full.column_names if (rows := _differing(full[name], known[name]))}
    numbers = {
        "rows": float(len(full)),
        "columns": float(full.num_columns),
        "rows_that_arrived_later": float(removed),
        "changed_columns": float(len(changed)),
    }
    if not changed:
        reason = f"{len(full):,} rows up to {cutoff:%F %T} are the same without {removed:,} that came later."
        return Verdict(_NAME, Outcome.PASS, reason, numbers)
    named = ", ".join(f"{name} ({rows:,} rows)" for name, rows in list(changed.items())[:_NAMED])
    reason = (
        f"{len(changed)} columns change without {removed:,} rows that came after {cutoff:%F %T}: {named}. "
        "Their transform looks ahead, or says that a row was known before it arrived."
    )
    return Verdict(_NAME, Outcome.FAIL, reason, numbers)


def _differing(left: pa.ChunkedArray, right: pa.ChunkedArray) -> int:
    """Rows that are not the same. Missing is the same as missing."""
    if left.equals(right):
        return 0
    if left.type != right.type:
        right = right.cast(left.type) if not pa.types.is_null(left.type) else right
        left = left.cast(right.type)
    same = pc.fill_null(pc.equal(left, right), False)
    both_null = pc.and_(left.is_null(nan_is_null=True), right.is_null(nan_is_null=True))
    return len(left) - (pc.sum(pc.or_(same, both_null)).as_py() or 0)
