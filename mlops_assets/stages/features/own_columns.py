"""Features that are a row's own columns: they come with the request, so they are known at the row's own moment."""

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.data.columns import ColumnKind, kind_of
from mlops_assets.domain.features.default_features import FeatureError, feature_columns, feature_keys
from mlops_assets.domain.names import CREATED_TIME, EVENT_TIME, Layer
from mlops_assets.domain.records import Snapshot
from mlops_assets.resources.features.store import FeatureStore, UnknownServiceError, service_name
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.stages.features.build_rows import FeatureRun

_NUMBER = "double"
_KEY_TEXT = "string"


def write_own_columns(run: FeatureRun, view: str, types: Mapping[str, str]) -> dict[str, Snapshot]:
    """Write the columns of each partition's examples in the types that the service has."""
    examples = run.lake.table(run.spec.model, Layer.VALIDATED, run.spec.source.examples)
    written = {}
    for name in (window.partition for window in run.windows):
        rows, snapshot = examples.read([name]), examples.snapshot(name)
        part = _own_columns(rows, types) if len(rows) else rows
        inputs = {f"{Layer.VALIDATED}/{run.spec.source.examples}/{name}": snapshot.digest} if snapshot else {}
        written[name] = run.write(view, name, part, inputs)
    return written


def declared_columns(spec: ModelSpec, lake: Lake, store: FeatureStore) -> tuple[dict[str, str], dict[str, str]]:
    """Feature columns and keys with their types, over all partitions there are."""
    types: dict[str, str] = {}
    examples = lake.table(spec.model, Layer.VALIDATED, spec.source.examples)
    for snapshot in examples.snapshots().values():
        types |= {name: kind for name, kind in snapshot.columns.items() if kind != "null" or name not in types}
    columns, keys = feature_columns(spec, types), feature_keys(spec)
    if missing := [name for name in keys if name not in types]:
        raise FeatureError(
            f"features.entity: {', '.join(missing)} not among the columns of {spec.source.examples}: {', '.join(types)}"
        )
    features = {name: _feature_type(types[name]) for name in _as_applied(spec, columns, store)}
    return features, {name: _key_type(spec, types[name]) for name in keys}


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
