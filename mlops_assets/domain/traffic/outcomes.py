"""Brings logged rows and their outcomes together, by request and row. The first outcome of a row counts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlops_assets.domain.names import CREATED_TIME
from mlops_assets.domain.traffic.slices import SENT_KEY

FEEDBACK = pa.schema(
    [
        ("request_id", pa.string()),
        ("row", pa.int32()),
        ("time", pa.timestamp("us", "UTC")),
        ("outcome", pa.string()),
        ("reward", pa.float64()),
    ]
)  # of the feedback log, as far as it is read here
_BETWEEN, _EXAMPLE = "\x1f", "example"


@dataclass(frozen=True, eq=False)
class Outcomes:
    """One outcome for each row that has one, and what was odd about the rest."""

    keys: pa.Array  # request and row
    texts: pa.Array  # JSON
    rewards: NDArray[np.float64]  # NaN where there is none
    repeated: int
    contradicting: int  # rows whose later outcome differs


def outcomes_by_tail(feedback: pa.Table, tails: Iterable[str]) -> Outcomes:
    """The first outcomes of the requests whose id ends with one of the tails, as each arm of a release has its own."""
    ours = np.zeros(len(feedback), dtype=bool)
    for tail in tails:
        ours |= pc.ends_with(feedback["request_id"], tail).to_numpy()
    return first_outcomes(feedback.filter(pa.array(ours)))


def first_outcomes(feedback: pa.Table) -> Outcomes:
    """The first outcome of each row."""
    mine = feedback.sort_by("time")
    keys = row_keys(mine)
    codes = pc.dictionary_encode(keys).indices.to_numpy()
    _, first, of_which = np.unique(codes, return_index=True, return_inverse=True)
    texts = pc.dictionary_encode(_flat(mine["outcome"], pa.string()))
    said = texts.indices.to_numpy(zero_copy_only=False)
    differs = said != said[first][of_which]
    rewards = _flat(mine["reward"], pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
    return Outcomes(
        keys.take(pa.array(first)),
        texts.dictionary_decode().take(pa.array(first)),
        rewards[first],
        repeated=len(mine) - len(first),
        contradicting=len(np.unique(of_which[differs])),
    )


def find_outcomes(rows: pa.Table, outcomes: Outcomes) -> NDArray[np.int64]:
    """Of each row, which outcome is its; -1 where none has come."""
    if not len(outcomes.keys) or not len(rows):
        return np.full(len(rows), -1)
    found = pc.index_in(row_keys(rows), value_set=outcomes.keys)
    return pc.fill_null(found, -1).to_numpy().astype(np.int64)


def outcome_texts(rows: pa.Table, outcomes: Outcomes) -> pa.Array:
    """The outcome of each row as JSON text; null where none has come."""
    places = find_outcomes(rows, outcomes)
    return outcomes.texts.take(pa.array(places, mask=places < 0))


def row_keys(rows: pa.Table) -> pa.Array:
    """Request and row as one text."""
    numbers = pc.cast(rows["row"], pa.string())
    return _flat(pc.binary_join_element_wise(rows["request_id"], numbers, _BETWEEN), pa.string())


def source_outcomes(rows: pa.Table, labels: pa.Table, columns: Sequence[str], target: str) -> pa.Table:
    """Labels that the source brought, as if they were feedback, for rows that name their example.

    `columns` of the rows hold the same as the first columns of `labels`; a request's key names one row and no more.
    """
    mine = rows.select(["request_id", "row"]).append_column(_EXAMPLE, _joined(rows, columns))
    if SENT_KEY in columns:
        several = pc.unique(mine["request_id"].filter(pc.greater(mine["row"], 0)))
        mine = mine.filter(pc.invert(pc.is_in(mine["request_id"], value_set=several)))
    told = pa.table(
        {
            _EXAMPLE: _joined(labels, labels.column_names[: len(columns)]),
            "time": labels[CREATED_TIME],
            "outcome": pc.cast(labels[target], pa.string()),
        }
    )
    told = told.filter(pc.is_in(told[_EXAMPLE], value_set=mine[_EXAMPLE]))
    found = mine.join(told, keys=_EXAMPLE, join_type="inner")
    return (
        found.drop_columns([_EXAMPLE])
        .append_column("reward", pa.nulls(len(found), pa.float64()))
        .select(FEEDBACK.names)
    )


def _joined(table: pa.Table, names: Sequence[str]) -> pa.Array:
    texts = (pc.cast(table[name], pa.string()) for name in names)
    return _flat(pc.binary_join_element_wise(*texts, _BETWEEN), pa.string())


def _flat(column: pa.Array | pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.combine_chunks() if column.num_chunks else pa.array([], kind)
