"""Joins labelled examples with their features, and proves that none knew the future. Imported inside bodies only."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import pyarrow as pa

from feature_repo.transforms.view import view_transforms
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.digest import content_digest
from mlops_assets.domain.names import Layer
from mlops_assets.domain.records import Inputs, TrainingSet
from mlops_assets.domain.training_set.labels import Labelled
from mlops_assets.domain.training_set.training_rows import Parts, inputs_of, labelled_examples
from mlops_assets.resources.features.store import FeatureStore, service_name
from mlops_assets.resources.lake.lake import Lake


@dataclass(frozen=True, eq=False)
class Joined:
    """Every labelled example with its features."""

    rows: pa.Table
    service: str
    inputs: Inputs
    classes: tuple[str, ...]
    entity: tuple[str, ...]
    context: tuple[str, ...]
    left_out: Mapping[str, int]
    partitions: Mapping[str, str]
    as_of: datetime

    def record(self, spec: ModelSpec, parts: Parts, *, champion_until: datetime | None = None) -> TrainingSet:
        return TrainingSet(
            model=spec.model,
            digest=self._digest(spec, parts),
            as_of=self.as_of,
            service=self.service,
            inputs=self.inputs,
            kind=spec.target.kind,
            classes=self.classes,
            entity=self.entity,
            context=self.context,
            rows={name: len(table) for name, table in parts.tables.items()},
            boundaries=parts.boundaries,
            partitions=self.partitions,
            champion_until=champion_until,
        )

    def _digest(self, spec: ModelSpec, parts: Parts) -> str:
        """Of the rows and of what they mean. When it was made is no part of it."""
        meaning = [self.service, self.inputs.numbers, self.inputs.categories, spec.target.kind, self.classes]
        rows = {name: content_digest(table) for name, table in parts.tables.items()}
        return hashlib.sha256(json.dumps([meaning, rows]).encode()).hexdigest()


def join(spec: ModelSpec, lake: Lake, store: FeatureStore, now: datetime) -> Joined:
    """One point-in-time join through the feature service."""
    labelled = _labelled(spec, lake, now)
    service = service_name(spec)
    names = store.inputs(service)
    entities = without_features(labelled.rows, names, spec)
    frame = store.training_frame(service, entities)
    inputs = inputs_of(frame, names, spec.features.categories)
    beside = {part.column for part in spec.slices} | set(spec.fairness.attributes)
    context = tuple(sorted(name for name in beside if name not in inputs.names))
    named = {*context, *filter(None, [spec.training.group])}
    if missing := sorted(name for name in named if name not in frame.column_names):
        raise LookupError(
            f"{spec.model}: slices, fairness or training.group name {', '.join(missing)}: no example or feature has "
            f"it; there are {', '.join(frame.column_names)}"
        )
    if unknown := sorted(set(spec.features.known) - set(inputs.names)):
        raise LookupError(
            f"{spec.model}: features.known names {', '.join(unknown)}, which is no feature; there are "
            f"{', '.join(inputs.names)}"
        )
    keys = tuple(dict.fromkeys(key for view in store.views(service) for key in view.keys))
    return Joined(frame, service, inputs, labelled.classes, keys, context, labelled.left_out, _origin(spec, lake), now)


def _labelled(spec: ModelSpec, lake: Lake, now: datetime) -> Labelled:
    ready, waiting = with_features(spec, lake, service_name(spec))
    examples = lake.table(spec.model, Layer.VALIDATED, spec.source.examples).read(ready)
    if not len(examples):
        raise LookupError(
            f"{spec.model}: no validated rows with features ({waiting:,} without). Launch {spec.model}_data "
            "(raw_data, validated_data and features) first."
        )
    outcomes = examples
    if spec.target.feed != spec.source.examples:
        outcomes = lake.table(spec.model, Layer.VALIDATED, spec.target.feed).read()
    labelled = labelled_examples(spec, examples, outcomes, now=now)
    return replace(labelled, left_out={"features not made": waiting, **labelled.left_out})


def with_features(spec: ModelSpec, lake: Lake, service: str) -> tuple[list[str], int]:
    """The partitions of examples that features were made of, and how many rows the others have.

    Without this, rows of a partition that a check has stopped would be learnt from with every feature missing.
    """
    examples = lake.table(spec.model, Layer.VALIDATED, spec.source.examples).snapshots()
    transforms = view_transforms(spec.model) if spec.features.service else {}
    views = [name for name, each in transforms.items() if not each.static] if transforms else [service]
    made = [lake.table(spec.model, Layer.FEATURES, view).snapshots() for view in views]

    def is_joinable(name: str, digest: str) -> bool:
        if spec.features.service:
            return all(name in snapshots for snapshots in made)
        source = f"{Layer.VALIDATED}/{spec.source.examples}/{name}"
        return all(name in snapshots and snapshots[name].inputs.get(source) == digest for snapshots in made)

    ready = [name for name, snapshot in examples.items() if is_joinable(name, snapshot.digest)]
    return ready, sum(snapshot.rows for name, snapshot in examples.items() if name not in ready)


def without_features(rows: pa.Table, names: tuple[str, ...], spec: ModelSpec) -> pa.Table:
    """Columns that a view brings come from the view; those of the request stay."""
    if spec.features.service:
        return rows
    return rows.drop_columns([name for name in names if name in rows.column_names])


def _origin(spec: ModelSpec, lake: Lake) -> dict[str, str]:
    """Every partition that can have had a part in the rows, with its digest."""
    origin = {}
    for layer, tables in (
        (Layer.FEATURES, lake.names(spec.model, Layer.FEATURES)),
        (Layer.VALIDATED, sorted({spec.source.examples, spec.target.feed})),
    ):
        for name in tables:
            snapshots = lake.table(spec.model, layer, name).snapshots()
            origin |= {f"{layer}/{name}/{partition}": snapshot.digest for partition, snapshot in snapshots.items()}
    return origin
