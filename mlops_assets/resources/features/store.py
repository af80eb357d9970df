"""The feature store: Feast, opened with this deployment's places. Feast is imported when it is first used.

A model's feature service is `<service>_v<version>`. It is applied once and never altered: what a model was
trained on has to mean the same for as long as the model lives.
"""

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.features.parity import compare_rows
from mlops_assets.domain.verdict import Verdict
from mlops_assets.resources.features.lookup import (
    inputs_as_they_stand,
    is_on_demand,
    request_fields,
    usable,
    with_every_key,
)

if TYPE_CHECKING:
    import feast
    import pyarrow as pa


@dataclass(frozen=True)
class ServiceView:
    """A view of a service that has rows in the lake. On-demand views have none."""

    name: str
    keys: tuple[str, ...]
    features: tuple[str, ...]  # those that the service uses
    ttl: timedelta | None
    online: bool
    materialized_until: datetime | None


class UnknownServiceError(LookupError):
    """A feature service that nobody has applied."""


def service_name(spec: ModelSpec) -> str:
    """The Feast feature service of the version that the model declares."""
    return f"{spec.features.service or spec.model}_v{spec.features.version}"


class FeatureStore(dg.ConfigurableResource["FeatureStore"]):
    """Feature views and services over the lake, and their online values."""

    repo: str  # folder of the Feast repository; its name is that of the Python package
    home: str  # folder of what Feast keeps: `declared/` and, unless it is told otherwise, its databases
    lake: str  # root of the lake
    online_store: str  # sqlite:///<path>, redis://… or rediss://…
    registry: str  # SQL URL

    def apply(self, spec: ModelSpec, columns: Mapping[str, str], keys: Mapping[str, str]) -> str:
        """Make the model's service and views known to Feast; returns the service's name.

        Views of a model that lists columns are made from `columns` and `keys` (name → Arrow type); a
        hand-written module needs neither. Raises ValueError where a service that was applied before would
        change.
        """
        service = service_name(spec)
        if spec.features.service:
            objects = self._feast.written_objects(self.repo, spec.model, service)
        else:
            objects = self._feast.declared_objects(self.repo, self.home, _declaration(spec, columns, keys))
        if self._feast.is_applied(self._store, service, objects):
            return service
        self._store.apply(objects)
        self._store.refresh_registry()
        return service

    def views(self, service: str) -> tuple[ServiceView, ...]:
        """The views that the service reads from the lake, in its order."""
        found = self._service(service)
        views = [(self._view(projection.name), projection) for projection in found.feature_view_projections]
        return tuple(
            ServiceView(
                name=view.name,
                keys=tuple(view.join_keys),
                features=tuple(field.name for field in projection.features),
                ttl=view.ttl or None,
                online=view.online,
                materialized_until=view.most_recent_end_time,
            )
            for view, projection in views
            if not is_on_demand(view)
        )

    def inputs(self, service: str) -> tuple[str, ...]:
        """The model's inputs in order: columns of the request that count as they stand, then features."""
        found = self._service(service)
        features = (field.name for view in found.feature_view_projections for field in view.features)
        return (*inputs_as_they_stand(found.tags), *features)

    def lookup_fields(self, service: str) -> tuple[str, ...]:
        """What an online lookup has to be given: join keys, and what on-demand views compute from."""
        found = self._service(service)
        views = [self._view(projection.name) for projection in found.feature_view_projections]
        fields = (name for view in views if is_on_demand(view) for name in request_fields(view))
        keys = (key for view in self.views(service) for key in view.keys)
        return tuple(dict.fromkeys((*keys, *fields)))

    def training_frame(self, service: str, entities: "pa.Table") -> "pa.Table":
        """All entity rows in their order, with every feature of the service as it was known at their time."""
        return self._store.get_historical_features(entities, self._service(service)).to_arrow()

    def materialize(
        self, service: str, start: datetime, as_of: datetime, views: Sequence[str] | None = None
    ) -> dict[str, datetime]:
        """Bring online values up to `as_of` for what changed since `start`; returns where each view stands.

        An old partition that is made again does not put old values in the place of newer ones: the end is
        never before the one that a view was brought up to earlier. A view whose rows all lie before `start`,
        such as one that does not change with time, is brought up from its latest row on.
        """
        until = {}
        for view in self.views(service):
            latest = self.watermark(view.name)
            if latest is None or not view.online or (views is not None and view.name not in views):
                continue
            end = max(as_of, view.materialized_until or as_of)
            with redirect_stdout(io.StringIO()):  # Feast prints what it is about to do
                self._store.materialize(min(start, latest), end, [view.name])
            until[view.name] = end
        return until

    def online(self, service: str, rows: Sequence[Mapping[str, Any]], as_of: datetime) -> dict[str, list[Any]]:
        """The features of each row (keys and request fields) from the online store.

        None where a key is missing, or where at `as_of` a value is older than its view's ttl.
        """
        missing = [view.name for view in self.views(service) if not view.online]
        if missing:
            raise ValueError(f"{service}: {', '.join(missing)} has no online values. Declare features.entity.")
        views = self.views(service)
        complete = with_every_key(rows, self._key_types(views))
        answer = self._store.get_online_features(self._service(service), complete)
        values_by_name = answer.to_dict(include_event_timestamps=True)
        lookups = {name: (view.keys, view.ttl) for view in views for name in view.features}
        values = {}
        for view in self._service(service).feature_view_projections:
            for name in (field.name for field in view.features):
                keys, ttl = lookups.get(name, ((), None))
                values[name] = usable(
                    values_by_name[name], values_by_name[f"{name}__ts"], rows, keys=keys, ttl=ttl, as_of=as_of
                )
        return values

    def compare_online(self, service: str, rows: Sequence[Mapping[str, Any]], as_of: datetime) -> Verdict:
        """Whether the online store answers for each row what the offline join gives at `as_of`."""
        from mlops_assets.resources.features.asof_retrieval import entities_at

        offline = self.training_frame(service, entities_at(rows, as_of))
        online = self.online(service, rows, as_of)
        return compare_rows({name: offline[name].to_pylist() for name in online}, online)

    def watermark(self, view: str) -> datetime | None:
        """The latest event time among the view's rows in the lake; None where there are none."""
        from mlops_assets.resources.features.asof_retrieval import located_rows

        return located_rows(self.lake, self._view(view).batch_source).watermark()

    @property
    def _store(self) -> "feast.FeatureStore":
        from mlops_assets.resources.features.config import open_store

        return open_store(self.repo, self.home, lake=self.lake, online_store=self.online_store, registry=self.registry)

    @property
    def _feast(self):
        """How Feast's objects are made and found; Feast is imported when this is first used."""
        from mlops_assets.resources.features import service_objects

        return service_objects

    def _service(self, name: str) -> "feast.FeatureService":
        return self._feast.find_service(self._store, name)

    def _view(self, name: str) -> Any:
        return self._feast.find_view(self._store, name)

    def _key_types(self, views: Sequence[ServiceView]) -> dict[str, str]:
        columns = (field for view in views for field in self._view(view.name).entity_columns)
        return {field.name: str(field.dtype) for field in columns}


def _declaration(spec: ModelSpec, columns: Mapping[str, str], keys: Mapping[str, str]) -> dict[str, Any]:
    """What the views of a model that lists columns are made from."""
    ttl = spec.features.ttl
    return {
        "model": spec.model,
        "service": service_name(spec),
        "columns": dict(columns),
        "keys": dict(keys),
        "ttl": None if ttl is None else ttl.total_seconds(),
        "online": bool(spec.features.entity),
    }
