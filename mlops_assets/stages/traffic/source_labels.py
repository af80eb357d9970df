"""Reads the labels of the source, for answers whose example the log names. Joins and judges nothing.

The log names an example by its entity keys, where they hold the whole key of the labels' feed, or by the `key` that
the caller sent with the request, where that feed's key is one column. Otherwise labels come as feedback only.
"""

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import CREATED_TIME, EVENT_TIME, Layer
from mlops_assets.domain.traffic.slices import ENTITY, SENT_KEY
from mlops_assets.resources.lake.lake import Lake


def label_columns(spec: ModelSpec, entity: Sequence[str]) -> tuple[str, ...]:
    """The columns of the log, as `flatten_batch` names them, that hold the key of the labels' feed, in its order.

    None: labels come as feedback only.
    """
    key = spec.source.feeds[spec.target.feed].key
    if key and set(key) <= set(entity):
        return tuple(ENTITY + name for name in key)
    return (SENT_KEY,) if len(key) == 1 else ()


def source_labels(spec: ModelSpec, lake: Lake, *, since: datetime, now: datetime) -> pa.Table:
    """Key, label and `created_timestamp`, when it became known, of labels known by `now`, in order of that time.

    Partitions that end before `since` are not read.
    """
    feed, column = spec.source.feeds[spec.target.feed], spec.target.column
    table = lake.table(spec.model, Layer.VALIDATED, feed.name)
    late = [each for each in table.snapshots().values() if each.watermark is None or each.watermark >= since]
    rows = table.read_snapshots(late, [*feed.key, column, CREATED_TIME, EVENT_TIME])
    if not len(rows):
        no_rows = pa.table(dict.fromkeys((*feed.key, column), pa.array([], pa.string())))
        return no_rows.append_column(CREATED_TIME, pa.array([], pa.timestamp("us", "UTC")))
    known = _known_at(spec, rows)
    labels = rows.select([*feed.key, column]).append_column(CREATED_TIME, known)
    there = pc.and_(pc.is_valid(labels[column]), pc.less_equal(known, pa.scalar(now, known.type)))
    return labels.filter(there).sort_by(CREATED_TIME)


def _known_at(spec: ModelSpec, rows: pa.Table) -> pa.ChunkedArray:
    """When each label became known: without an arrival time in the feed, a declared time after the event."""
    created = rows[CREATED_TIME]
    if spec.source.feeds[spec.target.feed].arrived or EVENT_TIME not in rows.column_names:
        return created
    declared = pc.add(rows[EVENT_TIME], pa.scalar(spec.target.known_after, pa.duration("us")))
    return pc.if_else(pc.greater(declared, created), declared, created)
