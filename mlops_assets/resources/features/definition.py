"""What a feature service means, as lines that can be compared. Feast objects in, text out."""

from collections.abc import Callable, Mapping
from typing import Any

import feast

from mlops_assets.resources.features.lookup import INPUTS, inputs_as_they_stand, is_on_demand, request_fields


def definition(service: feast.FeatureService, view_of: Callable[[str], Any]) -> dict[str, str]:
    """Everything that decides which values the service gives. Descriptions, tags and owners do not."""
    lines = {INPUTS: ", ".join(inputs_as_they_stand(service.tags))}
    for place, projection in enumerate(service.feature_view_projections):
        name = projection.name
        names = [field.name for field in projection.features]
        lines[f"view {place + 1}"] = f"{name}({', '.join(names)})"
        view = view_of(name)
        lines |= {f"{name}.{what}": value for what, value in _view(view).items()}
        lines |= {f"{name}.{field.name}": str(field.dtype) for field in view.features if field.name in names}
    return lines


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What differs, one line each."""
    return [
        f"{name}: was {_shown(before.get(name))}, is {_shown(after.get(name))}"
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    ]


def _view(view: Any) -> dict[str, str]:
    if is_on_demand(view):
        return _on_demand(view)
    source = view.batch_source
    return {
        "keys": ", ".join(sorted(view.entities)),
        "ttl": str(view.ttl or "none"),
        "rows": f"{source.path} by {source.timestamp_field}, {source.created_timestamp_column or '-'}",
    }


def _on_demand(view: Any) -> dict[str, str]:
    requested = [f"{name} {kind}" for name, kind in request_fields(view).items()]
    read = [f"{p.name}.{field.name}" for p in view.source_feature_view_projections.values() for field in p.features]
    return {
        "computed from": ", ".join([*requested, *read]),
        "code": view.feature_transformation.udf_string.strip(),
    }


def _shown(value: str | None) -> str:
    if value is None:
        return "absent"
    return value if "\n" not in value else f"{len(value.splitlines())} lines of code"
