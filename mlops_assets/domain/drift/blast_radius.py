"""Traces which features, models and endpoints use a column, so that a drift alarm names only what it reaches. Pure.

Lineage comes as plain mappings: feature → view, view → columns of the source, model → features,
endpoint → models. A column is written `feed.column`; a bare name means that column of any feed.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Lineage:
    views: Mapping[str, str]  # feature → the view that computes it; the feature's own name where there is none
    sources: Mapping[str, Collection[str]]  # view → columns (feed.column) that it reads
    models: Mapping[str, Collection[str]]  # model → features
    endpoints: Mapping[str, Collection[str]]  # endpoint → models

    def problems(self) -> tuple[str, ...]:
        """Names that are used and nowhere defined."""
        features = {name for used in self.models.values() for name in used}
        unknown = [f"feature {name} of a model has no view" for name in sorted(features - self.views.keys())]
        views = set(self.views.values()) - self.sources.keys()
        unknown += [f"view {name} of a feature has no source" for name in sorted(views)]
        served = {name for used in self.endpoints.values() for name in used}
        return (
            *unknown,
            *(f"model {name} of an endpoint has no features" for name in sorted(served - self.models.keys())),
        )


@dataclass(frozen=True)
class BlastRadius:
    columns: tuple[str, ...]  # whose reach this is
    features: tuple[str, ...]
    models: tuple[str, ...]
    endpoints: tuple[str, ...]
    unknown: tuple[str, ...]  # names that are neither a column nor a feature

    def __str__(self) -> str:
        if not self.features:
            return f"{', '.join(self.columns) or 'nothing'}: no feature uses it"
        parts = (("features", self.features), ("models", self.models), ("endpoints", self.endpoints))
        return "; ".join(f"{name}: {', '.join(found) or 'none'}" for name, found in parts)


def trace_blast_radius(columns: Iterable[str], lineage: Lineage) -> BlastRadius:
    """Trace columns that drifted, each a column of a source or the name of a feature."""
    names = tuple(dict.fromkeys(columns))
    hit = {name: _features(name, lineage) for name in names}
    features = {name for found in hit.values() for name in found}
    models = {name for name, used in lineage.models.items() if features & set(used)}
    endpoints = {name for name, used in lineage.endpoints.items() if models & set(used)}
    unknown = tuple(name for name, found in hit.items() if not found and not _known(name, lineage))
    return BlastRadius(names, tuple(sorted(features)), tuple(sorted(models)), tuple(sorted(endpoints)), unknown)


def _features(column: str, lineage: Lineage) -> set[str]:
    views = {view for view, read in lineage.sources.items() if any(_same(column, each) for each in read)}
    return {name for name, view in lineage.views.items() if view in views or name == column}


def _known(column: str, lineage: Lineage) -> bool:
    return any(_same(column, each) for read in lineage.sources.values() for each in read)


def _same(name: str, column: str) -> bool:
    return name == column or ("." not in name and column.rpartition(".")[2] == name)
