"""Decides the semantic version of a model. Pure: the facts of two versions in, a number and its reasons out.

Major: the input or output contract changed, so a caller may have to change. Minor: same contract, but
features are computed in another way or the network is another one. Patch: the same, trained again on new
data. What training happened to see (ranges, categories, scores) is data, not contract. Never reads the
registry.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mlops_assets.domain.records import Evaluation, ServingModel, TrainedModel, TrainingSet

FIRST = "1.0.0"
LEARNT_ROWS, LEARNT_UNTIL = "learnt_rows", "learnt_until"  # tags of a version


class VersionChange(StrEnum):
    """How far a version is from the one before."""

    FIRST = "first"
    MAJOR = "major"
    MINOR = "minor"
    PATCH = "patch"


@dataclass(frozen=True)
class VersionFacts:
    """What decides a version's number. Types are those of the bundle's contract: number, text and so on."""

    kind: str  # binary, multiclass, regression
    inputs: Mapping[str, str]  # field → type; callers name fields, so order is no part of it
    outputs: Mapping[str, str]
    classes: tuple[str, ...]  # their order says which probability is whose
    entity: tuple[str, ...]
    service: str  # feature service with its version
    network: Mapping[str, str | int | float | bool]  # what describes the architecture


@dataclass(frozen=True)
class CandidateRecords:
    """What a candidate is made of and how good it is, as its stages recorded it."""

    training_set: TrainingSet
    trained: TrainedModel
    serving: ServingModel
    evaluation: Evaluation


@dataclass(frozen=True)
class Candidate:
    """What is asked to become a version: a bundle and where it comes from."""

    model: str
    run_id: str
    bundle: str  # digest
    training_set: str
    facts: VersionFacts
    metric: str
    score: float
    purpose: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class VersionInfo:
    """A version as the registry knows it."""

    model: str
    number: str
    semantic: str
    bundle: str
    run_id: str
    training_set: str
    facts: VersionFacts
    metric: str
    score: float
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    created_at: datetime

    @property
    def learnt_until(self) -> datetime | None:
        """The latest event time that it has learnt; none where it is not recorded, or rows have no time."""
        moment = self.tags.get(LEARNT_UNTIL)
        return datetime.fromisoformat(moment) if moment else None


@dataclass(frozen=True)
class Bump:
    """The next semantic version and why it is that one."""

    semantic: str
    change: VersionChange
    reasons: tuple[str, ...]
    previous: str | None  # semantic version it was compared with


def next_version(new: VersionFacts, previous: VersionFacts | None, semantic: str | None) -> Bump:
    """The version after `semantic`, whose facts were `previous`; with neither, the first."""
    if (previous is None) != (semantic is None):
        raise ValueError("next_version needs the previous version's facts and its number, or neither of them")
    if previous is None or semantic is None:
        return Bump(FIRST, VersionChange.FIRST, ("first version",), None)
    major, minor, patch = parse(semantic)
    if broken := tuple(_contract_changes(previous, new)):
        return Bump(f"{major + 1}.0.0", VersionChange.MAJOR, broken, semantic)
    if changed := tuple(_recipe_changes(previous, new)):
        return Bump(f"{major}.{minor + 1}.0", VersionChange.MINOR, changed, semantic)
    return Bump(f"{major}.{minor}.{patch + 1}", VersionChange.PATCH, ("trained again on new data",), semantic)


def parse(semantic: str) -> tuple[int, int, int]:
    """`"1.2.3"` as numbers."""
    parts = semantic.split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError(f"{semantic!r} is no semantic version: expected three numbers as in 1.2.3")
    return int(parts[0]), int(parts[1]), int(parts[2])


def _contract_changes(old: VersionFacts, new: VersionFacts) -> Iterator[str]:
    yield from _mapping_changes("input", old.inputs, new.inputs)
    yield from _mapping_changes("output", old.outputs, new.outputs)
    yield from _value_change("kind", old.kind, new.kind)
    yield from _value_change("classes", old.classes, new.classes)
    yield from _value_change("entity keys", old.entity, new.entity)


def _recipe_changes(old: VersionFacts, new: VersionFacts) -> Iterator[str]:
    yield from _value_change("feature service", old.service, new.service)
    yield from _mapping_changes("network", old.network, new.network)


def _mapping_changes(what: str, old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[str]:
    for name in sorted(new.keys() - old.keys()):
        yield f"{what} {name} added"
    for name in sorted(old.keys() - new.keys()):
        yield f"{what} {name} removed"
    for name in sorted(old.keys() & new.keys()):
        yield from _value_change(f"{what} {name}", old[name], new[name])


def _value_change(what: str, old: object, new: object) -> Iterator[str]:
    if old != new:
        yield f"{what}: {_shown(old)} → {_shown(new)}"


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
