"""Logged rows in the form in which another version can be asked: full rows of its fields, as a caller would send them.

The log keeps features as a model saw them: a missing number is NaN, a missing text empty, whole numbers and booleans
are numbers or texts. Here they get their types and their nulls back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
from numpy.typing import NDArray

from mlops_assets.domain.verdict import Outcome

_TYPES = {"number": pa.float64(), "integer": pa.int64(), "boolean": pa.bool_(), "text": pa.string()}


@dataclass(frozen=True)
class NoReplay:
    """Why nothing is replayed. It passes where there is nothing to compare, and is inconclusive where there is."""

    outcome: Outcome
    reason: str


@dataclass(frozen=True, eq=False)
class Replayable:
    """Requests that the champion answered, to be put to a candidate."""

    rows: pa.Table  # the candidate's fields
    answers: NDArray[np.float64]  # of the champion, [n] or [n, k]
    outcomes: pa.Array  # JSON texts; null where none has come
    lacking: tuple[str, ...]  # fields that the log does not hold as the candidate takes them: no replay
    problems: tuple[str, ...]  # of the log


def replayable(
    features: Sequence[pa.StructArray],
    answers: pa.ListArray,
    outcomes: pa.Array,
    fields: Sequence[Any],
    problems: Sequence[str] = (),
) -> Replayable:
    """`features` in chunks, which may differ in what they hold; `fields` are those of the candidate's contract."""
    held = [set(chunk.type.names) for chunk in features]
    lacking = tuple(field.name for field in fields if not all(field.name in names for names in held))
    columns = {} if lacking or not len(answers) else {field.name: _column(features, field) for field in fields}
    lacking = lacking or tuple(name for name, column in columns.items() if column is None)
    if lacking or not len(answers):
        no_rows = pa.table({field.name: pa.array([], _TYPES[field.type]) for field in fields})
        return Replayable(no_rows, np.empty(0), pa.array([], pa.string()), lacking, tuple(problems))
    given = answers.flatten().to_numpy(zero_copy_only=False).reshape(len(answers), -1)
    whole = given[:, 0] if given.shape[1] == 1 else given
    return Replayable(pa.table(columns), whole, outcomes, (), tuple(problems))


def _column(features: Sequence[pa.StructArray], field: Any) -> pa.ChunkedArray | None:
    """None where what was logged is of another type, as when a code became a number."""
    try:
        return pa.chunked_array([as_asked(pc.struct_field(chunk, field.name), field.type) for chunk in features])
    except pa.ArrowInvalid:
        return None


def as_asked(column: pa.Array, kind: str) -> pa.Array:
    """A logged feature as the type that a caller sends."""
    if pt.is_floating(column.type):
        bare = pc.if_else(pc.is_nan(column), None, column)
        return pc.cast(pc.not_equal(bare, 0.0) if kind == "boolean" else bare, _TYPES[kind])
    bare = pc.if_else(pc.equal(column, ""), None, column)
    if kind == "boolean":
        return pc.equal(bare, "true")
    return pc.cast(bare, _TYPES[kind])
