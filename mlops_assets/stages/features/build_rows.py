"""Makes feature rows from validated rows and writes them by partition. Imported only inside the asset's body."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.transforms.derivation import Derivation, views_of
from mlops_assets.declaration.data import Every
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.data.checks import ONLINE
from mlops_assets.domain.data.columns import ColumnKind, kind_of
from mlops_assets.domain.features.default_features import FeatureError, feature_columns, feature_keys
from mlops_assets.domain.names import CREATED_TIME, EVENT_TIME, SNAPSHOT, Layer
from mlops_assets.domain.partitions import Window, partition_of
from mlops_assets.domain.records import Snapshot
from mlops_assets.domain.verdict import Outcome, Verdict
from mlops_assets.resources.features.store import FeatureStore, UnknownServiceError, service_name
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.table import Table

_NUMBER = "double"
_KEY_TEXT = "string"
_SAMPLE = 40  # rows compared between the stores
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class Derived:
    """What stands in the offline store now."""

    service: str
    since: Mapping[str, datetime]  # view → from which moment on its rows may have changed
    views: Mapping[str, Mapping[str, Snapshot]]  # view → partition → snapshot


def derive(spec: ModelSpec, asked: Sequence[Window], lake: Lake, store: FeatureStore, now: datetime) -> Derived:
    """Write the rows of every view for the partitions asked for, and make the service known to Feast."""
    examples = lake.table(spec.model, Layer.VALIDATED, spec.source.examples)
    start = asked[0].start or _BEGINNING
    if spec.features.service:
        hows = views_of(spec.model)
        views = {view: _write(spec, view, how, asked, lake, now) for view, how in hows.items()}
        since = {view: _BEGINNING if how.static else start for view, how in hows.items()}
        service = store.apply(spec, {}, {})
    else:
        columns, keys = _declared(spec, examples, store)
        service = store.apply(spec, columns, keys)
        views = {service: _write_columns(spec, service, columns, keys, examples, asked, lake, now)}
        since = {service: start}
    return Derived(service, since, views)


def bring_online(derived: Derived, store: FeatureStore, now: datetime) -> dict[str, datetime]:
    """Online values up to now; returns until when each view stands."""
    until: dict[str, datetime] = {}
    for moment in sorted(set(derived.since.values())):
        names = [view for view, since in derived.since.items() if since == moment]
        until |= store.materialize(derived.service, moment, now, names)
    return until


def compare(spec: ModelSpec, derived: Derived, lake: Lake, store: FeatureStore, now: datetime) -> Verdict:
    """Offline against online for the latest examples, value by value."""
    if away := [view.name for view in store.views(derived.service) if not view.online]:
        reason = f"Not applicable: {', '.join(away)} has no online values (online=False), so nothing can be compared."
        return Verdict(ONLINE, Outcome.INCONCLUSIVE, reason, {})
    rows = lake.table(spec.model, Layer.VALIDATED, spec.source.examples).read()
    rows = rows.filter(pc.less_equal(rows[EVENT_TIME], pa.scalar(now, rows[EVENT_TIME].type)))
    wanted = [column for column in store.lookup_fields(derived.service) if column in rows.column_names]
    latest = rows.take(pc.sort_indices(rows[EVENT_TIME])[-_SAMPLE:]).select(wanted).drop_null()
    return store.compare_online(derived.service, latest.to_pylist(), now)


def feed_frames(
    spec: ModelSpec, feeds: Sequence[str], lake: Lake, start: datetime, end: datetime
) -> dict[str, pd.DataFrame]:
    """The validated rows of feeds whose partitions touch start <= event < end, as pandas frames."""
    frames = {}
    for feed in feeds:
        table = lake.table(spec.model, Layer.VALIDATED, feed)
        near = [each for each in table.snapshots().values() if _touches(each, start, end)]
        frames[feed] = table.read_snapshots(near or list(table.snapshots().values())[:1]).to_pandas()
    return frames


def _write(
    spec: ModelSpec, view: str, how: Derivation, asked: Sequence[Window], lake: Lake, now: datetime
) -> dict[str, Snapshot]:
    start, end = asked[0].start or _BEGINNING, asked[-1].end or now + _INSTANT
    frames = feed_frames(spec, how.feeds, lake, start - (how.lookback or timedelta()), end)
    rows = pa.Table.from_pandas(how.function(frames, start, end), preserve_index=False)
    table = lake.table(spec.model, Layer.FEATURES, view)
    inputs = {feed: _inputs(spec, feed, lake) for feed in how.feeds}
    if how.static:
        return {SNAPSHOT: _put(table, SNAPSHOT, rows, {k: v for f in inputs.values() for k, v in f.items()}, now)}
    return {
        window.partition: _put(table, window.partition, part, _near(inputs, window, spec, how.lookback), now)
        for window, part in by_partition(rows, asked)
    }


def _write_columns(
    spec: ModelSpec,
    view: str,
    columns: Mapping[str, str],
    keys: Mapping[str, str],
    examples: Table,
    asked: Sequence[Window],
    lake: Lake,
    now: datetime,
) -> dict[str, Snapshot]:
    """A row's own columns are known at its own moment: they come with the request."""
    table = lake.table(spec.model, Layer.FEATURES, view)
    written = {}
    for window in asked:
        rows = examples.read([window.partition])
        part = _own_columns(rows, {**keys, **columns}) if len(rows) else rows
        snapshot = examples.snapshot(window.partition)
        inputs = {f"{Layer.VALIDATED}/{spec.source.examples}/{window.partition}": snapshot.digest} if snapshot else {}
        written[window.partition] = _put(table, window.partition, part, inputs, now)
    return written


def _own_columns(rows: pa.Table, types: Mapping[str, str]) -> pa.Table:
    """Feature columns and keys in the types that the service has; a column that this partition lacks is null."""
    moments = rows[EVENT_TIME]
    columns = {name: _column(rows, name, kind) for name, kind in types.items()}
    return pa.table({**columns, EVENT_TIME: moments, CREATED_TIME: moments})


def _column(rows: pa.Table, name: str, kind: str) -> pa.ChunkedArray | pa.Array:
    wanted = pa.type_for_alias(kind) if kind in (_KEY_TEXT, _NUMBER) else None
    if name not in rows.column_names:
        return pa.nulls(len(rows), wanted)
    return rows[name] if wanted is None else pc.cast(rows[name], wanted, safe=False)


def by_partition(rows: pa.Table, asked: Sequence[Window]) -> Iterator[tuple[Window, pa.Table]]:
    """The rows of each window. A transform may return its rows in any order; rows of one moment keep theirs."""
    if asked[0].start is None:
        yield asked[0], rows
        return
    times = pc.cast(rows[EVENT_TIME], pa.timestamp("us", "UTC"), safe=False)  # pandas' own unit is nanoseconds
    moments = pc.cast(times, pa.int64()).to_numpy()
    if (moments[1:] < moments[:-1]).any():
        order = np.argsort(moments, kind="stable")
        rows, moments = rows.take(pa.array(order)), moments[order]
    for window in asked:
        ends = [_microseconds(moment) for moment in (window.start, window.end) if moment is not None]
        first, last = np.searchsorted(moments, ends)
        yield window, rows.slice(first, last - first)


def _declared(spec: ModelSpec, examples: Table, store: FeatureStore) -> tuple[dict[str, str], dict[str, str]]:
    """Feature columns and keys with their types, over all partitions there are."""
    types: dict[str, str] = {}
    for snapshot in examples.snapshots().values():
        types |= {name: kind for name, kind in snapshot.columns.items() if kind != "null" or name not in types}
    columns, keys = feature_columns(spec, types), feature_keys(spec)
    if missing := [name for name in keys if name not in types]:
        raise FeatureError(
            f"features.entity: {', '.join(missing)} not among the columns of {spec.source.examples}: {', '.join(types)}"
        )
    features = {name: _feature_type(types[name]) for name in _as_applied(spec, columns, store)}
    return features, {name: _key_type(spec, types[name]) for name in keys}


def _as_applied(spec: ModelSpec, columns: Sequence[str], store: FeatureStore) -> Sequence[str]:
    """Where no columns are declared, one that the source adds later waits for the next `features.version`."""
    try:
        applied = store.inputs(service_name(spec))
    except UnknownServiceError:
        return columns
    return applied if not spec.features.columns and set(applied) <= set(columns) else columns


def _feature_type(kind: str) -> str:
    """A number is a number: whether all of those so far are whole must not decide what a service means."""
    return _NUMBER if kind_of(kind) is ColumnKind.NUMBER else kind


def _key_type(spec: ModelSpec, kind: str) -> str:
    """Feast knows whole numbers and texts as keys. A row that brings its own features may have any key, as text."""
    fits = spec.features.entity or kind.startswith(("int", "uint")) or kind_of(kind) is ColumnKind.TEXT
    return kind if fits else _KEY_TEXT


def _inputs(spec: ModelSpec, feed: str, lake: Lake) -> dict[str, str]:
    snapshots = lake.table(spec.model, Layer.VALIDATED, feed).snapshots()
    return {f"{Layer.VALIDATED}/{feed}/{name}": snapshot.digest for name, snapshot in snapshots.items()}


def _near(
    inputs: Mapping[str, Mapping[str, str]], window: Window, spec: ModelSpec, lookback: timedelta | None
) -> dict[str, str]:
    """Of each feed the partitions that the window's rows can have been made from."""
    assert window.start is not None
    names, moment = {window.partition, SNAPSHOT}, window.start - (lookback or timedelta())
    step = timedelta(hours=1) if spec.partitions.every is Every.HOUR else timedelta(days=1)
    while moment < window.start:
        names.add(partition_of(spec.partitions.every, moment))
        moment += step
    return {
        path: digest for feed in inputs.values() for path, digest in feed.items() if path.rsplit("/", 1)[-1] in names
    }


def _put(table: Table, partition: str, rows: pa.Table, inputs: Mapping[str, str], now: datetime) -> Snapshot:
    return table.write(partition, rows, now=now, time_column=EVENT_TIME, inputs=inputs)


def _touches(snapshot: Snapshot, start: datetime, end: datetime) -> bool:
    if snapshot.start is None or snapshot.watermark is None:
        return snapshot.rows > 0
    return (snapshot.watermark >= start and snapshot.start < end) or snapshot.partition == SNAPSHOT


def _microseconds(moment: datetime) -> int:
    return (moment - _BEGINNING) // _INSTANT
