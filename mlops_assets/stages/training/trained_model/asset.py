"""trained_model: the best network the search found, trained to the end, with the baselines it has to beat."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import Layer, Stage
from mlops_assets.domain.records import TrainedModel, TrainingSet
from mlops_assets.resources.lake.tables import Lake
from mlops_assets.resources.lake.workspace import Workspace
from mlops_assets.resources.registry.model_registry import Registry
from mlops_assets.resources.registry.provenance import pins, surroundings
from mlops_assets.resources.registry.tracking import TrackedRun
from mlops_assets.stages.common import PROJECT, asset_key, retried_on_infrastructure, stage_asset
from mlops_assets.stages.metadata import picture, table

if TYPE_CHECKING:
    from mlops_assets.training.search import TrialResult
    from mlops_assets.training.store import Trained

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
        with (
            retried_on_infrastructure(),
            workspace.alone(spec.model, "training", context.run.run_id) as folder,
            _tracked(spec, training_set, registry, context.run.run_id) as run,
        ):
            trained = _train(spec, training_set, lake, workspace, folder, run, registry, context)
            _tell(run, spec, training_set, trained)
            published = lake.publish_copy(spec.model, Layer.MODELS, trained.folder.name, trained.folder)
        record = TrainedModel(
            model=spec.model,
            training_set=training_set.digest,
            run_id=run.run_id,
            digest=trained.digest,
            path=published,
            parameters=dict(trained.parameters),
            validation_score=trained.score,
            metric=trained.metric,
        )
        return dg.MaterializeResult(
            value=record,
            metadata=_metadata(trained, run.url),
            data_version=dg.DataVersion(trained.digest[:16]),
        )

    return asset


def _tracked(spec: ModelSpec, training_set: TrainingSet, registry: Registry, dagster_run: str) -> Any:
    """The MLflow run of this training; the same one again where a killed training goes on."""
    around = surroundings(PROJECT)
    key = f"{spec.model}:{training_set.digest}:{spec.declared}:{around.code}"
    name = f"{spec.model} {training_set.as_of:%Y-%m-%d}"
    return registry.run(spec.model, name, key=key, dagster_run=dagster_run, commit=around.commit)


def _train(
    spec: ModelSpec,
    training_set: TrainingSet,
    lake: Lake,
    workspace: Workspace,
    folder: Path,
    run: TrackedRun,
    registry: Registry,
    context: dg.AssetExecutionContext,
) -> "Trained":
    from mlops_assets.domain.evaluation.metrics import metric_named
    from mlops_assets.domain.training_set.training_rows import read_parts
    from mlops_assets.training.train import Declared, train

    tables = read_parts(lake.fetch(f"{spec.model}/{Layer.TRAINING_SETS}/{training_set.digest}", workspace.cache))
    metric = metric_named(spec.gates.metric, spec.target.kind)
    return train(
        training_set,
        tables,
        Declared(spec.network, spec.training, spec.search, spec.target.transform),
        metric,
        folder,
        on_epoch=_epoch_teller(context.log.info, run, spec.training.epochs, metric.name),
        on_trial=_trial_teller(context.log.info, spec, run, registry, context.run.run_id),
    )


def _epoch_teller(
    say: Callable[[str], None], run: TrackedRun, epochs: int, metric: str
) -> Callable[[int, Mapping[str, float]], None]:
    def tell(epoch: int, metrics: Mapping[str, float]) -> None:
        measured = _measured(metrics)
        run.metrics(measured, step=epoch)
        told = ", ".join(f"{name} {value:.4g}" for name, value in measured.items())
        say(f"epoch {epoch} of at most {epochs}: {told}")

    return tell


def _trial_teller(
    say: Callable[[str], None], spec: ModelSpec, run: TrackedRun, registry: Registry, dagster_run: str
) -> "Callable[[TrialResult], None]":
    def tell(trial: "TrialResult") -> None:
        key = f"{run.run_id}:trial:{trial.number}"
        with registry.run(
            spec.model, f"trial {trial.number}", key=key, dagster_run=dagster_run, parent=run.run_id
        ) as child:
            child.params(trial.values)
            child.tags({"mlops.trial": trial.state})
            if trial.score is not None:
                child.metrics({spec.gates.metric: trial.score})
        score = "no score" if trial.score is None else f"{trial.score:.4f}"
        values = ", ".join(f"{name} {value}" for name, value in _rounded(trial.values).items())
        say(f"trial {trial.number + 1} of {spec.search.trials} ({trial.state}): {score} with {values}")

    return tell


def _measured(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name != "epoch"}


def _rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    """What was tried, for people to read."""
    return {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in sorted(values.items())}


def _tell(run: TrackedRun, spec: ModelSpec, training_set: TrainingSet, trained: "Trained") -> None:
    """What stands in MLflow beside the metrics of each epoch."""
    from mlops_assets.resources.plots.evaluation import learning_curve

    run.params({**trained.parameters, "trials": len(trained.trials), "rows": training_set.rows.get("train", 0)})
    run.tags({"mlops.training_set": training_set.digest, "mlops.feature_service": training_set.service})
    for each in trained.history:  # epochs of an earlier, killed execution may stand in another run or in none
        run.metrics(_measured(each), step=int(each["epoch"]))
    run.metrics({"validation_score": trained.score, "best_epoch": trained.best_epoch})
    run.dataset(
        name=f"{spec.model} training set",
        digest=training_set.digest,
        context="training",
        source={"lake": f"{spec.model}/{Layer.TRAINING_SETS}/{training_set.digest}"},
    )
    run.text("environment/requirements.txt", pins(surroundings(PROJECT)))
    run.figure("plots/learning_curve.png", learning_curve(trained.history))


def _metadata(trained: "Trained", url: str) -> dict[str, Any]:
    from mlops_assets.resources.plots.evaluation import learning_curve

    tried = sorted({name for each in trained.trials for name in each.values})
    trials = [
        [each.number + 1, each.state, each.score, *(each.values.get(name) for name in tried)] for each in trained.trials
    ]
    return {
        "mlflow_run": dg.MetadataValue.url(url),
        f"validation_{trained.metric}": trained.score,
        "best_epoch": trained.best_epoch,
        "epochs": len(trained.history),
        "learning_curve": picture(learning_curve(trained.history), "learning curve"),
        "parameters": table(("parameter", "value"), sorted(trained.parameters.items())),
        "trials": table(("trial", "state", "score", *tried), trials),
    }
