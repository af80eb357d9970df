"""Answers of a day with what came of them, in the few columns that quality is judged on. Pure.

An outcome belongs to the request it names; a shadow's copy of that request has the same one. What it means depends on
the version that answered: a class's index, or a number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlops_assets.declaration.data import NEGATIVE, AbsentOutcome
from mlops_assets.domain.traffic.outcome_join import KEYS, KNOWN_AT, OUTCOME, join_outcomes
from mlops_assets.domain.traffic.row_loss import LabelSpace, decode_labels, normalise_outcomes

LABEL, SHADOW = "label", "shadow"
OUTCOMES = pa.schema(
    [
        ("request_id", pa.string()),
        ("row", pa.int32()),
        ("time", pa.timestamp("us", "UTC")),
        ("outcome", pa.string()),
    ]
)
_ARM = r"\.[0-9a-f]+$"  # the end of a request's id that differs between the champion and a shadow


@dataclass(frozen=True)
class LabelledAnswers:
    """Rows with `label` (NaN: none, or not understood) and `known_at`, and what was odd."""

    rows: pa.Table
    odd: Mapping[str, int]


@dataclass(frozen=True)
class Absence:
    """What no outcome means, and up to when outcomes that came would be there."""

    declared: AbsentOutcome
    until: datetime


def label_answers(
    answers: pa.Table,
    outcomes: pa.Table,
    judged: Mapping[str, LabelSpace],
    *,
    now: datetime,
    absent: Absence | None = None,
) -> LabelledAnswers:
    """`outcomes` (see OUTCOMES) of these answers and of others; `judged` by bundle."""
    known = outcomes.filter(pc.less_equal(outcomes["time"], pa.scalar(now, outcomes["time"].type)))
    told = pa.concat_tables([outcomes_of(answers, known), outcomes_of_shadows(answers, known)])
    joined = join_outcomes(
        answers, told.set_column(told.schema.get_field_index(OUTCOME), OUTCOME, normalise_outcomes(told[OUTCOME]))
    )
    stated = joined.rows if absent is None else _state_absent(joined.rows, absent)
    numbers = _labels(stated, judged)
    not_understood = int((pc.is_valid(stated[OUTCOME]).to_numpy() & np.isnan(numbers)).sum())
    odd = {name: joined.counts[name] for name in ("repeated", "contradicting", "known before the answer")}
    odd |= {"not understood": not_understood, "from after now": len(outcomes) - len(known)}
    rows = stated.drop_columns([OUTCOME, *KEYS]).append_column(LABEL, pa.array(numbers))
    return LabelledAnswers(rows, odd)


def outcomes_of(answers: pa.Table, outcomes: pa.Table) -> pa.Table:
    """The outcomes of these answers' requests."""
    return outcomes.filter(pc.is_in(outcomes["request_id"], value_set=_flat(answers["request_id"])))


def outcomes_of_shadows(answers: pa.Table, outcomes: pa.Table) -> pa.Table:
    """Copy the outcome of the champion's answer to the shadow's copy of it."""
    copies = answers.filter(pc.equal(answers["role"], SHADOW)).select(list(KEYS))
    if not len(copies):
        return outcomes.slice(0, 0)
    mine = copies.append_column("stem", _stem(copies))
    theirs = outcomes.append_column("stem", _stem(outcomes)).drop_columns(["request_id"])
    found = mine.join(theirs, keys=["stem", "row"], join_type="inner")
    return found.select(OUTCOMES.names).cast(OUTCOMES)


def find_unknown_outcomes(outcomes: pa.Table, answered: pa.Table) -> pa.Table:
    """The outcomes that belong to none of these answers."""
    return outcomes.join(answered.select(list(KEYS)), keys=list(KEYS), join_type="left anti")


def concat_days(days: Sequence[pa.Table]) -> pa.Table:
    """Rows of several days; a column that a day lacks is null there."""
    return pa.concat_tables(days, promote_options="permissive")


def thin_rows(rows: pa.Table, most: int) -> pa.Table:
    """At most so many rows, evenly spaced."""
    if len(rows) <= most:
        return rows
    return rows.take(pa.array(np.linspace(0, len(rows) - 1, most).astype(np.int64)))


def read_scores(rows: pa.Table) -> NDArray[np.float64]:
    """Answers as [n], or [n, k] for several classes. Rows have an answer of one version, so all are as long."""
    flat = pc.list_flatten(rows["answer"]).to_numpy().astype(np.float64)
    wide = flat.reshape(len(rows), -1) if len(rows) else np.empty((0, 1))
    return wide[:, 0] if wide.shape[1] == 1 else wide


def read_times(column: pa.ChunkedArray) -> NDArray[np.datetime64]:
    """Times [n]; NaT where there is none."""
    return column.cast(pa.timestamp("us")).to_numpy()


def _state_absent(rows: pa.Table, absent: Absence) -> pa.Table:
    """The rows, where no outcome has come in time with the one that this means, known from then on."""
    declared = absent.declared
    times = rows["time"]
    sure = pc.less_equal(times, pa.scalar(absent.until - declared.after, times.type))
    missing = pc.and_(pc.is_null(rows[OUTCOME]), sure)
    text = "false" if declared.value == NEGATIVE else declared.value  # any binary target reads `false` so
    known = pc.add(times, pa.scalar(declared.after, pa.duration("us")))
    filled = {
        OUTCOME: pc.if_else(missing, pa.scalar(text), rows[OUTCOME]),
        KNOWN_AT: pc.if_else(missing, known.cast(rows[KNOWN_AT].type), rows[KNOWN_AT]),
    }
    for name, column in filled.items():
        rows = rows.set_column(rows.column_names.index(name), name, column)
    return rows


def _labels(rows: pa.Table, judged: Mapping[str, LabelSpace]) -> NDArray[np.float64]:
    found = np.full(len(rows), np.nan)
    told = pc.is_valid(rows[OUTCOME])
    for bundle, of_version in judged.items():
        mine = np.flatnonzero(pc.and_(told, pc.equal(rows["bundle"], bundle)).to_numpy())
        if len(mine):
            found[mine] = decode_labels(of_version, rows[OUTCOME].take(pa.array(mine)))
    return found


def _stem(rows: pa.Table) -> pa.ChunkedArray:
    return pc.replace_substring_regex(rows["request_id"], _ARM, "")


def _flat(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks else pa.array([], column.type)
