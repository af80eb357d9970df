"""What the lake holds of a feed when it is to be validated. Imported only inside an asset's body."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from mlops_assets.declaration.data import FeedSpec
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.data.checks import listed
from mlops_assets.domain.data.columns import change, known_columns
from mlops_assets.domain.data.schema import Observed
from mlops_assets.domain.names import SNAPSHOT, Layer
from mlops_assets.domain.partitions import Window, earlier
from mlops_assets.domain.records import Snapshot
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.table import Table


@dataclass(frozen=True)
class Held:
    """What the lake holds of one feed for this run, and before it."""

    feed: FeedSpec
    windows: Sequence[Window]
    raw: Mapping[str, Snapshot]
    raw_before: Mapping[str, Snapshot]
    validated_before: Mapping[str, Snapshot]


def held(spec: ModelSpec, feed: FeedSpec, windows: Sequence[Window], lake: Lake) -> Held:
    """The manifests that validation needs. A raw partition that is not there is an error."""
    names = [each.partition for each in windows]
    raw_table = lake.table(spec.model, Layer.RAW, feed.name)
    raw = raw_table.snapshots(names)
    absent = [name for name in names if name not in raw]
    if absent:
        raise FileNotFoundError(
            f"{raw_table.path}: no raw rows for {listed(absent)}. Materialise raw_data for them first."
        )
    before = earlier(spec.partitions.every, names[0], spec.validation.recent)
    accepted = lake.table(spec.model, Layer.VALIDATED, feed.name).snapshots(before or [SNAPSHOT])
    return Held(feed, windows, raw, raw_table.snapshots(before), accepted)


def observed(each: Held) -> list[Observed]:
    """The columns of every partition that has rows, beside those known until then."""
    known = known_columns(snapshot.columns for snapshot in each.validated_before.values() if snapshot.rows)
    seen = []
    for name, snapshot in each.raw.items():
        if snapshot.rows:
            seen.append(Observed(each.feed.name, name, snapshot.columns, known))
            broken = known and change(known, snapshot.columns).breaking
            known = dict(snapshot.columns) if broken else known_columns([known, snapshot.columns])
    return seen


def read(table: Table, snapshot: Snapshot) -> pa.Table:
    try:
        return table.read_snapshots([snapshot])
    except (pa.ArrowException, OSError) as err:
        if isinstance(err, ConnectionError | TimeoutError):
            raise
        raise OSError(
            f"{table.path}/{snapshot.file} is damaged or gone ({str(err).splitlines()[0]}). Remove "
            f"{snapshot.partition}.json beside it and materialise raw_data for {snapshot.partition} again."
        ) from err
