"""Trains the declared model and keeps an MLflow run of it: each epoch, each trial, what came out."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.evaluation.metrics import metric_named
from mlops_assets.domain.names import Layer
from mlops_assets.domain.records import TrainedModel, TrainingSet
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.workspace import Workspace
from mlops_assets.resources.plots.evaluation import learning_curve
from mlops_assets.resources.registry.model_registry import Registry
from mlops_assets.resources.registry.provenance import read_environment, requirements
from mlops_assets.resources.registry.tracking import TrackedRun
from mlops_assets.stages.common import PROJECT
from mlops_assets.stages.metadata import picture, table
from mlops_assets.stages.training.collect import read_training_set, training_set_path
from mlops_assets.training.loop import OnEpoch
from mlops_assets.training.search import OnTrial, TrialResult
from mlops_assets.training.store import Trained
from mlops_assets.training.train import Declared, train


@dataclass(frozen=True)
class TrackedTraining:
    """One training of a model. A killed one goes on in the same MLflow run."""

    spec: ModelSpec
    training_set: TrainingSet
    registry: Registry
    dagster_run: str
    log: Callable[[str], None]

    def run(self, folder: Path, lake: Lake, workspace: Workspace) -> tuple[TrainedModel, dict[str, Any]]:
        """The record and the metadata of the trained model. `folder` is where it is trained."""
        spec, tables = self.spec, read_training_set(self.training_set, lake, workspace)
        with self._tracked() as run:
            trained = train(
                self.training_set,
                tables,
                Declared(spec.network, spec.training, spec.search, spec.target.transform),
                metric=metric_named(spec.gates.metric, spec.target.kind),
                root=folder,
                on_epoch=self._log_epochs(run),
                on_trial=self._log_trials(run),
            )
            self._log_result(run, trained)
            published = lake.publish_copy(spec.model, Layer.MODELS, trained.folder.name, trained.folder)
        record = TrainedModel(
            model=spec.model,
            training_set=self.training_set.digest,
            run_id=run.run_id,
            digest=trained.digest,
            path=published,
            parameters=dict(trained.parameters),
            validation_score=trained.score,
            metric=trained.metric,
        )
        return record, _metadata(trained, run.url)

    def _tracked(self) -> AbstractContextManager[TrackedRun]:
        around = read_environment(PROJECT)
        model, training_set = self.spec.model, self.training_set
        key = f"{model}:{training_set.digest}:{self.spec.declared}:{around.code}"
        name = f"{model} {training_set.as_of:%Y-%m-%d}"
        return self.registry.run(model, name, key=key, dagster_run=self.dagster_run, commit=around.commit)

    def _log_epochs(self, run: TrackedRun) -> OnEpoch:
        def log_epoch(epoch: int, metrics: Mapping[str, float]) -> None:
            measured = _measured(metrics)
            run.metrics(measured, step=epoch)
            values = ", ".join(f"{name} {value:.4g}" for name, value in measured.items())
            self.log(f"epoch {epoch} of at most {self.spec.training.epochs}: {values}")

        return log_epoch

    def _log_trials(self, run: TrackedRun) -> OnTrial:
        spec, dagster_run = self.spec, self.dagster_run

        def log_trial(trial: TrialResult) -> None:
            name, key = f"trial {trial.number}", f"{run.run_id}:trial:{trial.number}"
            with self.registry.run(spec.model, name, key=key, dagster_run=dagster_run, parent=run.run_id) as child:
                child.params(trial.values)
                child.tags({"mlops.trial": trial.state})
                if trial.score is not None:
                    child.metrics({spec.gates.metric: trial.score})
            score = "no score" if trial.score is None else f"{trial.score:.4f}"
            values = ", ".join(f"{name} {_rounded(value)}" for name, value in sorted(trial.values.items()))
            self.log(f"trial {trial.number + 1} of {spec.search.trials} ({trial.state}): {score} with {values}")

        return log_trial

    def _log_result(self, run: TrackedRun, trained: Trained) -> None:
        training_set = self.training_set
        run.params({**trained.parameters, "trials": len(trained.trials), "rows": training_set.rows.get("train", 0)})
        run.tags({"mlops.training_set": training_set.digest, "mlops.feature_service": training_set.service})
        for each in trained.history:  # epochs before a kill may be in another run, or in none
            run.metrics(_measured(each), step=int(each["epoch"]))
        run.metrics({"validation_score": trained.score, "best_epoch": trained.best_epoch})
        run.dataset(
            name=f"{training_set.model} training set",
            digest=training_set.digest,
            context="training",
            source={"lake": training_set_path(training_set)},
        )
        run.text("environment/requirements.txt", requirements(read_environment(PROJECT)))
        run.figure("plots/learning_curve.png", learning_curve(trained.history))


def _measured(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name != "epoch"}


def _rounded(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _metadata(trained: Trained, url: str) -> dict[str, Any]:
    names = sorted({name for each in trained.trials for name in each.values})
    trials = [
        [each.number + 1, each.state, each.score, *(each.values.get(name) for name in names)] for each in trained.trials
    ]
    return {
        "mlflow_run": dg.MetadataValue.url(url),
        f"validation_{trained.metric}": trained.score,
        "best_epoch": trained.best_epoch,
        "epochs": len(trained.history),
        "learning_curve": picture(learning_curve(trained.history), "learning curve"),
        "parameters": table(("parameter", "value"), sorted(trained.parameters.items())),
        "trials": table(("trial", "state", "score", *names), trials),
    }
