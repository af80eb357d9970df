"""Makes the rows of feature views from validated rows and writes them by partition."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.transforms.view import ViewTransform
from mlops_assets.declaration.data import Every
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import EVENT_TIME, SNAPSHOT, Layer
from mlops_assets.domain.partitions import EPOCH, Window, partition_of
from mlops_assets.domain.records import Snapshot
from mlops_assets.resources.lake.lake import Lake

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class FeatureRun:
    """What one run is about."""

    spec: ModelSpec
    windows: Sequence[Window]
    lake: Lake
    now: datetime

    @property
    def start(self) -> datetime:
        """The first moment whose rows may change."""
        return self.windows[0].start or EPOCH

    def write(self, view: str, partition: str, rows: pa.Table, inputs: Mapping[str, str]) -> Snapshot:
        """Make these the view's rows of the partition; `inputs` are the validated partitions they were made from."""
        table = self.lake.table(self.spec.model, Layer.FEATURES, view)
        return table.write(partition, rows, now=self.now, time_column=EVENT_TIME, inputs=inputs)


def write_view(run: FeatureRun, view: str, transform: ViewTransform) -> dict[str, Snapshot]:
    """Compute the view's rows over the validated feeds, and write them by partition."""
    feeds = transform.feeds
    start, end = run.start, run.windows[-1].end or run.now + _INSTANT
    frames = feed_frames(run.spec, feeds, run.lake, start=start - (transform.lookback or timedelta()), end=end)
    rows = pa.Table.from_pandas(transform.function(frames, start, end), preserve_index=False)
    inputs = {path: digest for feed in feeds for path, digest in _inputs(run.spec, feed, run.lake).items()}
    if transform.static:
        return {SNAPSHOT: run.write(view, SNAPSHOT, rows, inputs)}
    return {
        window.partition: run.write(view, window.partition, part, _near(inputs, window, run.spec, transform.lookback))
        for window, part in by_partition(rows, run.windows)
    }


def feed_frames(
    spec: ModelSpec, feeds: Sequence[str], lake: Lake, *, start: datetime, end: datetime
) -> dict[str, pd.DataFrame]:
    """The validated rows of feeds whose partitions touch start <= event < end, as pandas frames."""
    frames = {}
    for feed in feeds:
        table = lake.table(spec.model, Layer.VALIDATED, feed)
        near = [each for each in table.snapshots().values() if _touches(each, start, end)]
        frames[feed] = table.read_snapshots(near or list(table.snapshots().values())[:1]).to_pandas()
    return frames


def by_partition(rows: pa.Table, windows: Sequence[Window]) -> Iterator[tuple[Window, pa.Table]]:
    """The rows of each window. A transform may return its rows in any order; rows of one moment keep theirs."""
    if windows[0].start is None:
        yield windows[0], rows
        return
    times = pc.cast(rows[EVENT_TIME], pa.timestamp("us", "UTC"), safe=False)  # pandas' own unit is nanoseconds
    moments = pc.cast(times, pa.int64()).to_numpy()
    if (moments[1:] < moments[:-1]).any():
        order = np.argsort(moments, kind="stable")
        rows, moments = rows.take(pa.array(order)), moments[order]
    for window in windows:
        ends = [_microseconds(moment) for moment in (window.start, window.end) if moment is not None]
        first, last = np.searchsorted(moments, ends)
        yield window, rows.slice(first, last - first)


def _inputs(spec: ModelSpec, feed: str, lake: Lake) -> dict[str, str]:
    snapshots = lake.table(spec.model, Layer.VALIDATED, feed).snapshots()
    return {f"{Layer.VALIDATED}/{feed}/{name}": snapshot.digest for name, snapshot in snapshots.items()}


def _near(inputs: Mapping[str, str], window: Window, spec: ModelSpec, lookback: timedelta | None) -> dict[str, str]:
    """Of each feed the partitions that the window's rows can have been made from."""
    assert window.start is not None
    names, moment = {window.partition, SNAPSHOT}, window.start - (lookback or timedelta())
    step = timedelta(hours=1) if spec.partitions.every is Every.HOUR else timedelta(days=1)
    while moment < window.start:
        names.add(partition_of(spec.partitions.every, moment))
        moment += step
    return {path: digest for path, digest in inputs.items() if path.rsplit("/", 1)[-1] in names}


def _touches(snapshot: Snapshot, start: datetime, end: datetime) -> bool:
    if snapshot.start is None or snapshot.watermark is None:
        return snapshot.rows > 0
    return (snapshot.watermark >= start and snapshot.start < end) or snapshot.partition == SNAPSHOT


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // _INSTANT
