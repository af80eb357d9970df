"""From a training set to a folder that holds the trained model: search, the final run, calibration,
baselines.

The folder's name is a digest of all that goes in, so the same inputs find the finished folder, and a run
that was killed finds its own half-done one and goes on.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch

from mlops_assets.declaration.training import NetworkSpec, SearchSpec, TrainingSpec
from mlops_assets.domain.records import TrainingSet
from mlops_assets.training import search as searching
from mlops_assets.training.baselines import baseline_answers
from mlops_assets.training.calibration import calibrate
from mlops_assets.training.device import device_of, reproducible
from mlops_assets.training.files import canonical_json, digest_of
from mlops_assets.training.fitting import learn_layout
from mlops_assets.training.layout import Layout
from mlops_assets.training.loop import Batchable, Fitted, Metric, OnEpoch, fit, on_device
from mlops_assets.training.network import Model, build
from mlops_assets.training.rows import Rows, pack_parts
from mlops_assets.training.search import OnTrial, TrialResult
from mlops_assets.training.space import apply, declared_values, space_of
from mlops_assets.training.store import (
    CHECKPOINT,
    RESULT,
    TRIALS,
    Trained,
    read_result,
    save_baselines,
    save_result,
)

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

_LEAST_SAMPLE = 4_000  # rows of a trial, where there are as many
_MOST_VALIDATION = 20_000  # rows a trial is judged on


@dataclass(frozen=True)
class Declared:
    """What a model's declaration says about training."""

    network: NetworkSpec
    training: TrainingSpec
    search: SearchSpec
    transform: str


def train(
    training_set: TrainingSet,
    tables: Mapping[str, pa.Table],
    declared: Declared,
    metric: Metric,
    root: Path,
    *,
    on_epoch: OnEpoch = lambda epoch, metrics: None,
    on_trial: OnTrial = lambda trial: None,
    storage: "BaseStorage | None" = None,
    clock: Callable[[], float] = time.monotonic,
) -> Trained:
    """The trained model of these inputs, in a folder under `root`. Trains only what is not there yet."""
    device = device_of(declared.training.device)
    folder = root / run_name(training_set, declared, metric)
    if (folder / RESULT).exists():
        return read_result(folder)
    parts = pack_parts(training_set, tables, declared.transform)
    folder.mkdir(parents=True, exist_ok=True)
    trials = _search(folder, training_set, parts, declared, metric, device, storage, clock, on_trial)
    values = searching.best_values(trials, metric.higher_is_better)
    network, training = apply(values, declared.network, declared.training)
    layout = _layout(parts["train"], training_set, network, declared.transform)
    with reproducible(device):
        model = _new_model(layout, network, training, device)
        data = {part: on_device(parts[part], layout, device) for part in ("train", "validation")}
        fitted = _fit(model, data, training, metric, folder / CHECKPOINT, on_epoch)
        if training.calibrate:
            calibrate(model, data["validation"])
    save_baselines(folder, baseline_answers(layout, parts, training.seed))
    return save_result(folder, model, network, training, fitted, trials, metric.name)


def run_name(training_set: TrainingSet, declared: Declared, metric: Metric) -> str:
    """Digest of everything that decides the weights."""
    record = {"code": _code(), "training_set": training_set.digest, "metric": metric.name}
    return digest_of(canonical_json({**record, "declared": _as_json(declared)}))[:16]


def _as_json(declared: Declared) -> dict[str, Any]:
    parts = {"network": declared.network, "training": declared.training, "search": declared.search}
    return {**{name: part.model_dump() for name, part in parts.items()}, "transform": declared.transform}


@cache
def _code() -> str:
    """Digest of this package: other code is another training."""
    return digest_of(*(file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py"))))


def _layout(rows: Rows, training_set: TrainingSet, network: NetworkSpec, transform: str) -> Layout:
    return learn_layout(rows, training_set.inputs, training_set.kind, training_set.classes, network.bins, transform)


def _new_model(layout: Layout, network: NetworkSpec, training: TrainingSpec, device: torch.device) -> Model:
    torch.manual_seed(training.seed)
    return build(layout, network).to(device)


def _fit(
    model: Model,
    data: Mapping[str, Batchable],
    training: TrainingSpec,
    metric: Metric,
    checkpoint: Path | None,
    on_epoch: OnEpoch,
) -> Fitted:
    return fit(model, data["train"], data["validation"], training, metric, checkpoint=checkpoint, on_epoch=on_epoch)


def _search(
    folder: Path,
    training_set: TrainingSet,
    parts: Mapping[str, Rows],
    declared: Declared,
    metric: Metric,
    device: torch.device,
    storage: "BaseStorage | None",
    clock: Callable[[], float],
    on_trial: OnTrial,
) -> tuple[TrialResult, ...]:
    if not declared.search.trials:
        return ()
    space = space_of(declared.search.space, declared.network)
    return searching.search(
        training_set.model,
        space,
        _objective(training_set, parts, declared, metric, device),
        first=declared_values(space, declared.network, declared.training),
        trials=declared.search.trials,
        seed=declared.training.seed,
        maximise=metric.higher_is_better,
        storage=storage or _journal(folder / TRIALS),
        timeout=declared.search.timeout,
        clock=clock,
        on_trial=on_trial,
    )


def _journal(path: Path) -> "BaseStorage":
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(path)))


def _objective(
    training_set: TrainingSet,
    parts: Mapping[str, Rows],
    declared: Declared,
    metric: Metric,
    device: torch.device,
) -> searching.Objective:
    """A trial sees a sample of the training rows, the same for every trial, and few epochs."""
    seed = declared.training.seed
    train = sample(parts["train"], max(int(declared.search.sample * len(parts["train"])), _LEAST_SAMPLE), seed)
    validation = sample(parts["validation"], _MOST_VALIDATION, seed)

    def objective(values: Mapping[str, Any], report: searching.Report) -> float:
        network, training = apply(values, declared.network, declared.training)
        training = training.with_changes(epochs=declared.search.epochs)
        layout = _layout(train, training_set, network, declared.transform)
        with reproducible(device):
            model = _new_model(layout, network, training, device)
            data = {
                "train": on_device(train, layout, device),
                "validation": on_device(validation, layout, device),
            }
            fitted = _fit(model, data, training, metric, None, lambda epoch, found: report(epoch, found[metric.name]))
        return fitted.score

    return objective


def sample(rows: Rows, size: int, seed: int) -> Rows:
    """At most `size` rows in their order; all of them where a sample would lose a class altogether."""
    if size >= len(rows):
        return rows
    index = np.sort(np.random.default_rng(seed).choice(len(rows), size, replace=False))
    taken = rows.take(index)
    return taken if len(np.unique(taken.labels)) > 1 else rows
