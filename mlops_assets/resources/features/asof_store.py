"""Feast's offline store over the lake: point-in-time joins by `domain/training_set/asof.py`. Imported by Feast only.

Feast's own file stores drop, repeat or leak rows, or take minutes. What this one promises beyond Feast's
interface:

- a row that became known after the entity's time is never used (Feast asks for that by a flag only);
- features stand in the order they were asked for; entity rows come back all, and in their order;
- an on-demand view sees the columns it declared and no others;
- what is materialised is what a join at that moment would find.

Entity rows are a pandas frame or an Arrow table and are joined in parts, so that `persist` and `to_batches`
hold the views and one part.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from feast import FeatureView, OnDemandFeatureView
from feast.data_source import DataSource
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob, RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel, RepoConfig
from feast.utils import _get_requested_feature_views_to_features_dict
from pydantic import field_validator

from mlops_assets.domain.training_set.asof import ROWS_AT_ONCE, AsOf, AsOfView
from mlops_assets.resources.features.asof_retrieval import (
    Retrieval,
    entity_table,
    event_column,
    file_source,
    located_rows,
)
from mlops_assets.resources.features.asof_rows import RowSource, known_by


class AsOfOfflineStoreConfig(FeastConfigBaseModel):
    """Settings in `feature_store.yaml`."""

    type: Literal["mlops_assets.resources.features.asof_store.AsOfOfflineStore"] = (
        "mlops_assets.resources.features.asof_store.AsOfOfflineStore"
    )
    lake: str  # root of the lake; a source's path is relative to it unless it is absolute or a URL
    rows_at_once: int = ROWS_AT_ONCE

    @field_validator("lake")
    @classmethod
    def _is_set(cls, lake: str) -> str:
        if "$" in lake:
            raise ValueError(f"{lake!r} holds a variable that is not set. Set MLOPS_HOME to an absolute path.")
        return lake


class AsOfJob(RetrievalJob):
    """One retrieval. Nothing is read before the result is asked for."""

    def __init__(
        self,
        result: "Retrieval | _Made",
        metadata: RetrievalMetadata | None = None,
        *,
        full_names: bool = False,
    ) -> None:
        self._result = result
        self._metadata = metadata
        self._full_names = full_names

    @property
    def full_feature_names(self) -> bool:
        return self._full_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        return []  # each part comes with them applied, so none is left for Feast to apply

    @property
    def metadata(self) -> RetrievalMetadata | None:
        return self._metadata

    def to_batches(self) -> Iterator[pa.Table]:
        """The result in parts, in the order of the entity rows."""
        return iter(self._result)

    def persist(self, storage: Any, allow_overwrite: bool = False, timeout: int | None = None) -> None:
        """Write the result to one Parquet file, part by part."""
        if not isinstance(storage, SavedDatasetFileStorage):
            raise TypeError(f"persist to {type(storage).__name__}: use SavedDatasetFileStorage.")
        target = Path(storage.file_options.uri)
        if target.exists() and not allow_overwrite:
            raise FileExistsError(f"{target} exists. Pass allow_overwrite=True, or choose another path.")
        aside = target.with_name(f".{target.name}.part")
        parts = self.to_batches()
        first = next(parts)
        with pq.ParquetWriter(aside, first.schema) as writer:
            writer.write_table(first)
            for part in parts:
                writer.write_table(part)
        aside.replace(target)

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self._result.whole()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self._to_arrow_internal().to_pandas()


class _Made:
    """A result in one part, made when it is asked for."""

    def __init__(self, make: Callable[[], pa.Table]) -> None:
        self.whole = make

    def __iter__(self) -> Iterator[pa.Table]:
        yield self.whole()


class AsOfOfflineStore(OfflineStore):
    """See the module."""

    supports_filter_by_created_timestamp = True

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | pa.Table | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = True,
        **_: Any,
    ) -> RetrievalJob:
        entities = entity_table(entity_df)
        ends = pc.min_max(entities[event_column(entities)]).as_py()
        on_demand = OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry)
        views, on_demand = _get_requested_feature_views_to_features_dict(feature_refs, feature_views, on_demand)
        parts = Retrieval(
            lake=_settings(config).lake,
            rows_at_once=_settings(config).rows_at_once,
            entities=entities,
            views=views,
            on_demand=on_demand,
            refs=feature_refs,
            full_names=full_feature_names,
        )
        metadata = RetrievalMetadata(feature_refs, entities.column_names, ends["min"], ends["max"])
        return AsOfJob(parts, metadata, full_names=full_feature_names)

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> RetrievalJob:
        """The row of each entity that was the best one known at `end_date`."""

        def latest() -> pa.Table:
            rows = _read(config, data_source, join_key_columns, feature_name_columns, start=start_date, end=end_date)
            view = AsOfView(rows, tuple(join_key_columns), timestamp_field, created_timestamp_column, None)
            return _keyed(rows.take(pa.array(AsOf(view).latest())), join_key_columns)

        return AsOfJob(_Made(latest))

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """All rows of the range, as they were known at its end."""

        def everything() -> pa.Table:
            rows = _read(config, data_source, join_key_columns, feature_name_columns, start=start_date, end=end_date)
            return _keyed(rows, join_key_columns)

        return AsOfJob(_Made(everything))

    def validate_data_source(self, config: RepoConfig, data_source: DataSource) -> None:
        """Rows that are there must have the time columns; a table that nobody wrote yet is no error."""
        located = _located(config, data_source)
        columns = located.schema()
        missing = [name for name in (located.event, located.created) if name and name not in columns]
        if columns and missing:
            raise ValueError(f"{located.path}: no column {', '.join(missing)}; it has {', '.join(columns)}.")

    def get_table_column_names_and_types_from_data_source(
        self, config: RepoConfig, data_source: DataSource
    ) -> Iterable[tuple[str, str]]:
        return _located(config, data_source).schema().items()


def _settings(config: RepoConfig) -> AsOfOfflineStoreConfig:
    settings = config.offline_store
    assert isinstance(settings, AsOfOfflineStoreConfig)  # Feast chose this store by them
    return settings


def _located(config: RepoConfig, source: DataSource) -> RowSource:
    return located_rows(_settings(config).lake, file_source(source, source.name))


def _read(
    config: RepoConfig,
    source: DataSource,
    keys: list[str],
    features: list[str],
    *,
    start: datetime | None,
    end: datetime | None,
) -> pa.Table:
    located = _located(config, source)
    rows = located.read([*keys, *features], start, end)
    return rows if end is None else known_by(rows, located.created, end)


def _keyed(rows: pa.Table, keys: list[str]) -> pa.Table:
    """In one chunk, because Feast writes the first one only; with its stand-in key where a view has none."""
    if not keys:
        rows = rows.append_column(DUMMY_ENTITY_ID, pa.repeat(DUMMY_ENTITY_VAL, len(rows)))
    return rows.combine_chunks()
