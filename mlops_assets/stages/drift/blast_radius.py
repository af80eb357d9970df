"""Reads what uses a feature: the views that provide it, and every released model that takes it, with its endpoint.

Reads the releases in force, the contracts of their bundles and the feature store; `domain/drift/blast_radius` traces
what a change of a column reaches.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.domain.drift.blast_radius import Lineage
from mlops_assets.resources.features.store import FeatureStore, UnknownServiceError
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.resources.release.deployment import Deployment
from serving.contract.bundle import CorruptBundleError


@dataclass(frozen=True)
class ReleasedLineage:
    """The lineage of all that is released, and what could not be read of it."""

    lineage: Lineage
    problems: tuple[str, ...]


def feature_name(view: str, feature: str) -> str:
    """A feature's name among those of all models."""
    return f"{view}.{feature}"


def find_views(features: FeatureStore, model: str, service: str, names: Iterable[str]) -> dict[str, str]:
    """Feature → the view that brings it; what comes with the request, or is computed from it, is the model's own."""
    try:
        views = features.views(service)
    except UnknownServiceError:
        views = ()
    brought = {name: view.name for view in views for name in view.features}
    return {name: brought.get(name, f"{model} request") for name in names}


def read_released_lineage(deployment: Deployment, bundles: Bundles, features: FeatureStore) -> ReleasedLineage:
    """Of every model that has a release."""
    views: dict[str, str] = {}
    models: dict[str, set[str]] = {}
    problems = []
    for model in sorted(path.stem for path in Path(deployment.folder).glob("*.json")):
        state = deployment.state(model)
        for digest in dict.fromkeys(arm.bundle for arm in state.arms) if state else ():
            try:
                contract = bundles.open(digest).contract
            except (FileNotFoundError, CorruptBundleError) as err:
                problems.append(f"{model}: {err}")
                continue
            names = (*contract.numbers, *contract.categories)
            found = find_views(features, model, contract.feature_service, names)
            own = {feature_name(view, name): view for name, view in found.items()}
            views |= own
            models.setdefault(model, set()).update(own)
    url = deployment.endpoint.url.rstrip("/")
    endpoints = {f"{url}/v1/models/{model}": (model,) for model in models} if url else {}
    used = {model: tuple(names) for model, names in models.items()}
    return ReleasedLineage(Lineage(views, dict.fromkeys(views.values(), ()), used, endpoints), tuple(problems))
