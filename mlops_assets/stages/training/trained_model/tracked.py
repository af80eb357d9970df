"""Trains the declared model and keeps an MLflow run of it: each epoch, each trial, what came out."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.evaluation.metrics import metric_named
from mlops_assets.domain.names import Layer, training_set_path
from mlops_assets.domain.records import FoldScore, TrainedModel, TrainingSet
from mlops_assets.domain.training_set.training_rows import every_row, plan_folds, time_span
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.workspace import Workspace
from mlops_assets.resources.plots.evaluation import learning_curve
from mlops_assets.resources.registry.model_registry import Registry
from mlops_assets.resources.registry.provenance import read_environment, requirements
from mlops_assets.resources.registry.tracking import TrackedRun
from mlops_assets.stages.common import PROJECT
from mlops_assets.stages.metadata import picture, table
from mlops_assets.stages.training.collect import read_training_set
from mlops_assets.training.fits.task import Declared
from mlops_assets.training.loop import OnEpoch
from mlops_assets.training.search import OnTrial, TrialResult
from mlops_assets.training.store import Trained
from mlops_assets.training.train import OnFold, Progress, train


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
                folds=plan_folds(spec, tables, champion_until=self.training_set.champion_until),
                progress=self._progress(run),
            )
            learnt = every_row(tables) if trained.folds else tables["train"]
            self._log_result(run, trained, learnt)
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
            learnt=len(learnt),
            learnt_until=time_span(learnt)[1],
            folds=trained.folds,
        )
        return record, _metadata(record, trained, run.url)

    def _tracked(self) -> AbstractContextManager[TrackedRun]:
        around = read_environment(PROJECT)
        model, training_set = self.spec.model, self.training_set
        key = f"{model}:{training_set.digest}:{self.spec.declared}:{around.code}"
        name = f"{model} {training_set.as_of:%Y-%m-%d}"
        return self.registry.run(model, name, key=key, dagster_run=self.dagster_run, commit=around.commit)

    def _progress(self, run: TrackedRun) -> Progress:
        return Progress(
            on_epoch=self._log_epochs(run),
            on_trial=self._log_trials(run),
            on_fold=self._log_folds(run),
            on_refit=lambda epoch, metrics: self.log(f"refit on every row, epoch {epoch}: loss {metrics['loss']:.4g}"),
        )

    def _log_folds(self, run: TrackedRun) -> OnFold:
        metric = self.spec.gates.metric

        def log_fold(number: int, fold: FoldScore) -> None:
            if fold.score is not None:
                run.metrics({f"fold_{metric}": fold.score}, step=number)
            self.log(f"fold {number} of {self.spec.training.folds}: {describe_fold(fold, metric)}")

        return log_fold

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

    def _log_result(self, run: TrackedRun, trained: Trained, learnt: pa.Table) -> None:
        training_set = self.training_set
        run.params({**trained.parameters, "trials": len(trained.trials), "rows": len(learnt)})
        run.tags({"mlops.training_set": training_set.digest, "mlops.feature_service": training_set.service})
        for each in trained.history:  # epochs before a kill may be in another run, or in none
            run.metrics(_measured(each), step=int(each["epoch"]))
        run.metrics({"validation_score": trained.score, "best_epoch": trained.best_epoch})
        run.dataset(
            name=f"{training_set.model} training set",
            digest=training_set.digest,
            context="training",
            source={"lake": training_set_path(training_set.model, training_set.digest)},
        )
        run.text("environment/requirements.txt", requirements(read_environment(PROJECT)))
        run.figure("plots/learning_curve.png", learning_curve(trained.history))


def _measured(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name != "epoch"}


def _rounded(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def describe_fold(fold: FoldScore, metric: str) -> str:
    """A fold in one line of the log."""
    until = f" until {fold.learnt_until:%Y-%m-%d %H:%M}" if fold.learnt_until else ""
    score = f"{metric} {fold.score:.4f}" if fold.score is not None else f"no {metric}: its rows cannot be measured"
    return f"learnt {fold.learnt:,} rows{until}, answered {fold.rows:,} later ones: {score}"


def _metadata(record: TrainedModel, trained: Trained, url: str) -> dict[str, Any]:
    names = sorted({name for each in trained.trials for name in each.values})
    trials = [
        [each.number + 1, each.state, each.score, *(each.values.get(name) for name in names)] for each in trained.trials
    ]
    return {
        "mlflow_run": dg.MetadataValue.url(url),
        f"validation_{trained.metric}": trained.score,
        "learnt_rows": record.learnt,
        "learnt_until": f"{record.learnt_until:%Y-%m-%d %H:%M} UTC" if record.learnt_until else "rows without a time",
        "folds": table(
            ("rows learnt", "learnt until", "rows scored", "from", "to", trained.metric),
            [(f.learnt, f.learnt_until, f.rows, f.first, f.last, f.score) for f in record.folds],
        ),
        "best_epoch": trained.best_epoch,
        "epochs": len(trained.history),
        "learning_curve": picture(learning_curve(trained.history), "learning curve"),
        "parameters": table(("parameter", "value"), sorted(trained.parameters.items())),
        "trials": table(("trial", "state", "score", *names), trials),
    }
