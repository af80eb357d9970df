"""What one step of training is made of: loss, class weights, optimiser, learning rate."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.training import TrainingSpec
from mlops_assets.training.layout import Layout

_WARM_UP = 0.1  # share of all steps
_FLOOR = 0.01  # of the learning rate, at the end


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
