"""serving_model: the bundle. Exports the trained network, measures its precisions, keeps the one that pays."""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import Layer, Stage
from mlops_assets.domain.records import ServingModel, TrainedModel, TrainingSet
from mlops_assets.resources.lake.records import RecordIO
from mlops_assets.resources.lake.tables import Lake
from mlops_assets.resources.lake.workspace import Workspace
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.resources.registry.provenance import git_commit
from mlops_assets.stages.common import PROJECT, asset_key, retried_on_infrastructure, stage_asset
from mlops_assets.stages.metadata import table

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_ALL_ROWS = "all rows"


def serving_model(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `[model, serving_model]`."""

    @stage_asset(
        spec,
        Stage.SERVING_MODEL,
        "onnx",
        ins={
            "training_set": dg.AssetIn(asset_key(spec.model, Stage.TRAINING_SET)),
            "trained_model": dg.AssetIn(asset_key(spec.model, Stage.TRAINED_MODEL)),
        },
        description="The bundle: ONNX graph with scaling and vocabularies inside, contract, profile, golden requests.",
    )
    def asset(
        training_set: TrainingSet,
        trained_model: TrainedModel,
        lake: Lake,
        bundles: Bundles,
        workspace: Workspace,
        records: dg.ResourceParam[RecordIO],
    ) -> dg.MaterializeResult[ServingModel]:
        commit = git_commit(PROJECT)
        recipe = _recipe(spec, trained_model, commit)
        before: ServingModel | None = records.latest(spec.model, Stage.SERVING_MODEL, ServingModel)
        # Speed decides between precisions and is measured: what was made from the same before is taken as it is.
        if before is not None and before.recipe == recipe and bundles.path(before.bundle).is_dir():
            record = before
        else:
            with retried_on_infrastructure():
                record = _assemble(spec, training_set, trained_model, lake, bundles, workspace, commit, recipe)
        return dg.MaterializeResult(
            value=record, metadata=_metadata(record, bundles), data_version=dg.DataVersion(record.bundle[:16])
        )

    return asset


def _recipe(spec: ModelSpec, trained: TrainedModel, commit: str) -> str:
    content = f"{trained.digest}|{trained.training_set}|{trained.run_id}|{spec.serving}|{spec.declared}|{commit}"
    return hashlib.sha256(content.encode()).hexdigest()


def _assemble(
    spec: ModelSpec,
    training_set: TrainingSet,
    trained: TrainedModel,
    lake: Lake,
    bundles: Bundles,
    workspace: Workspace,
    commit: str,
    recipe: str,
) -> ServingModel:
    from mlops_assets.domain.registry.model_card import bundle_card
    from mlops_assets.domain.training_set.training_rows import read_parts
    from mlops_assets.training.assemble import assemble

    tables = read_parts(lake.fetch(f"{spec.model}/{Layer.TRAINING_SETS}/{training_set.digest}", workspace.cache))
    assembled = assemble(
        lake.fetch(trained.path, workspace.cache),
        training_set,
        tables,
        spec.serving,
        bundles.folder,
        commit=commit,
        card=bundle_card(spec, training_set, trained),
        slices=slice_masks(spec, tables),
    )
    return ServingModel(
        model=spec.model,
        bundle=bundles.keep(assembled.digest),
        training_set=training_set.digest,
        run_id=trained.run_id,
        recipe=recipe,
        precision=assembled.precision,
        measured=assembled.measured,
        parity=_parity(assembled.slices[assembled.precision]),
    )


def slice_masks(spec: ModelSpec, tables: "Mapping[str, pa.Table]") -> "dict[str, np.ndarray]":
    """All test rows, and the rows of each slice."""
    import numpy as np

    from mlops_assets.domain.evaluation.slices import cut

    test = tables["test"]
    parts = cut(spec.slices, test, tables["train"])
    return {_ALL_ROWS: np.ones(len(test), bool), **{part.name: part.mask for part in parts}}


def _parity(differences: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(difference.worst) for name, difference in differences.items()}


def _metadata(record: ServingModel, bundles: Bundles) -> dict[str, Any]:
    from mlops_assets.domain.records import Compressed

    def line(each: Compressed) -> list[Any]:
        served = "served" if each.precision is record.precision else ("passed" if each.passed else "failed")
        differences = [each.worst_difference, each.mean_difference]
        return [
            each.precision.value,
            served,
            each.bytes,
            each.single_row_ms,
            each.batch_ms,
            *differences,
        ]

    head = (
        "precision",
        "outcome",
        "bytes",
        "one row, ms",
        "1,000 rows, ms",
        "worst difference",
        "mean",
    )
    return {
        "bundle": record.bundle,
        "precision": record.precision.value,
        "precisions": table(head, [line(each) for each in record.measured]),
        "choice": table(("precision", "why"), [(each.precision.value, each.reason) for each in record.measured]),
        "parity": table(("slice", "worst difference from torch"), record.parity.items()),
        "card": dg.MetadataValue.md(bundles.open(record.bundle).card),
    }
