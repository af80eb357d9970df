"""From outcomes as they came to the numbers a model learns. Every row that is left behind is counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.declaration.data import NEGATIVE, AbsentOutcome, Kind
from mlops_assets.domain.names import CREATED_TIME, EVENT_TIME, LABEL, RAW_LABEL

OTHER = "other"
_MANY_CLASSES = 50  # more have to have two rows each, on average
_LARGEST = 1e30  # of a number to predict; beyond it training overflows


class LabelError(ValueError):
    """The target cannot be learnt as declared."""


@dataclass(frozen=True)
class Labelled:
    """Examples with their label as number, the text of each class, and how many rows stayed behind and why."""

    rows: pa.Table
    classes: tuple[str, ...]
    left_out: Mapping[str, int]


def attach(
    examples: pa.Table,
    outcomes: pa.Table,
    *,
    keys: Sequence[str],
    column: str,
    known_by: datetime,
    ripe_by: datetime,
    absent: AbsentOutcome | None = None,
) -> tuple[pa.Table, dict[str, int]]:
    """Examples up to `ripe_by` with the outcome known by `known_by` beside them.

    Later examples are left out even where their outcome is known: outcomes that come early are not like the others.
    `absent`: what no outcome means, as far as the latest outcome shows that they still came.
    """
    latest = pc.max(outcomes[CREATED_TIME]).as_py()
    ripe = examples.filter(pc.less_equal(examples[EVENT_TIME], _moment(ripe_by)))
    known = outcomes.filter(pc.less_equal(outcomes[CREATED_TIME], _moment(known_by)))
    known = known.select([*keys, column]).rename_columns([*keys, RAW_LABEL])
    known = known.filter(pc.is_valid(known[RAW_LABEL]))
    if len(known) != len(known.group_by(list(keys)).aggregate([])):
        raise LabelError(
            f"{column}: several outcomes for one {', '.join(keys)}; declare `key` so that repeats are quarantined"
        )
    joined = ripe.join(known, keys=list(keys), join_type="left outer" if absent else "inner")
    if absent:
        joined = _fill_absent(joined, absent, min(known_by, latest or known_by))
    left_out = {"label not ripe": len(examples) - len(ripe), "label never came": len(ripe) - len(joined)}
    return joined, left_out


def beside(
    rows: pa.Table, column: str, *, known_by: datetime, ripe_by: datetime, absent: AbsentOutcome | None = None
) -> tuple[pa.Table, dict[str, int]]:
    """The same where the outcome stands in the example's own row."""
    moments = pc.and_(
        pc.less_equal(rows[EVENT_TIME], _moment(ripe_by)),
        pc.less_equal(rows[CREATED_TIME], _moment(known_by)),
    )
    ripe = rows.filter(moments)
    named = ripe.append_column(RAW_LABEL, ripe[column])
    named = _fill_absent(named, absent, known_by) if absent else named
    known = named.filter(pc.is_valid(named[RAW_LABEL]))
    return known, {"label not ripe": len(rows) - len(ripe), "label missing": len(ripe) - len(known)}


def encode(rows: pa.Table, *, kind: Kind, positive: str | None, column: str) -> tuple[pa.Table, tuple[str, ...]]:
    """Replace the outcome by `label`: 0/1, a class index, or the number itself; with the text of each class."""
    outcome = rows[RAW_LABEL]
    # the label's name may also be that of a column that is no feature
    bare = rows.drop_columns([name for name in (RAW_LABEL, LABEL) if name in rows.column_names])
    if kind is Kind.REGRESSION:
        return bare.append_column(LABEL, _as_numbers(outcome, column)), ()
    text = pc.cast(outcome, pa.string())
    values = sorted(pc.unique(text).to_pylist())
    if len(values) < 2:
        raise LabelError(
            f"{column}: every one of {len(rows):,} rows is {values[0] if values else 'absent'!r}; "
            "there is nothing to learn"
        )
    if kind is Kind.MULTICLASS and len(values) > max(_MANY_CLASSES, len(rows) // 2):
        raise LabelError(
            f"{column}: {len(values):,} different values in {len(rows):,} rows are too many classes to learn; "
            "is it a number to predict (kind: regression), or the wrong column?"
        )
    if kind is Kind.MULTICLASS:
        index = pc.index_in(text, value_set=pa.array(values))
        return bare.append_column(LABEL, pc.cast(index, pa.int64())), tuple(values)
    if positive not in values:
        raise LabelError(f"{column}: target.positive is {positive!r}, but the values are {', '.join(values[:10])}")
    rest = [value for value in values if value != positive]
    stated = [value for value in rest if value != NEGATIVE] or rest  # absence is the same as the one value beside
    label = pc.cast(pc.equal(text, positive), pa.int64())
    return bare.append_column(LABEL, label), (stated[0] if len(stated) == 1 else OTHER, str(positive))


def _fill_absent(rows: pa.Table, absent: AbsentOutcome, until: datetime) -> pa.Table:
    """Rows with the outcome that its absence means, where that was sure at `until`; others without one are dropped."""
    text = pc.cast(rows[RAW_LABEL], pa.string())
    sure = pc.less_equal(rows[EVENT_TIME], _moment(until - absent.after))
    filled = pc.if_else(pc.and_(pc.is_null(text), sure), pa.scalar(absent.value), text)
    rows = rows.set_column(rows.column_names.index(RAW_LABEL), RAW_LABEL, filled)
    return rows.filter(pc.is_valid(filled))


def _as_numbers(outcome: pa.ChunkedArray, column: str) -> pa.ChunkedArray:
    try:
        numbers = pc.cast(outcome, pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as err:
        raise LabelError(f"{column}: a regression needs numbers, this is {outcome.type}: {err}") from err
    if not pc.all(pc.less(pc.abs(numbers), _LARGEST)).as_py():
        raise LabelError(
            f"{column}: holds undefined, infinite or absurd numbers (largest allowed: {_LARGEST:g}); "
            "expect `between` bounds on it to quarantine them"
        )
    return numbers


def _moment(moment: datetime) -> pa.Scalar:
    return pa.scalar(moment, pa.timestamp("us", tz="UTC"))
