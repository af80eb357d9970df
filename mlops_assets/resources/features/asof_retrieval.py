"""One historical retrieval: entity rows with every feature asked for, part by part."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureView, FileSource, OnDemandFeatureView
from feast.data_source import DataSource
from feast.feature_view import DUMMY_ENTITY_ID
from feast.types import from_feast_to_pyarrow_type

from mlops_assets.domain.names import EVENT_TIME
from mlops_assets.domain.training_set.asof import AsOfView, Beside, asof_join, asof_parts
from mlops_assets.domain.training_set.asof_keys import single_array
from mlops_assets.resources.features.asof_rows import MICROSECONDS, RowSource


@dataclass(frozen=True)
class Retrieval:
    """The result, whole or in parts; each time it is asked for, the views are read anew."""

    lake: str
    rows_at_once: int
    entities: pa.Table
    views: Mapping[FeatureView, Sequence[str]]
    on_demand: Mapping[OnDemandFeatureView, Sequence[str]]
    refs: Sequence[str]  # "view:feature" in the order asked for
    full_names: bool

    def whole(self) -> pa.Table:
        joined = asof_join(self.entities, self._time, self._read(), rows_at_once=self.rows_at_once)
        starts = range(0, max(len(joined), 1), self.rows_at_once)
        return pa.concat_tables(self._finished(joined.slice(start, self.rows_at_once)) for start in starts)

    def __iter__(self) -> Iterator[pa.Table]:
        parts = asof_parts(self.entities, self._time, self._read(), rows_at_once=self.rows_at_once)
        return (self._finished(part) for part in parts)

    def _read(self) -> Iterator[Beside]:
        return (self._beside(view, names) for view, names in self.views.items())

    def _finished(self, part: pa.Table) -> pa.Table:
        return self._with_on_demand(part).select([*self.entities.column_names, *self._order()])

    @cached_property
    def _time(self) -> str:
        return event_column(self.entities)

    def _beside(self, view: FeatureView, names: Sequence[str]) -> Beside:
        source = file_source(view.batch_source, view.name)
        keys = _keys(view)
        self._require(keys.values(), view.name)
        in_source = {feature: column for column, feature in (source.field_mapping or {}).items()}
        stored = {name: in_source.get(name, name) for name in (*keys, *names)}
        located = located_rows(self.lake, source)
        rows = _typed(located.read(list(stored.values()), *self._reach(view)), view, stored)
        return Beside(
            AsOfView(rows, tuple(stored[key] for key in keys), located.event, located.created, view.ttl),
            tuple(keys.values()),
            tuple((stored[name], self._result_name(view, name)) for name in names),
        )

    def _reach(self, view: FeatureView) -> tuple[datetime | None, datetime | None]:
        """The event times that can matter to these entity rows."""
        ends = pc.min_max(self.entities[self._time]).as_py()
        first = ends["min"] - view.ttl if view.ttl and ends["min"] is not None else None
        return first, ends["max"]

    def _require(self, columns: Iterable[str], view: str) -> None:
        known = [*self.entities.column_names, *self._order()]
        missing = [name for name in columns if name not in known]
        if missing:
            raise ValueError(
                f"view {view!r} needs {', '.join(missing)}, which the entity rows lack; "
                f"they have {', '.join(self.entities.column_names)}."
            )

    def _with_on_demand(self, part: pa.Table) -> pa.Table:
        for view, names in self.on_demand.items():
            declared = _declared(view, part)
            self._require(declared, view.name)
            computed = _computed(view, part.select(declared), self.full_names)
            types = {field.name: from_feast_to_pyarrow_type(field.dtype) for field in view.features}
            for name in names:
                result = self._result_name(view, name)
                part = part.append_column(result, computed[result].cast(types[name]))
        return part

    def _order(self) -> list[str]:
        by_name = {view.projection.name_to_use(): view for view in (*self.views, *self.on_demand)}
        pairs = (ref.split(":", 1) for ref in self.refs)
        return [self._result_name(by_name[view], feature) for view, feature in pairs]

    def _result_name(self, view: FeatureView | OnDemandFeatureView, name: str) -> str:
        return f"{view.projection.name_alias or view.name}__{name}" if self.full_names else name


def located_rows(lake: str, source: FileSource) -> RowSource:
    """Where a source's rows lie: a relative path is one of the lake."""
    path = source.path
    relative = not (path.startswith("/") or "://" in path)
    return RowSource(
        path=f"{lake.rstrip('/')}/{path}" if relative else path,
        event=source.timestamp_field or EVENT_TIME,
        created=source.created_timestamp_column or None,
    )


def file_source(source: DataSource | None, view: str) -> FileSource:
    if not isinstance(source, FileSource):
        raise TypeError(f"{view}: its source is {type(source).__name__}. This store reads FileSource only.")
    return source


def entity_table(entities: pd.DataFrame | pa.Table | Any) -> pa.Table:
    """The entity rows as Arrow; a pandas index is not part of them."""
    if isinstance(entities, pa.Table):
        return entities
    if isinstance(entities, pd.DataFrame):
        return pa.Table.from_pandas(entities, preserve_index=False).replace_schema_metadata(None)
    raise TypeError(
        f"the entity rows are {type(entities).__name__}. Give a pandas frame or an Arrow table; "
        "SQL and retrieval without entity rows are not offered by this store."
    )


def entities_at(rows: Sequence[Mapping[str, Any]], moment: datetime) -> pa.Table:
    """Entity rows that are all about one moment."""
    times = pa.array([moment] * len(rows), MICROSECONDS)
    return pa.Table.from_pylist([dict(row) for row in rows]).append_column(EVENT_TIME, times)


def event_column(entities: pa.Table) -> str:
    """The column that says which moment a row is about."""
    if EVENT_TIME in entities.column_names:
        return EVENT_TIME
    times = [field.name for field in entities.schema if pa.types.is_timestamp(field.type)]
    if len(times) == 1:
        return times[0]
    raise ValueError(
        f"the entity rows need a time column, best called {EVENT_TIME!r}; found {', '.join(times) or 'none'}."
    )


def _keys(view: FeatureView) -> dict[str, str]:
    """The view's join keys, each with the entity rows' column that it is looked up by."""
    renamed = view.projection.join_key_map
    names = [field.name for field in view.entity_columns if field.name != DUMMY_ENTITY_ID]
    return {name: renamed.get(name, name) for name in names}


def _typed(rows: pa.Table, view: FeatureView, stored: Mapping[str, str]) -> pa.Table:
    """A column that so far holds nothing but nulls gets the type that the view declares."""
    for field in view.features:
        column = stored.get(field.name)
        if column is not None and pa.types.is_null(rows.schema.field(column).type):
            nulls = rows[column].cast(from_feast_to_pyarrow_type(field.dtype))
            rows = rows.set_column(rows.schema.get_field_index(column), column, nulls)
    return rows


def _computed(view: OnDemandFeatureView, rows: pa.Table, full_names: bool) -> pa.Table:
    """The view's columns. Online it sees one row at a time, so a value that repeats is computed once."""
    if rows.num_columns != 1:
        return view.transform_arrow(rows, full_names)
    values = single_array(rows.column(0)).dictionary_encode("encode")
    distinct = pa.table([values.dictionary], rows.column_names)
    return view.transform_arrow(distinct, full_names).take(values.indices)


def _declared(view: OnDemandFeatureView, part: pa.Table) -> list[str]:
    """The columns that an on-demand view asked for, by short or full name."""
    requested = [field.name for source in view.source_request_sources.values() for field in source.schema]
    from_views = [
        name
        for projection in view.source_feature_view_projections.values()
        for field in projection.features
        for name in (field.name, f"{projection.name_to_use()}__{field.name}")
        if name in part.column_names
    ]
    return list(dict.fromkeys(requested + from_views))
