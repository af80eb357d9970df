"""One lookup in the online store: what Feast's `get_online_features` answers, with less ado where that is the same.

Feast packs what its store found into a message, value by value, and unpacks it again: more than half of a lookup.
The direct way asks the same store through its interface (`online_read`) and takes the values as they are. It is
taken for services whose every part is known to mean the same, and only after it gave the same as Feast once, on
rows of a real request; until then, and otherwise, Feast's own answer stands.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import feast
from feast.infra.provider import get_provider
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.type_map import feast_value_type_to_python_type, python_values_to_proto_values
from feast.value_type import ValueType

SECOND = "__ts"  # behind a feature's name: when its value was true, in whole seconds since 1970; 0: there is none
_PLAIN = frozenset(
    {ValueType.DOUBLE, ValueType.FLOAT, ValueType.INT64, ValueType.INT32, ValueType.BOOL, ValueType.STRING}
)
_log = logging.getLogger("serving.features.online")

Row = Mapping[str, Any]
Found = dict[str, list[Any]]  # feature, and its second → one value for each row
Read = Callable[[Sequence[Row]], Found]
Way = Callable[[feast.FeatureStore, feast.FeatureService], Read | None]


class Lookup:
    """Looks up one feature service. Not for several threads."""

    def __init__(self, store: feast.FeatureStore, service: str, way: Way | None = None) -> None:
        self._store, self._service = store, store.get_feature_service(service)
        self._direct = (way or direct_way)(store, self._service)
        self._agreed = False

    def __call__(self, rows: Sequence[Row]) -> Found:
        if self._agreed and self._direct:
            return self._direct(rows)
        answer = self._store.get_online_features(self._service, [dict(row) for row in rows])
        found = answer.to_dict(include_event_timestamps=True)
        self._agreed = self._direct is not None and _agrees(self._direct, rows, found)
        return found


def _agrees(direct: Read, rows: Sequence[Row], found: Found) -> bool:
    """To the type and the last bit; a lookup that found nothing shows nothing."""
    try:
        mine = direct(rows)
    except Exception:  # noqa: BLE001 - whatever another release of Feast makes of it
        _log.warning("the direct way to the online store fails; Feast's own is taken", exc_info=True)
        return False
    if not any(any(column) for name, column in mine.items() if name.endswith(SECOND)):
        return False
    differ = [name for name, column in mine.items() if repr(column) != repr(found.get(name))]
    if differ:
        _log.warning("the direct way to the online store differs in %s; Feast's own is taken", ", ".join(differ))
    return not differ


class _View(NamedTuple):
    table: feast.FeatureView
    keys: Mapping[str, ValueType]
    features: tuple[str, ...]


class _Computed(NamedTuple):
    view: feast.OnDemandFeatureView
    features: Mapping[str, ValueType]


class _Direct:
    def __init__(self, store: feast.FeatureStore, views: Sequence[_View], computed: Sequence[_Computed]) -> None:
        self._provider, self._config = get_provider(store.config), store.config
        self._views, self._computed = views, computed
        self._kinds = {name: kind for view in views for name, kind in view.keys.items()}

    def __call__(self, rows: Sequence[Row]) -> Found:
        found: Found = {}
        for view in self._views:
            found |= self._read(view, rows)
        if self._computed:
            given = {name: self._through([row[name] for row in rows], self._kinds.get(name)) for name in rows[0]}
            for view, features in self._computed:
                columns = view.transform_dict(given)
                found |= {name: self._through(columns[name], kind) for name, kind in features.items()}
        return found

    def _read(self, view: _View, rows: Sequence[Row]) -> Found:
        asked = [tuple([row[key] for key in view.keys]) for row in rows]
        distinct = list(dict.fromkeys(asked))
        columns = [
            python_values_to_proto_values(list(column), kind)
            for column, kind in zip(zip(*distinct, strict=True), view.keys.values(), strict=True)
        ]
        names = list(view.keys)
        keys = [EntityKey(join_keys=names, entity_values=values) for values in zip(*columns, strict=True)]
        # Redis adds a name of its own to the list that it is given.
        answers = self._provider.online_read(self._config, view.table, keys, list(view.features))
        seconds, values = {}, {}
        for key, (moment, given) in zip(distinct, answers, strict=True):
            seconds[key] = int(moment.timestamp()) if moment else 0
            values[key] = {name: _plain(value) for name, value in given.items()} if given else {}
        when = [seconds[key] for key in asked]
        found: Found = {name: [values[key].get(name) for key in asked] for name in view.features}
        return found | {f"{name}{SECOND}": when for name in view.features}

    @staticmethod
    def _through(column: list[Any], kind: ValueType | None) -> list[Any]:
        """The values as Feast's messages keep them: times in whole seconds, say."""
        packed = python_values_to_proto_values(column, kind or ValueType.UNKNOWN)
        return [feast_value_type_to_python_type(value) for value in packed]


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("val")
    return getattr(value, kind) if kind else None


def direct_way(store: feast.FeatureStore, service: feast.FeatureService) -> Read | None:
    """None where the service has a part that only Feast itself knows how to read."""
    views, computed = [], []
    for projection in service.feature_view_projections:
        view = store.registry.get_any_feature_view(projection.name, store.project)
        names = tuple(field.name for field in projection.features)
        if projection.name_alias or projection.join_key_map or projection.version_tag is not None:
            return None
        if type(view) is feast.FeatureView and _PLAIN.issuperset(_kinds(view.features).values()):
            views.append(_View(view, _kinds(view.entity_columns), names))
        elif isinstance(view, feast.OnDemandFeatureView) and _computes_from_the_request(view):
            kinds = _kinds(view.schema)
            computed.append(_Computed(view, {name: kinds[name] for name in names}))
        else:
            return None
    keys = {pair for view in views for pair in view.keys.items()}
    clear = all(view.keys for view in views) and len(keys) == len(dict(keys))  # a key has one type everywhere
    return _Direct(store, views, computed) if views and clear and not service.precompute_online else None


def _kinds(fields: Sequence[feast.Field]) -> Mapping[str, ValueType]:
    return {field.name: field.dtype.to_value_type() for field in fields}


def _computes_from_the_request(view: feast.OnDemandFeatureView) -> bool:
    other = view.source_feature_view_projections or view.aggregations or view.singleton or view.write_to_online_store
    return view.mode == "python" and not other
