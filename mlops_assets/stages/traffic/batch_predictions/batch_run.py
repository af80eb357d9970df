"""Answers partitions with one version's bundle: those whose inputs changed since they were answered."""

import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.data.checks import listed
from mlops_assets.domain.names import EVENT_TIME, SNAPSHOT, Alias, Layer
from mlops_assets.domain.records import Snapshot
from mlops_assets.domain.training_set.training_rows import row_key
from mlops_assets.resources.features.store import FeatureStore
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.resources.registry.model_registry import Registry
from mlops_assets.stages.metadata import table
from mlops_assets.stages.traffic.batch_predictions.answer_rows import (
    NO_EXAMPLES,
    REASON,
    ChampionBundle,
    answered,
    schema_of,
    unanswered,
)
from mlops_assets.stages.training_set.join import with_features, without_features

TABLE = "answers"
_THREADS = 2  # of the arithmetic


def open_champion(spec: ModelSpec, registry: Registry, bundles: Bundles) -> ChampionBundle:
    """The version that the alias points to now; its number goes on from here."""
    number = registry.resolve(spec.model, Alias.CHAMPION)
    if number is None:
        raise dg.Failure(
            f"{spec.model} has no champion. Train it ({spec.model}_train), or promote a version first.",
            allow_retries=False,
        )
    version = registry.version(spec.model, number)
    if not bundles.path(version.bundle).is_dir():
        registry.fetch_bundle(spec.model, number, bundles.folder)
    session = bundles.open(version.bundle).session(spec.serving.provider, threads=_THREADS)
    return ChampionBundle(number, version.semantic, version.bundle, session)


@dataclass
class BatchRun:
    """One run: a champion, and what it has answered so far."""

    spec: ModelSpec
    champion: ChampionBundle
    lake: Lake
    store: FeatureStore
    now: datetime
    written: dict[str, Snapshot] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    kept: int = 0  # partitions that were up to date
    _seconds: float = 0.0

    @property
    def _examples(self) -> Any:
        return self.lake.table(self.spec.model, Layer.VALIDATED, self.spec.source.examples)

    def check(self, partitions: Sequence[str]) -> None:
        """Every partition is there, or the error names all that are not."""
        found = self._examples.snapshots(partitions)
        if absent := [name for name in partitions if name not in found]:
            raise dg.Failure(
                f"{self._examples.path}: no validated rows for {listed(absent)}. Launch {self.spec.model}_data first.",
                allow_retries=False,
            )

    def answer(self, partition: str) -> None:
        """Write the partition's answers, or leave those that were made from the very same."""
        began = time.perf_counter()
        out = self.lake.table(self.spec.model, Layer.BATCH_PREDICTIONS, TABLE)
        examples = self._examples.snapshot(partition)
        inputs = self._inputs(examples)
        current = out.snapshot(partition)
        if current is not None and current.inputs == inputs and out.is_sound(current):
            self.written[partition], self.kept = current, self.kept + 1
            return
        columns = self._examples.schema(examples) or NO_EXAMPLES
        schema = schema_of(columns, self._keys(columns.names))
        self.written[partition] = out.write_pieces(
            partition, self._pieces(examples), schema, now=self.now, time_column=EVENT_TIME, inputs=inputs
        )
        self._seconds += time.perf_counter() - began

    def metadata(self) -> dict[str, Any]:
        rows = sum(snapshot.rows for snapshot in self.written.values())
        return {
            "version": self.champion.semantic,
            "number": self.champion.number,
            "bundle": self.champion.bundle,
            "rows": rows,
            "rows without an answer": self.reasons.total(),
            "reasons": table(("reason", "rows"), self.reasons.most_common(20)),
            "partitions up to date": self.kept,
            "seconds": round(self._seconds, 2),
            "feature service": self.champion.contract.feature_service,
        }

    def _pieces(self, examples: Snapshot) -> Iterator[pa.Table]:
        service = self.champion.contract.feature_service
        ready = examples.partition in self._ready
        inputs = self.store.inputs(service) if ready else ()
        for piece in self._examples.read_pieces(examples):
            keys = self._keys(piece.column_names)
            if ready:
                frame = self.store.training_frame(service, without_features(piece, inputs, self.spec))
                rows = answered(piece, frame, self.champion, keys)
            else:
                reason = f"features of {examples.partition} were not made from these rows: materialise features"
                rows = unanswered(piece, reason, self.champion, keys)
            for each in pc.value_counts(rows[REASON].drop_null()).to_pylist():
                self.reasons[each["values"]] += each["counts"]
            yield rows

    def _keys(self, columns: Sequence[str]) -> list[str]:
        feed = self.spec.source.feeds[self.spec.source.examples]
        wanted = dict.fromkeys((*row_key(feed), *self.champion.contract.entity))
        return [name for name in wanted if name in columns]

    def _inputs(self, examples: Snapshot) -> dict[str, str]:
        """Rows, features up to their time, and who answers."""
        found = [line for partition, line in self._features if partition == SNAPSHOT or partition <= examples.partition]
        return {
            f"{Layer.VALIDATED}/{self.spec.source.examples}/{examples.partition}": examples.digest,
            str(Layer.FEATURES): hashlib.sha256("\n".join(found).encode()).hexdigest(),
            "bundle": self.champion.bundle,
            "version": self.champion.semantic,
        }

    @cached_property
    def _ready(self) -> frozenset[str]:
        """The partitions whose features are made."""
        return frozenset(with_features(self.spec, self.lake, self.champion.contract.feature_service)[0])

    @cached_property
    def _features(self) -> list[tuple[str, str]]:
        """Partition and digest of every table of features."""
        views = {name: self.lake.table(self.spec.model, Layer.FEATURES, name) for name in self.lake.names(
            self.spec.model, Layer.FEATURES)}  # fmt: skip
        return [
            (partition, f"{name}/{partition}:{snapshot.digest}")
            for name, view in sorted(views.items())
            for partition, snapshot in view.snapshots().items()
        ]
