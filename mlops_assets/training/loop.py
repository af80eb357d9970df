"""The training loop: AdamW, warm-up and cosine, early stopping, a checkpoint after every epoch.

The data lies on the device as whole tensors; a batch is a slice of a permutation. Every epoch draws its
permutation and its dropout from a seed of its own, so a run that goes on after a kill ends with the same
weights bit for bit.
"""

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from mlops_assets.declaration.training import TrainingSpec
from mlops_assets.training.network import Model
from mlops_assets.training.rows import Batchable
from mlops_assets.training.steps import (
    autocast_type,
    class_weights,
    learning_rate,
    loss_of,
    optimiser_of,
    reproducible,
)
from serving.contract.atomic import replace_file

LEAST_STEPS = 100  # of an epoch: small data gets smaller batches
SMALLEST_BATCH = 64
_CLIP = 1.0  # largest norm of the gradient
_AT_ONCE = 16_384  # rows scored together
_EPOCHS_IN_A_SEED = 100_000

OnEpoch = Callable[[int, Mapping[str, float]], None]  # may raise to stop the run


class ScoringMetric(Protocol):
    """How answers are judged: `domain.metrics` holds real ones."""

    @property
    def name(self) -> str: ...
    @property
    def higher_is_better(self) -> bool: ...
    def __call__(self, labels: np.ndarray, scores: np.ndarray, /) -> float: ...


@dataclass(frozen=True)
class Fitted:
    score: float  # of the best epoch, on validation
    best_epoch: int  # counted from 1
    history: tuple[Mapping[str, float], ...]


@dataclass(frozen=True)
class Checkpoint:
    """The state after a whole epoch. Every epoch draws from its own seed, so no generator is kept."""

    epoch: int  # epochs done
    model: Mapping[str, Tensor]
    optimiser: Mapping[str, Any]
    best: Mapping[str, Tensor]  # the model after its best epoch
    history: list[dict[str, float]]  # one entry per epoch


def batch_size(spec: TrainingSpec, rows: int) -> int:
    """The declared size, or less where an epoch would have too few steps."""
    return max(min(spec.batch_size, rows // LEAST_STEPS), min(SMALLEST_BATCH, spec.batch_size))


def fit(
    model: Model,
    train: Batchable,
    validation: Batchable,
    *,
    spec: TrainingSpec,
    metric: ScoringMetric,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch = lambda epoch, metrics: None,
) -> Fitted:
    """Train `model` in place; it ends with the weights of its best epoch. Goes on from `checkpoint`."""
    run = _Run(model, train, spec, _Validation(validation, metric))
    _run_epochs(run, checkpoint, on_epoch)
    model.load_state_dict(run.best)
    best = run.best_entry
    return Fitted(best[metric.name], int(best["epoch"]), tuple(run.history))


def fit_all_epochs(
    model: Model,
    train: Batchable,
    *,
    spec: TrainingSpec,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch = lambda epoch, metrics: None,
) -> None:
    """Train `model` in place for all `spec.epochs`: no row stops it early. Goes on from `checkpoint`."""
    _run_epochs(_Run(model, train, spec, None), checkpoint, on_epoch)


def _run_epochs(run: "_Run", checkpoint: Path | None, on_epoch: OnEpoch) -> None:
    device = run.train.targets.device
    with reproducible(device):
        found = load_checkpoint(checkpoint, device)
        if found is not None:
            run.restore(found)
        while run.epoch < run.spec.epochs and not run.stale:
            run.one_epoch()
            if checkpoint is not None:
                save_checkpoint(checkpoint, run.state())
            on_epoch(run.epoch, run.history[-1])


@torch.no_grad()
def logits_of(model: Model, data: Batchable, dtype: torch.dtype | None = None) -> Tensor:
    """Logits [n, outputs] in evaluation mode."""
    model.eval()
    parts = []
    for start in range(0, len(data), _AT_ONCE):
        chosen = slice(start, start + _AT_ONCE)
        with _cast(dtype, data.targets.device):
            parts.append(model(data.numbers[chosen], data.codes[chosen]))
    return torch.cat(parts)


@torch.no_grad()
def answers_of(model: Model, data: Batchable, dtype: torch.dtype | None = None) -> np.ndarray:
    return model.answer(logits_of(model, data, dtype)).cpu().numpy()


@dataclass(frozen=True)
class _Validation:
    """The rows and the metric that choose the best epoch and end the training early."""

    rows: Batchable
    metric: ScoringMetric


class _Run:
    """One training run: what changes from step to step."""

    def __init__(self, model: Model, train: Batchable, spec: TrainingSpec, validation: _Validation | None) -> None:
        self.model, self.train, self.validation, self.spec = model, train, validation, spec
        device = train.targets.device
        self.dtype = autocast_type(spec.precision, device)
        self.optimiser = optimiser_of(model, spec)
        self.batch = batch_size(spec, len(train))
        self.steps = math.ceil(len(train) / self.batch)
        self.weights = class_weights(train.targets, model.layout) if spec.class_weights else None
        compiled = spec.compile and device.type == "cuda"
        self.loss = torch.compile(self._loss) if compiled else self._loss
        self.epoch = 0
        self.best: Mapping[str, Tensor] = {}
        self.history: list[dict[str, float]] = []

    def one_epoch(self) -> None:
        torch.manual_seed(self.spec.seed * _EPOCHS_IN_A_SEED + self.epoch)
        device = self.train.targets.device
        self.model.train()
        order = torch.randperm(len(self.train)).to(device)
        total = torch.zeros((), device=device)
        for step, start in enumerate(range(0, len(order), self.batch)):
            total += self._step(order[start : start + self.batch], self.epoch * self.steps + step)
        self.epoch += 1
        self._judge(float(total) / self.steps)

    def _step(self, chosen: Tensor, step: int) -> Tensor:
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.spec, step, self.steps * self.spec.epochs)
        self.optimiser.zero_grad(set_to_none=True)
        with _cast(self.dtype, chosen.device):
            loss = self.loss(self.train.numbers[chosen], self.train.codes[chosen], self.train.targets[chosen])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), _CLIP)
        self.optimiser.step()
        return loss.detach()

    def _loss(self, numbers: Tensor, codes: Tensor, targets: Tensor) -> Tensor:
        return loss_of(self.model(numbers, codes), targets, self.model.layout.kind, self.weights)

    def _judge(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"training diverged in epoch {self.epoch}: the loss is {loss}. Lower training.learning_rate"
                f" (now {self.spec.learning_rate:g}), or look for labels that are far out."
            )
        entry = {"epoch": float(self.epoch), "loss": loss}
        self.history.append(entry)
        if self.validation is None:
            return
        entry |= self._validate(self.validation)
        if self.best_entry is entry:
            self.best = {name: value.clone() for name, value in self.model.state_dict().items()}

    def _validate(self, validation: _Validation) -> dict[str, float]:
        rows, metric = validation.rows, validation.metric
        logits = logits_of(self.model, rows, self.dtype)
        answers = self.model.answer(logits).cpu().numpy()
        return {
            "validation_loss": float(loss_of(logits, rows.targets, self.model.layout.kind, None)),
            metric.name: float(metric(rows.labels, answers)),
        }

    @property
    def best_entry(self) -> dict[str, float]:
        assert self.validation is not None
        metric = self.validation.metric
        sign = 1 if metric.higher_is_better else -1
        return max(self.history, key=lambda entry: sign * entry[metric.name])

    @property
    def stale(self) -> bool:
        """No better for `patience` epochs."""
        if self.validation is None or not self.history:
            return False
        return self.epoch - self.best_entry["epoch"] >= self.spec.patience

    def state(self) -> Checkpoint:
        return Checkpoint(self.epoch, self.model.state_dict(), self.optimiser.state_dict(), self.best, self.history)

    def restore(self, found: Checkpoint) -> None:
        self.model.load_state_dict(found.model)
        self.optimiser.load_state_dict(dict(found.optimiser))
        self.epoch, self.best, self.history = found.epoch, found.best, found.history


def _cast(dtype: torch.dtype | None, device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    buffer = io.BytesIO()
    torch.save(dict(vars(checkpoint)), buffer)
    replace_file(path, buffer.getvalue())


def load_checkpoint(path: Path | None, device: torch.device) -> Checkpoint | None:
    """None where there is no checkpoint. No pickle is executed."""
    if path is None or not path.exists():
        return None
    return Checkpoint(**torch.load(path, map_location=device, weights_only=True))
