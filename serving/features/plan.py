"""What a feature service needs and gives: read once from Feast's registry, then plain values.

Imports no Feast: it is given the store.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from serving.problems import Problem

Row = Mapping[str, Any]


@dataclass(frozen=True)
class PlannedView:
    """One table of the online store."""

    name: str
    keys: tuple[str, ...]
    features: tuple[str, ...]
    ttl: float | None  # seconds

    def key(self, row: Row) -> tuple[str, ...]:
        return (self.name, *(str(row[key]) for key in self.keys))

    def usable(self, row: Row, second: float, now: float) -> bool:
        """Is there a value, and is it fresh? Event times are kept in whole seconds."""
        there = second > 0 and all(row[key] is not None for key in self.keys)
        return there and (self.ttl is None or second >= int(now - self.ttl))


@dataclass(frozen=True)
class Plan:
    service: str
    views: tuple[PlannedView, ...]
    asked: Mapping[str, str]  # keys and request fields → Feast's type
    computed: tuple[str, ...]  # features of on-demand views
    compute_views: tuple[Callable[[dict[str, Any]], dict[str, Any]], ...]

    def problems(self, rows: Sequence[Row]) -> list[Problem]:
        found = []
        for index, row in enumerate(rows):
            for name, kind in self.asked.items():
                if name not in row:
                    found.append(Problem(name, index, "is missing; features are looked up by it"))
                elif not _fits(row[name], kind):
                    found.append(Problem(name, index, f"must be {_WHAT.get(kind, kind)}, or null"))
        return found

    def request(self, row: Row) -> dict[str, Any]:
        """What Feast is asked for one row."""
        return {name: _converted(row[name], kind) for name, kind in self.asked.items()}

    def with_every_key(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """Feast fails on a missing key; what it finds for the stand-in is not used."""
        keys = {key for view in self.views for key in view.keys}
        stand_ins = {key: 0 if self.asked[key].startswith("Int") else "" for key in keys}
        return [
            {name: stand_ins[name] if value is None and name in stand_ins else value for name, value in row.items()}
            for row in rows
        ]

    def compute(self, row: Row) -> dict[str, Any]:
        """The on-demand features of one row, without the store."""
        found: dict[str, Any] = {}
        for transform in self.compute_views:
            columns = transform({name: [value] for name, value in row.items()})
            found |= {name: columns[name][0] for name in self.computed if name in columns}
        return found


_WHAT = {"String": "text", "Int64": "a whole number", "UnixTimestamp": "a time, as ISO 8601 with its zone"}


def _fits(value: Any, kind: str) -> bool:
    if value is None:
        return True
    if kind == "String":
        return isinstance(value, str) and len(value) <= 1_000
    if kind.startswith("Int"):
        return type(value) is int and abs(value) < 2**63
    if kind == "UnixTimestamp":
        return _time(value) is not None
    return isinstance(value, int | float | bool)


def _converted(value: Any, kind: str) -> Any:
    return _time(value) if kind == "UnixTimestamp" and value is not None else value


def _time(value: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
        return found.astimezone(UTC) if isinstance(found, datetime) and found.tzinfo else None
    except (ValueError, OverflowError):
        return None


def read_plan(store: Any, service: str) -> Plan:
    """The plan of a feature service, from the registry."""
    found = store.get_feature_service(service)
    views, asked, computed, transforms = [], {}, [], []
    for projection in found.feature_view_projections:
        view = store.registry.get_any_feature_view(projection.name, store.project)
        features = tuple(field.name for field in projection.features)
        if hasattr(view, "source_request_sources"):
            computed += features
            transforms.append(view.transform_dict)
            for source in view.source_request_sources.values():
                asked |= {field.name: str(field.dtype) for field in source.schema}
        else:
            ttl = view.ttl.total_seconds() if view.ttl else None
            views.append(PlannedView(view.name, tuple(view.join_keys), features, ttl))
            asked |= {field.name: str(field.dtype) for field in view.entity_columns}
    return Plan(service, tuple(views), asked, tuple(computed), tuple(transforms))
