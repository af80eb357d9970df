"""Calibrates a classifier on validation rows by Platt's scaling: one slope for all logits, a bias each."""

import torch
from torch import Tensor

from mlops_assets.declaration.data import Kind
from mlops_assets.training.loop import Batchable, logits_of
from mlops_assets.training.network import Model
from mlops_assets.training.steps import loss_of

# Towards no change, as if a few rows said so: where a handful of validation rows are told apart without error,
# nothing else keeps the answers from becoming sure of themselves.
_PULL_OF_SLOPE = 2.0  # a slope beyond 0.6 to 1.6 has to be shown by the rows
_PULL_OF_BIAS = 0.1  # weaker: it undoes class weights


def calibrate(model: Model, validation: Batchable) -> None:
    """Set the slope and bias of the model's head. Regression has none."""
    kind = model.layout.kind
    if kind is Kind.REGRESSION:
        return
    slope, bias = fit_scaling(logits_of(model, validation).double().cpu(), validation.targets.cpu(), kind)
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
