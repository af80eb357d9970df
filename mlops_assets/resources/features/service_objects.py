"""The Feast objects of a model's service: made from its module or its columns, and never changed once applied."""

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import feast
from feast.errors import FeatureServiceNotFoundException

from mlops_assets.resources.features.definition import changes, definition
from mlops_assets.resources.features.store import UnknownServiceError
from mlops_assets.resources.lake.files import put_bytes


def find_service(store: feast.FeatureStore, name: str) -> feast.FeatureService:
    """The service that was applied under this name."""
    try:
        return store.get_feature_service(name)
    except FeatureServiceNotFoundException as err:
        raise UnknownServiceError(f"there is no feature service {name} yet. Materialise `features` first.") from err


def find_view(store: feast.FeatureStore, name: str) -> Any:
    """A view of any kind that was applied under this name."""
    return store.registry.get_any_feature_view(name, store.project)


def written_objects(repo: str, model: str, service: str) -> list[Any]:
    """The Feast objects of the model's own module."""
    kinds = (feast.Entity, feast.FeatureView, feast.OnDemandFeatureView, feast.FeatureService)
    objects = [value for value in vars(_module(repo, model)).values() if isinstance(value, kinds)]
    services = [value.name for value in objects if isinstance(value, feast.FeatureService)]
    if service not in services:
        raise ValueError(
            f"features: {repo}/{model}.py has no feature service {service!r}; it has {', '.join(services) or 'none'}."
        )
    return objects


def declared_objects(repo: str, home: str, declaration: Mapping[str, Any]) -> list[Any]:
    """The Feast objects made from columns; the declaration is kept for Feast's own command line."""
    objects = _module(repo, "tabular").tabular_objects(declaration)
    file = Path(home, "declared", f"{declaration['service']}.json")
    if not file.exists():
        put_bytes(str(file), json.dumps(declaration, indent=1).encode())
    return objects


def is_applied(store: feast.FeatureStore, service: str, objects: list[Any]) -> bool:
    """True where the service is known and unchanged; an error where any known one would change."""
    named = {value.name: value for value in objects if not isinstance(value, feast.Entity | feast.FeatureService)}
    problems, known = [], set()
    for new in (value for value in objects if isinstance(value, feast.FeatureService)):
        try:
            old = definition(find_service(store, new.name), lambda name: find_view(store, name))
        except UnknownServiceError:
            continue
        known.add(new.name)
        problems += [f"{new.name}: {line}" for line in changes(old, definition(new, named.__getitem__))]
    if problems:
        raise ValueError(
            "a feature service that was applied is never altered, because models are pinned to it. Raise "
            f"features.version, and give a changed view a new name. Changed: {'; '.join(problems)}."
        )
    return service in known


def _module(repo: str, name: str) -> ModuleType:
    return importlib.import_module(f"{Path(repo).name}.{name}")
