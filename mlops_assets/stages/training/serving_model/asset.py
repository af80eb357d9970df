"""serving_model: the bundle. Exports the trained network, measures its precisions, keeps the one that pays."""

import hashlib

import dagster as dg

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import Stage
from mlops_assets.domain.records import ServingModel, TrainedModel, TrainingSet
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.records import RecordIO
from mlops_assets.resources.lake.workspace import Workspace
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.resources.registry.provenance import git_commit
from mlops_assets.stages.common import PROJECT, asset_key, retried_on_infrastructure, stage_asset


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
        from mlops_assets.stages.training.serving_model.bundle import assemble_bundle, describe

        commit = git_commit(PROJECT)
        recipe = _recipe(spec, trained_model, commit)
        record: ServingModel | None = records.latest(spec.model, Stage.SERVING_MODEL, ServingModel)
        # The choice of a precision depends on measured speed: the same recipe keeps the bundle it has.
        if record is None or record.recipe != recipe or not bundles.path(record.bundle).is_dir():
            with retried_on_infrastructure():
                record = assemble_bundle(
                    spec,
                    training_set,
                    trained_model,
                    lake=lake,
                    bundles=bundles,
                    workspace=workspace,
                    commit=commit,
                    recipe=recipe,
                )
        metadata, version = describe(record, bundles), dg.DataVersion(record.bundle[:16])
        return dg.MaterializeResult(value=record, metadata=metadata, data_version=version)

    return asset


def _recipe(spec: ModelSpec, trained: TrainedModel, commit: str) -> str:
    content = f"{trained.digest}|{trained.training_set}|{trained.run_id}|{spec.serving}|{spec.declared}|{commit}"
    return hashlib.sha256(content.encode()).hexdigest()
