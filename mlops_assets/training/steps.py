"""What training consists of besides the network: device and arithmetic, loss, optimiser, learning rate, calibration.

The device that was asked for is the one that runs, or an error says why not.
"""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.training import TrainingSpec
from mlops_assets.training.layout import Layout
from mlops_assets.training.network import Model

_WARM_UP = 0.1  # share of all steps
_FLOOR = 0.01  # of the learning rate, at the end
# Calibration is pulled towards no change, as if a few more rows spoke for it: where a model separates a handful of
# validation rows without error, nothing else keeps its answers from becoming overconfident.
_PULL_OF_SLOPE = 2.0  # a slope beyond 0.6 to 1.6 has to be shown by the rows
_PULL_OF_BIAS = 0.1  # weaker: it undoes class weights


def device_of(asked: str) -> torch.device:
    """`auto` takes a GPU where there is one."""
    if asked not in ("auto", "cpu", "cuda"):
        raise ValueError(f"training.device is {asked!r}; it has to be auto, cpu or cuda")
    present = torch.cuda.is_available()
    if asked == "cuda" and not present:
        raise RuntimeError(
            "training.device is cuda, but torch finds no usable CUDA device."
            " Set training.device to auto or cpu, or run this where there is a GPU."
        )
    return torch.device("cuda" if present and asked != "cpu" else "cpu")


def autocast_type(asked: str, device: torch.device) -> torch.dtype | None:
    """None: plain float32. `auto` is bf16 on a GPU."""
    if asked not in ("auto", "fp32", "bf16"):
        raise ValueError(f"training.precision is {asked!r}; it has to be auto, fp32 or bf16")
    return torch.bfloat16 if asked == "bf16" or (asked == "auto" and device.type == "cuda") else None


@contextmanager
def reproducible(device: torch.device) -> Iterator[None]:
    """Deterministic kernels on one thread; torch's generator and settings are left as they were found.

    One thread: sums do not depend on the number of cores, so neither do the weights; and a network of this
    size gains little from more, while threads that wait for each other on shared cores are far slower.
    """
    if device.type == "cuda":  # cuBLAS is deterministic only with a fixed workspace, which it reads once
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before, threads = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(before)


def loss_of(logits: Tensor, targets: Tensor, kind: Kind, weights: Tensor | None) -> Tensor:
    """Mean over the rows, each weighted by its class where `weights` [k] are given."""
    if kind is Kind.REGRESSION:
        return functional.mse_loss(logits.squeeze(1), targets)
    if kind is Kind.MULTICLASS:
        return functional.cross_entropy(logits, targets, weight=weights)
    each = functional.binary_cross_entropy_with_logits(logits.squeeze(1), targets.float(), reduction="none")
    if weights is None:
        return each.mean()
    share = weights[targets]
    return (each * share).sum() / share.sum()


def class_weights(targets: Tensor, layout: Layout) -> Tensor | None:
    """Rare classes weigh more, all together as much as before. Regression has none."""
    if layout.kind is Kind.REGRESSION:
        return None
    counts = torch.bincount(targets, minlength=len(layout.classes)).clamp(min=1)
    return len(targets) / (len(layout.classes) * counts.float())


def optimiser_of(model: nn.Module, spec: TrainingSpec) -> torch.optim.AdamW:
    """Biases and norms are not decayed."""
    learnt = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learnt if p.dim() >= 2], "weight_decay": spec.weight_decay},
        {"params": [p for p in learnt if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=spec.learning_rate, betas=(0.9, 0.99), fused=True)


def learning_rate(spec: TrainingSpec, step: int, steps: int) -> float:
    """Of this step of all `steps`: up in a line, then down along a cosine."""
    warm_up = max(1, int(_WARM_UP * steps))
    if step < warm_up:
        return spec.learning_rate * (step + 1) / warm_up
    done = (step - warm_up) / max(1, steps - warm_up)
    return spec.learning_rate * (_FLOOR + (1 - _FLOOR) * 0.5 * (1 + math.cos(math.pi * done)))


def calibrate(model: Model, logits: Tensor, targets: Tensor) -> None:
    """Set slope and bias of the model's head by Platt's scaling on validation rows. Regression has neither."""
    kind = model.layout.kind
    if kind is Kind.REGRESSION:
        return
    slope, bias = fit_scaling(logits.double().cpu(), targets.cpu(), kind)
    model.slope.fill_(slope)
    model.bias.copy_(bias)


def fit_scaling(logits: Tensor, targets: Tensor, kind: Kind) -> tuple[float, Tensor]:
    """The slope and bias [outputs] with the least log loss."""
    log_slope = torch.zeros((), dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(logits.shape[1], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([log_slope, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = loss_of(logits * log_slope.exp() + bias, targets, kind, None)
        loss = loss + (_PULL_OF_SLOPE * log_slope.square() + _PULL_OF_BIAS * bias.square().sum()) / len(targets)
        loss.backward()
        return loss

    optimiser.step(closure)
    return float(log_slope.detach().exp()), bias.detach()
