"""training_set: one point-in-time join of labelled examples with the features they could have seen, divided by time."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import TypeAdapter

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.data.checks import LEAKAGE
from mlops_assets.domain.names import Layer, Stage
from mlops_assets.domain.records import TrainingSet
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.features.store import FeatureStore
from mlops_assets.resources.lake.tables import Lake
from mlops_assets.resources.lake.workspace import Workspace
from mlops_assets.stages.common import asset_key, check_result, check_spec, retried_on_infrastructure, stage_asset
from mlops_assets.stages.metadata import table

if TYPE_CHECKING:
    from mlops_assets.domain.training_set.training_rows import Parts
    from mlops_assets.stages.training_set.join import Joined

_RECORD = TypeAdapter(TrainingSet)
_MANIFEST = "manifest.json"


def training_set(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `[model, training_set]`."""

    @stage_asset(
        spec,
        Stage.TRAINING_SET,
        "parquet",
        "feast",
        deps=[asset_key(spec.model, Stage.FEATURES)],
        check_specs=[check_spec(spec, Stage.TRAINING_SET, LEAKAGE)],
        description="Labelled examples with the features known at their moment; train, validation, test by time.",
    )
    def asset(
        lake: Lake, features: FeatureStore, workspace: Workspace, clock: Clock
    ) -> Iterator[dg.MaterializeResult[TrainingSet]]:
        from mlops_assets.domain.training_set.training_rows import divide
        from mlops_assets.stages.training_set.join import join, prove_no_leak

        now = clock.now(spec)
        with retried_on_infrastructure():
            joined = join(spec, lake, features, now)
            parts = divide(spec, joined.rows)
            record = _publish(spec, joined, parts, lake, workspace)
            proof = prove_no_leak(spec, joined, lake, features)
        yield dg.MaterializeResult(
            value=record,
            metadata=_metadata(record, joined, parts),
            check_results=[check_result(proof)],
            data_version=dg.DataVersion(record.digest[:16]),
        )

    return asset


def _publish(spec: ModelSpec, joined: "Joined", parts: "Parts", lake: Lake, workspace: Workspace) -> TrainingSet:
    """Keep the rows under their digest; the same rows as before are the training set there already is."""
    from mlops_assets.domain.training_set.training_rows import write_parts

    record = joined.record(spec, parts)
    with tempfile.TemporaryDirectory() as aside:
        folder = Path(aside) / record.digest
        folder.mkdir()
        write_parts(parts.tables, folder)
        (folder / _MANIFEST).write_bytes(_RECORD.dump_json(record, indent=1))
        relative = lake.publish(spec.model, Layer.TRAINING_SETS, record.digest, folder)
    return _RECORD.validate_json((lake.fetch(relative, workspace.cache) / _MANIFEST).read_bytes())


def _metadata(record: TrainingSet, joined: "Joined", parts: "Parts") -> dict[str, Any]:
    from mlops_assets.domain.training_set.training_rows import label_summary

    def line(name: str) -> list[Any]:
        first, last = record.boundaries[name]
        label = ", ".join(
            f"{key} {value:.4g}" for key, value in label_summary(parts.tables[name], record.classes).items()
        )
        return [name, record.rows[name], first, last, label]

    left_out: Mapping[str, int] = {**joined.left_out, **parts.left_out}
    return {
        "digest": record.digest,
        "feature_service": record.service,
        "dagster/row_count": sum(record.rows.values()),
        "as_of": dg.MetadataValue.timestamp(record.as_of),
        "parts": table(("part", "rows", "from", "to", "label"), [line(name) for name in record.rows]),
        "left_out": table(("why", "rows"), left_out.items()),
        "inputs": table(
            ("kind", "columns"),
            [
                ("numbers", ", ".join(record.inputs.numbers)),
                ("categories", ", ".join(record.inputs.categories)),
            ],
        ),
    }
