"""Counts requests that got no prediction, from the rows of the log of refusals. Pure; a row may stand for several."""

from collections import Counter
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

REFUSED = pa.schema(
    [
        ("request_id", pa.string()),
        ("arm", pa.string()),
        ("generation", pa.int64()),
        ("kind", pa.string()),
        ("others_take", pa.bool_()),
        ("requests", pa.int64()),
    ]
)  # of the log of refusals, as far as it is read here
_INVALID = "invalid"  # kind of a refusal whose cause are the rows


def read_refused(batches: Iterable[pa.RecordBatch]) -> pa.Table:
    """Each refusal once: a message of a stream that is refused is tried again."""
    rows = pa.Table.from_batches([batch.select(REFUSED.names) for batch in batches], REFUSED)
    return rows.group_by(["request_id", "arm", "generation", "kind", "others_take"]).aggregate([("requests", "max")])


def count_refused(batches: Iterable[pa.RecordBatch]) -> int:
    """How many requests got no prediction."""
    return pc.sum(read_refused(batches)["requests_max"]).as_py() or 0


def count_by_kind(batches: Iterable[pa.RecordBatch]) -> dict[str, int]:
    """Kind → requests, the most first."""
    counts: Counter[str] = Counter()
    for row in read_refused(batches).select(["kind", "requests_max"]).to_pylist():
        counts[row["kind"]] += row["requests_max"]
    return dict(counts.most_common())


def count_errors_by_arm(refused: pa.Table, generation: int) -> Counter[str]:
    """Arm → requests that it refused by its own fault.

    Rows that no version takes are nobody's fault, or else any caller could have a version taken back.
    """
    own = pc.or_(refused["others_take"], pc.not_equal(refused["kind"], _INVALID))
    counted = refused.filter(pc.and_(own, pc.equal(refused["generation"], generation)))
    counts: Counter[str] = Counter()
    for row in counted.select(["arm", "requests_max"]).to_pylist():
        counts[row["arm"]] += row["requests_max"]
    return counts
