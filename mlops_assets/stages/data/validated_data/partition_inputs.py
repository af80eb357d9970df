"""Reads what the lake has of a feed that is to be validated."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from mlops_assets.declaration.data import FeedSpec
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.data.checks import listed
from mlops_assets.domain.data.columns import change, known_columns
from mlops_assets.domain.data.schema import PartitionColumns, judge_schema
from mlops_assets.domain.names import SNAPSHOT, Layer
from mlops_assets.domain.partitions import Window, earlier
from mlops_assets.domain.records import Snapshot
from mlops_assets.domain.verdict import Verdict
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.table import Table


@dataclass(frozen=True)
class FeedInputs:
    """What the lake has of one feed for this run, and from before it."""

    spec: ModelSpec
    lake: Lake
    feed: FeedSpec
    windows: Sequence[Window]
    raw: Mapping[str, Snapshot]
    raw_before: Mapping[str, Snapshot]
    validated_before: Mapping[str, Snapshot]

    def table(self, layer: Layer) -> Table:
        """The feed's table of a layer."""
        return self.lake.table(self.spec.model, layer, self.feed.name)


def read_inputs(spec: ModelSpec, feed: FeedSpec, windows: Sequence[Window], lake: Lake) -> FeedInputs:
    """Read the manifests that validation needs. A raw partition that is not there is an error."""
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
    return FeedInputs(spec, lake, feed, windows, raw, raw_table.snapshots(before), accepted)


def judge_columns(spec: ModelSpec, feeds: Sequence[FeedInputs], *, accept: bool) -> Verdict:
    """Judge the columns of every feed before a row is read."""
    return judge_schema(spec, [each for feed in feeds for each in _list_columns(feed)], accept=accept)


def _list_columns(inputs: FeedInputs) -> list[PartitionColumns]:
    """The columns of every partition that has rows, beside those known until then."""
    known = known_columns(snapshot.columns for snapshot in inputs.validated_before.values() if snapshot.rows)
    columns = []
    for name, snapshot in inputs.raw.items():
        if snapshot.rows:
            columns.append(PartitionColumns(inputs.feed.name, name, snapshot.columns, known))
            broken = known and change(known, snapshot.columns).breaking
            known = dict(snapshot.columns) if broken else known_columns([known, snapshot.columns])
    return columns


def read_rows(table: Table, snapshot: Snapshot) -> pa.Table:
    """The rows of a snapshot; the error says how to get a damaged one again."""
    try:
        return table.read_snapshots([snapshot])
    except (pa.ArrowException, OSError) as err:
        if isinstance(err, ConnectionError | TimeoutError):
            raise
        raise OSError(
            f"{table.path}/{snapshot.file} is damaged or gone ({str(err).splitlines()[0]}). Remove "
            f"{snapshot.partition}.json beside it and materialise raw_data for {snapshot.partition} again."
        ) from err
