"""trained_model: the best network the search found, trained to the end, with the baselines it has to beat."""

import dagster as dg

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import Stage
from mlops_assets.domain.records import TrainedModel, TrainingSet
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.workspace import Workspace
from mlops_assets.resources.registry.model_registry import Registry
from mlops_assets.stages.common import asset_key, retried_on_infrastructure, stage_asset

_GPU_POOL = "gpu"


def trained_model(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `[model, trained_model]`."""

    @stage_asset(
        spec,
        Stage.TRAINED_MODEL,
        "pytorch",
        "mlflow",
        ins={"training_set": dg.AssetIn(asset_key(spec.model, Stage.TRAINING_SET))},
        pool=None if spec.training.device == "cpu" else _GPU_POOL,
        description="The best network of the search, trained to the end, and the baselines beside it.",
    )
    def asset(
        context: dg.AssetExecutionContext,
        training_set: TrainingSet,
        lake: Lake,
        registry: Registry,
        workspace: Workspace,
    ) -> dg.MaterializeResult[TrainedModel]:
        from mlops_assets.stages.training.trained_model.tracked import TrackedTraining

        training = TrackedTraining(spec, training_set, registry, context.run.run_id, context.log.info)
        with retried_on_infrastructure(), workspace.alone(spec.model, "training", context.run.run_id) as folder:
            record, metadata = training.run(folder, lake, workspace)
        return dg.MaterializeResult(value=record, metadata=metadata, data_version=dg.DataVersion(record.digest[:16]))

    return asset
