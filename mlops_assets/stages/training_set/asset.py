"""training_set: one point-in-time join of labelled examples with the features they could have seen, divided by time."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import TypeAdapter

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.data.checks import LEAKAGE, TELLING
from mlops_assets.domain.names import Alias, Layer, Stage
from mlops_assets.domain.records import TrainingSet
from mlops_assets.domain.verdict import Outcome
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.features.store import FeatureStore
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.workspace import Workspace
from mlops_assets.resources.registry.model_registry import Registry
from mlops_assets.stages.common import asset_key, check_result, check_spec, retried_on_infrastructure, stage_asset
from mlops_assets.stages.metadata import table

if TYPE_CHECKING:
    from mlops_assets.domain.training_set.suspects import Telling
    from mlops_assets.domain.training_set.training_rows import Parts
    from mlops_assets.stages.training_set.join import Joined

_RECORD = TypeAdapter(TrainingSet)
_MANIFEST = "manifest.json"
_SHOWN = 12  # columns in the table of the most telling ones


def training_set(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `[model, training_set]`."""

    @stage_asset(
        spec,
        Stage.TRAINING_SET,
        "parquet",
        "feast",
        deps=[asset_key(spec.model, Stage.FEATURES)],
        check_specs=[check_spec(spec, Stage.TRAINING_SET, name) for name in _checks(spec)],
        description="Labelled examples with the features known at their moment; train, validation, test by time.",
    )
    def asset(
        lake: Lake, features: FeatureStore, registry: Registry, workspace: Workspace, clock: Clock
    ) -> Iterator[dg.MaterializeResult[TrainingSet]]:
        from mlops_assets.domain.training_set.training_rows import divide
        from mlops_assets.stages.training_set import prove
        from mlops_assets.stages.training_set.join import join

        now = clock.now(spec)
        with retried_on_infrastructure():
            joined = join(spec, lake, features, now)
            parts = divide(spec, joined.rows)
            champion_until = registry.learnt_until(spec.model, Alias.CHAMPION)
            record = joined.record(spec, parts, champion_until=champion_until)
            record = _publish(record, parts, lake, workspace)
            telling, verdict = prove.suspect_columns(spec, joined, parts)
            proofs = [prove.prove_no_future(spec, joined, lake, features)] if spec.features.service else []
        yield dg.MaterializeResult(
            value=record,
            metadata={**_metadata(record, joined, parts), **_suspicion(spec, telling)},
            check_results=[
                check_result(each, blocking=each.outcome is not Outcome.INCONCLUSIVE) for each in (verdict, *proofs)
            ],
            data_version=dg.DataVersion(record.digest[:16]),
        )

    return asset


def _checks(spec: ModelSpec) -> Sequence[str]:
    """A row that brings its own columns looks nothing up in time, so there is no proof to make of it."""
    return [TELLING, LEAKAGE] if spec.features.service else [TELLING]


def _publish(record: TrainingSet, parts: "Parts", lake: Lake, workspace: Workspace) -> TrainingSet:
    """Keep the rows under their digest; the same rows as before are the training set there already is."""
    from mlops_assets.domain.training_set.training_rows import write_parts

    with tempfile.TemporaryDirectory() as aside:
        folder = Path(aside) / record.digest
        folder.mkdir()
        write_parts(parts.tables, folder)
        (folder / _MANIFEST).write_bytes(_RECORD.dump_json(record, indent=1))
        relative = lake.publish(record.model, Layer.TRAINING_SETS, record.digest, folder)
    return _RECORD.validate_json((lake.fetch(relative, workspace.cache) / _MANIFEST).read_bytes())


def _suspicion(spec: ModelSpec, telling: "Sequence[Telling]") -> dict[str, Any]:
    """The columns that tell most of the outcome, and what is not proven of a model that looks nothing up."""
    lines = [(each.named, each.how, f"{each.share:.1%}") for each in telling[:_SHOWN]]
    proven = {} if spec.features.service else {LEAKAGE: "Not applicable: each row brings its own columns."}
    return {"most_telling": table(("column", "tells", "of the outcome's uncertainty"), lines), **proven}


def _metadata(record: TrainingSet, joined: "Joined", parts: "Parts") -> dict[str, Any]:
    from mlops_assets.domain.training_set.training_rows import label_summary

    def line(name: str) -> list[Any]:
        first, last = record.boundaries.get(name, (None, None))
        summary = label_summary(parts.tables[name], record.classes) if record.rows[name] else {}
        label = ", ".join(f"{key} {value:.4g}" for key, value in summary.items())
        return [name, record.rows[name], first, last, label]

    return {
        "digest": record.digest,
        "feature_service": record.service,
        "dagster/row_count": sum(record.rows.values()),
        "as_of": dg.MetadataValue.timestamp(record.as_of),
        "parts": table(("part", "rows", "from", "to", "label"), [line(name) for name in record.rows]),
        "left_out": table(("why", "rows"), joined.left_out.items()),
        "rest": table(("why a row is in no part; a refit learns it", "rows"), parts.left_out.items()),
        "inputs": table(
            ("kind", "columns"),
            [
                ("numbers", ", ".join(record.inputs.numbers)),
                ("categories", ", ".join(record.inputs.categories)),
            ],
        ),
    }
