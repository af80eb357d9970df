"""From a training set to a folder that holds the trained model: search, the final run, calibration, baselines.

The folder's name is a digest of all that goes in, so the same inputs find the finished folder, and a run
that was killed finds its own half-done one and goes on.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from mlops_assets.declaration.training import NetworkSpec, SearchSpec, TrainingSpec
from mlops_assets.domain.records import TrainingSet
from mlops_assets.training.baselines import baseline_answers
from mlops_assets.training.fitting import learn_layout
from mlops_assets.training.layout import Layout
from mlops_assets.training.loop import OnEpoch, ScoringMetric, fit, logits_of
from mlops_assets.training.network import Model, build
from mlops_assets.training.rows import Rows, on_device, pack_parts
from mlops_assets.training.search import OnTrial, Report, TrialResult, best_values, search
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
    save_result,
)

_LEAST_SAMPLE = 4_000  # rows of a trial, where there are as many
_MOST_VALIDATION = 20_000  # rows a trial is judged on
_LEARNT_FROM = ("train", "validation")


@dataclass(frozen=True)
class Declared:
    """What a model's declaration says about training."""

    network: NetworkSpec
    training: TrainingSpec
    search: SearchSpec
    transform: str


@dataclass(frozen=True)
class _Task:
    """What every fit of one training shares: rows, declaration, metric, device."""

    training_set: TrainingSet
    parts: Mapping[str, Rows]
    declared: Declared
    metric: ScoringMetric
    device: torch.device

    def learn_layout(self, rows: Rows, network: NetworkSpec) -> Layout:
        known = self.training_set
        return learn_layout(
            rows, known.inputs, known.kind, classes=known.classes, bins=network.bins, transform=self.declared.transform
        )

    def new_model(self, layout: Layout, network: NetworkSpec, training: TrainingSpec) -> Model:
        torch.manual_seed(training.seed)
        return build(layout, network).to(self.device)

    def objective(self, values: Mapping[str, Any], report: Report) -> float:
        """The score of one trial: a sample of the training rows, the same for every trial, and few epochs."""
        declared = self.declared
        network, training = apply(values, declared.network, declared.training)
        training = training.with_changes(epochs=declared.search.epochs)
        layout = self.learn_layout(self._samples["train"], network)
        with reproducible(self.device):
            model = self.new_model(layout, network, training)
            train, validation = (on_device(self._samples[part], layout, self.device) for part in _LEARNT_FROM)
            return fit(
                model,
                train,
                validation,
                spec=training,
                metric=self.metric,
                on_epoch=lambda epoch, found: report(epoch, found[self.metric.name]),
            ).score

    @cached_property
    def _samples(self) -> Mapping[str, Rows]:
        train, validation = (self.parts[part] for part in _LEARNT_FROM)
        size, seed = max(int(self.declared.search.sample * len(train)), _LEAST_SAMPLE), self.declared.training.seed
        return {"train": sample(train, size, seed), "validation": sample(validation, _MOST_VALIDATION, seed)}


def train(
    training_set: TrainingSet,
    tables: Mapping[str, pa.Table],
    declared: Declared,
    *,
    metric: ScoringMetric,
    root: Path,
    on_epoch: OnEpoch = lambda epoch, metrics: None,
    on_trial: OnTrial = lambda trial: None,
    storage: BaseStorage | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Trained:
    """The trained model of these inputs, in a folder under `root`. Trains only what is not there yet."""
    device = device_of(declared.training.device)
    folder = root / run_name(training_set, declared, metric)
    if (folder / RESULT).exists():
        return read_result(folder)
    parts = pack_parts(training_set, tables, declared.transform)
    folder.mkdir(parents=True, exist_ok=True)
    task = _Task(training_set, parts, declared, metric, device)
    trials = _search(task, storage or _journal(folder / TRIALS), clock, on_trial) if declared.search.trials else ()
    network, training = apply(best_values(trials, metric.higher_is_better), declared.network, declared.training)
    layout = task.learn_layout(parts["train"], network)
    with reproducible(device):
        model = task.new_model(layout, network, training)
        data, unseen = (on_device(parts[part], layout, device) for part in _LEARNT_FROM)
        checkpoint = folder / CHECKPOINT
        fitted = fit(model, data, unseen, spec=training, metric=metric, checkpoint=checkpoint, on_epoch=on_epoch)
        if training.calibrate:
            calibrate(model, logits_of(model, unseen), unseen.targets)
    save_baselines(folder, baseline_answers(layout, parts, training.seed))
    return save_result(folder, model, network, training, fitted=fitted, trials=trials, metric=metric.name)


def run_name(training_set: TrainingSet, declared: Declared, metric: ScoringMetric) -> str:
    """Digest of everything that decides the weights."""
    record = {"code": _code(), "training_set": training_set.digest, "metric": metric.name}
    return digest_bytes(canonical_json({**record, "declared": _as_json(declared)}))[:16]


def _as_json(declared: Declared) -> dict[str, Any]:
    parts = {"network": declared.network, "training": declared.training, "search": declared.search}
    return {**{name: part.model_dump() for name, part in parts.items()}, "transform": declared.transform}


@cache
def _code() -> str:
    """Digest of this package: other code is another training."""
    return digest_bytes(*(file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py"))))


def _search(
    task: _Task, storage: BaseStorage, clock: Callable[[], float], on_trial: OnTrial
) -> tuple[TrialResult, ...]:
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


def sample(rows: Rows, size: int, seed: int) -> Rows:
    """At most `size` rows in their order; all of them where a sample would lose a class altogether."""
    if size >= len(rows):
        return rows
    index = np.sort(np.random.default_rng(seed).choice(len(rows), size, replace=False))
    taken = rows.take(index)
    return taken if len(np.unique(taken.labels)) > 1 else rows
