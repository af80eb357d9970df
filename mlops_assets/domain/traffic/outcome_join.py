"""Joins answers and outcomes by request and row: an outcome belongs to the answer that it names.

Repeats are counted and the first one known wins; contradictions and outcomes of unknown requests are counted and
reported, never guessed at.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

KEYS = ("request_id", "row")
OUTCOME, KNOWN_AT = "outcome", "known_at"
_PLACE = "place"


@dataclass(frozen=True)
class JoinedAnswers:
    """Every answer, with its outcome and when that became known, or nulls; and what was odd."""

    rows: pa.Table
    counts: Mapping[str, int]


def join_outcomes(answers: pa.Table, outcomes: pa.Table) -> JoinedAnswers:
    """`answers` have `request_id`, `row` and `time`; `outcomes` have the same and `outcome`, in any order."""
    stated = outcomes.select([*KEYS, "time", OUTCOME]).filter(pc.is_valid(outcomes[OUTCOME]))
    ordered = stated.sort_by([("time", "ascending")])
    first = ordered.group_by(list(KEYS), use_threads=False).aggregate(
        [(OUTCOME, "first"), ("time", "first"), (OUTCOME, "count_distinct"), (OUTCOME, "count")]
    )
    places = answers.select(list(KEYS)).append_column(_PLACE, pa.array(np.arange(len(answers))))
    known = first.join(places, keys=list(KEYS), join_type="inner")
    rows = _beside(answers, known)
    waited = pc.fill_null(pc.less(rows[KNOWN_AT], rows["time"]), False)
    counts = {
        "answers": len(answers),
        "labelled": len(known),
        "repeated": int(len(stated) - len(first)),
        "contradicting": _count(pc.greater(first[f"{OUTCOME}_count_distinct"], 1)),
        "for unknown requests": len(first) - len(known),
        "known before the answer": _count(waited),
    }
    return JoinedAnswers(rows, counts)


def _beside(answers: pa.Table, known: pa.Table) -> pa.Table:
    """Joins cannot carry lists and structs, so outcomes are put beside their answers by place."""
    found = np.full(len(answers), -1, dtype=np.int64)
    found[known[_PLACE].to_numpy()] = np.arange(len(known))
    places = pa.array(found, mask=found < 0)
    beside = answers.append_column(OUTCOME, known[f"{OUTCOME}_first"].take(places))
    return beside.append_column(KNOWN_AT, known["time_first"].take(places))


def _count(flags: pa.ChunkedArray | pa.Array) -> int:
    return int(pc.sum(flags).as_py() or 0)
