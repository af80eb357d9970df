"""Feast objects for models that only list columns, made from a declaration: such a model needs no Python.

A declaration is a small JSON file that the pipeline writes when it applies a service; see `declared.py`.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NotRequired, TypedDict

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Bool, FeastType, Float64, Int64, String, UnixTimestamp


class Declaration(TypedDict):
    model: str
    service: str  # also the view's name
    columns: dict[str, str]  # name → Arrow type
    keys: dict[str, str]
    ttl: NotRequired[float | None]  # seconds
    online: bool


def tabular_objects(declaration: Declaration) -> list[Any]:
    """Entities, view and service of one declaration."""
    _check(declaration)
    entities = [_entity(name, kind) for name, kind in declaration["keys"].items()]
    ttl = declaration.get("ttl")
    view = FeatureView(
        name=declaration["service"],
        entities=entities,
        ttl=None if ttl is None else timedelta(seconds=ttl),
        schema=[Field(name=name, dtype=feast_type(kind)) for name, kind in declaration["columns"].items()],
        source=FileSource(
            name=declaration["service"],
            path=f"{declaration['model']}/features/{declaration['service']}",
            timestamp_field="event_timestamp",
            created_timestamp_column="created_timestamp",
        ),
        online=declaration["online"],
    )
    return [*entities, view, FeatureService(name=declaration["service"], features=[view])]


def feast_type(arrow: str) -> FeastType:
    """Feast's type for an Arrow type. Raises ValueError for one that no model input can have."""
    plain = arrow.removeprefix("dictionary<values=").split(",")[0]
    for prefixes, kind in _TYPES.items():
        if plain.startswith(prefixes):
            return kind
    raise ValueError(f"{arrow} is no type of a model input")


_TYPES: Mapping[tuple[str, ...], FeastType] = {
    ("int", "uint"): Int64,
    ("float", "double", "half", "decimal"): Float64,
    ("string", "large_string", "null"): String,
    ("bool",): Bool,
    ("timestamp", "date"): UnixTimestamp,
}
_KEY_TYPES = (Int64, String)


def _entity(name: str, arrow: str) -> Entity:
    integer = feast_type(arrow) == Int64
    return Entity(name=name, value_type=ValueType.INT64 if integer else ValueType.STRING)


def _check(declaration: Declaration) -> None:
    problems = [
        f"{name}: {kind} cannot be a feature" for name, kind in declaration["columns"].items() if not _known(kind)
    ]
    problems += [
        f"{name}: {kind} cannot be a key; use an integer or text"
        for name, kind in declaration["keys"].items()
        if not _known(kind) or feast_type(kind) not in _KEY_TYPES
    ]
    both = sorted(set(declaration["columns"]) & set(declaration["keys"]))
    problems += [f"{name}: is both key and feature; leave it out of features.columns" for name in both]
    if not declaration["columns"]:
        problems.append("there is no column left to be a feature")
    if problems:
        raise ValueError(f"{declaration['service']}: {'; '.join(problems)}.")


def _known(arrow: str) -> bool:
    try:
        feast_type(arrow)
    except ValueError:
        return False
    return True
