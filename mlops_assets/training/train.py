"""From a training set to a folder that holds the trained model: search, recipe, folds, refit, baselines.

The folder's name is a digest of all that goes in, so the same inputs find the finished folder, and a run
that was killed finds its own half-done one and goes on.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.training import TrainingSpec
from mlops_assets.domain.records import FoldScore, TrainingSet
from mlops_assets.domain.training_set.folds import Fold
from mlops_assets.domain.training_set.split import PARTS
from mlops_assets.domain.training_set.training_rows import every_row, time_span
from mlops_assets.training.baselines import BaselineFit, baseline_answers, choose_rounds, constant_answers
from mlops_assets.training.fits.task import Declared, Task, TrainingRecipe
from mlops_assets.training.fits.walk import WalkForward
from mlops_assets.training.loop import Fitted, OnEpoch, ScoringMetric, logits_of
from mlops_assets.training.network import Model
from mlops_assets.training.own_code import digest_own_code
from mlops_assets.training.rows import on_device, pack_parts
from mlops_assets.training.search import OnTrial, TrialResult, best_values, search
from mlops_assets.training.space import apply, declared_values, space_of
from mlops_assets.training.steps import calibrate, device_of, reproducible
from mlops_assets.training.store import (
    CHECKPOINT,
    RESULT,
    TRIALS,
    Trained,
    canonical_json,
    digest_bytes,
    read_result,
    save_baselines,
    save_out_of_time,
    save_result,
)

OnFold = Callable[[int, FoldScore], None]  # number, counted from 1


@dataclass(frozen=True)
class Progress:
    """Who hears of each epoch of the recipe, of each trial, of each fold and of each epoch of the refit."""

    on_epoch: OnEpoch = lambda epoch, metrics: None
    on_trial: OnTrial = lambda trial: None
    on_fold: OnFold = lambda number, fold: None
    on_refit: OnEpoch = lambda epoch, metrics: None


SILENT = Progress()


def train(
    training_set: TrainingSet,
    tables: Mapping[str, pa.Table],
    declared: Declared,
    *,
    metric: ScoringMetric,
    root: Path,
    folds: Sequence[Fold] = (),
    progress: Progress = SILENT,
    storage: BaseStorage | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Trained:
    """Train these inputs in a folder under `root`, but only what is not there yet.

    With `folds` the model learns every row, and the test rows are answered by the models of the folds.
    """
    device = device_of(declared.training.device)
    folder = root / run_name(training_set, declared, metric, folds)
    if (folder / RESULT).exists():
        return read_result(folder)
    parts = pack_parts(training_set, tables, declared.transform)
    folder.mkdir(parents=True, exist_ok=True)
    task = Task(training_set, parts, declared, metric, device)
    trials = (
        _search(task, storage or _journal(folder / TRIALS), clock, progress.on_trial) if declared.search.trials else ()
    )
    network, training = apply(best_values(trials, metric.higher_is_better), declared.network, declared.training)
    chosen = TrainingRecipe(network, training)
    model, fitted = task.fit_early(
        parts["train"], parts["validation"], chosen, checkpoint=folder / CHECKPOINT, on_epoch=progress.on_epoch
    )
    if folds:
        model, scores = _walk(_Walk(task, chosen, fitted, folds, every_row(tables), folder), model, progress)
    else:
        scores = ()
        _keep_oldest(task, model, training, folder)
    return save_result(
        folder, model, network, training, fitted=fitted, trials=trials, metric=metric.name, folds=scores
    )  # fmt: skip


def _keep_oldest(task: Task, model: Model, training: TrainingSpec, folder: Path) -> None:
    """Calibrate the model of the train part, and keep what the baselines answer that learnt the same."""
    train, validation, test = (task.parts[name] for name in PARTS)
    with reproducible(task.device):
        if training.calibrate:
            judged = on_device(validation, model.layout, task.device)
            calibrate(model, logits_of(model, judged), judged.targets)
    recipe = BaselineFit(training.seed, validation=validation)
    save_baselines(folder, baseline_answers(model.layout, train, test, recipe))


@dataclass(frozen=True, eq=False)
class _Walk:
    """What the folds and the refit start from."""

    task: Task
    recipe: TrainingRecipe
    fitted: Fitted
    folds: Sequence[Fold]
    rows: pa.Table
    folder: Path


def _walk(start: _Walk, model: Model, progress: Progress) -> tuple[Model, tuple[FoldScore, ...]]:
    """The model that learnt every row, and how well each fold answered rows that it had not learnt."""
    task, parts, training = start.task, start.task.parts, start.recipe.training
    no_model = constant_answers(model.layout, parts["train"], parts["test"])
    rounds = choose_rounds(model.layout, parts["train"], parts["validation"], training.seed)
    recipe = replace(start.recipe, training=training.with_changes(epochs=start.fitted.best_epoch))
    if training.calibrate and model.layout.kind is not Kind.REGRESSION:
        # the model that stopped early stopped in the middle of its schedule: its scale is no other model's
        model = task.fit_fully(
            parts["train"], recipe, checkpoint=start.folder / "validation.pt", on_epoch=lambda epoch, metrics: None
        )
    with reproducible(task.device):
        validated = logits_of(model, on_device(parts["validation"], model.layout, task.device)).cpu().numpy()
    found: list[FoldScore] = []

    def on_fold(number: int, fold: Fold, score: float | None) -> None:
        found.append(_fold_score(fold, score, start.rows))
        progress.on_fold(number, found[-1])

    walk = WalkForward(task, recipe, start.folds, start.folder, rounds, validated)
    model, answered = walk.run(progress.on_refit, on_fold)
    save_out_of_time(start.folder, replace(answered, baselines=answered.baselines | no_model))
    return model, tuple(found)


def _fold_score(fold: Fold, score: float | None, rows: pa.Table) -> FoldScore:
    learnt, scored = rows.take(fold.learnt), rows.take(fold.scored)
    first, last = time_span(scored)
    return FoldScore(len(learnt), time_span(learnt)[1], len(scored), first, last, score)


def run_name(training_set: TrainingSet, declared: Declared, metric: ScoringMetric, folds: Sequence[Fold] = ()) -> str:
    """Digest of everything that decides the weights, and by which models the test rows are scored."""
    record = {"code": _code(), "own_code": digest_own_code(declared.network)}
    record |= {"training_set": training_set.digest, "metric": metric.name}
    rows = (part.tobytes() for fold in folds for part in (fold.learnt, fold.scored))
    return digest_bytes(canonical_json({**record, "declared": _as_json(declared)}), *rows)[:16]


def _as_json(declared: Declared) -> dict[str, Any]:
    parts = {"network": declared.network, "training": declared.training, "search": declared.search}
    return {**{name: part.model_dump() for name, part in parts.items()}, "transform": declared.transform}


@cache
def _code() -> str:
    """Digest of this package: other code is another training."""
    return digest_bytes(*(file.read_bytes() for file in sorted(Path(__file__).parent.rglob("*.py"))))


def _search(task: Task, storage: BaseStorage, clock: Callable[[], float], on_trial: OnTrial) -> tuple[TrialResult, ...]:
    declared = task.declared
    space = space_of(declared.search.space, declared.network)
    return search(
        task.training_set.model,
        space,
        task.objective,
        first=declared_values(space, declared.network, declared.training),
        trials=declared.search.trials,
        seed=declared.training.seed,
        maximise=task.metric.higher_is_better,
        storage=storage,
        timeout=declared.search.timeout,
        clock=clock,
        on_trial=on_trial,
    )


def _journal(path: Path) -> BaseStorage:
    return JournalStorage(JournalFileBackend(str(path)))
