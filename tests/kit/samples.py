"""Makes a record of any type with plain values, so that a test names only the fields it is about."""

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from mlops_assets.declaration.monitoring import MonitoringSpec, RetrainPolicy
from mlops_assets.declaration.release import RolloutPolicy
from mlops_assets.domain.registry.lineage import Provenance
from mlops_assets.domain.registry.versions import Candidate, VersionFacts
from tests.kit.specs import MONITORING, RETRAINING, ROLLOUT

Record = TypeVar("Record")
MOMENT = datetime(2013, 7, 1, 12, tzinfo=UTC)
_PLAIN: Mapping[Any, Any] = {
    str: "text",
    int: 1,
    float: 0.5,
    bool: True,
    datetime: MOMENT,
    timedelta: timedelta(hours=1),
    Any: "any",
    # records that check themselves
    RolloutPolicy: ROLLOUT,
    MonitoringSpec: MONITORING,
    RetrainPolicy: RETRAINING,
}


def sample(kind: type[Record], /, **given: Any) -> Record:
    """A record with these fields; the others hold some value of their type."""
    if issubclass(kind, BaseModel):
        hints = {name: field.annotation for name, field in kind.model_fields.items()}
        return kind.model_construct(**{name: given[name] if name in given else _value(hints[name]) for name in hints})
    hints = get_type_hints(kind)
    values = {field.name: given.get(field.name, _value(hints[field.name])) for field in fields(cast(Any, kind))}
    return kind(**values | given)


def facts(**given: Any) -> VersionFacts:
    """A small binary classifier."""
    return sample(
        VersionFacts,
        **{
            "kind": "binary",
            "inputs": {"distance": "number", "carrier": "text"},
            "outputs": {"probability": "number"},
            "classes": ("0", "1"),
            "entity": ("origin",),
            "service": "flight_delay_v1",
            "network": {"type": "tabular", "width": 8},
            **given,
        },
    )


def candidate(model: str, bundle: str, run_id: str, **given: Any) -> Candidate:
    """A candidate for registration."""
    known = {
        "model": model,
        "bundle": bundle,
        "run_id": run_id,
        "facts": facts(),
        "tags": {},
        "metric": "auc",
        "score": 0.7,
    }
    return sample(Candidate, **known | given)


def made_of(bundle: str, **given: Any) -> Provenance:
    """The provenance of a bundle."""
    return sample(Provenance, **{"bundle": bundle, "partitions": {"raw/weather/2013-01-01": "aa"}, **given})


def _value(hint: Any) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return None if type(None) in arguments else _value(arguments[0])
    if origin is Literal:
        return arguments[0]
    if origin is tuple:
        return () if Ellipsis in arguments else tuple(_value(part) for part in arguments)
    if origin is not None:
        return {}
    if hint in _PLAIN:
        return _PLAIN[hint]
    if is_dataclass(hint) or (isinstance(hint, type) and issubclass(hint, BaseModel)):
        return sample(hint if isinstance(hint, type) else type(hint))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return next(iter(hint))
    raise TypeError(f"no plain value is known for {hint}")
