"""Which fields of `network` and `training` a search may set, and how a trial's values become specs."""

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from mlops_assets.declaration.training import Dimension, NetworkSpec, TrainingSpec
from mlops_assets.training.network import TABULAR

OPTION = "options."  # prefix of the options of a network of one's own
_OF_NETWORK = ("width", "depth", "dropout", "embedding", "bins")
_OF_TRAINING = ("learning_rate", "weight_decay", "batch_size", "class_weights")

Value = float | int | str | bool | None


def _interval(low: float, high: float, *, log: bool = False, integer: bool = False) -> Dimension:
    return Dimension(low=low, high=high, log=log, integer=integer)


_RATES = {
    "learning_rate": _interval(5e-4, 5e-3, log=True),
    "weight_decay": _interval(1e-3, 3e-1, log=True),
}
_SHAPE = {
    "width": Dimension(integer=True, choices=(96, 128, 192, 256)),
    "depth": _interval(1, 3, integer=True),
    "dropout": _interval(0.0, 0.4),
    "embedding": Dimension(integer=True, choices=(4, 8, 16)),
}


def space_of(declared: Mapping[str, Dimension], network: NetworkSpec) -> Mapping[str, Dimension]:
    """The declared axes, or those that matter most. One error lists every axis that means nothing."""
    if not declared:
        return {**_RATES, **_SHAPE} if network.type == TABULAR else _RATES
    problems = [problem for name, axis in declared.items() for problem in _problems(name, axis)]
    if problems:
        raise ValueError("search.space: " + "; ".join(problems))
    return declared


def _problems(name: str, axis: Dimension) -> list[str]:
    if name not in _OF_NETWORK + _OF_TRAINING and not name.startswith(OPTION):
        known = ", ".join((*_OF_NETWORK, *_OF_TRAINING))
        return [f"{name} cannot be searched; known are {known} and {OPTION}<name>"]
    if axis.choices:
        return []
    if axis.low is None or axis.high is None:
        return [f"{name} needs low and high, or choices"]
    if axis.low > axis.high:
        return [f"{name}: low {axis.low:g} is above high {axis.high:g}"]
    return [f"{name}: log needs a low above 0"] if axis.log and axis.low <= 0 else []


def distribution(axis: Dimension) -> BaseDistribution:
    """The axis as Optuna knows it."""
    if axis.choices:
        return CategoricalDistribution(axis.choices)
    low, high = axis.low or 0.0, axis.high or 0.0
    if axis.integer:
        return IntDistribution(int(low), int(high), log=axis.log)
    return FloatDistribution(low, high, log=axis.log)


def apply(values: Mapping[str, Any], network: NetworkSpec, training: TrainingSpec) -> tuple[NetworkSpec, TrainingSpec]:
    """The specs with a trial's values in place."""
    options = {name.removeprefix(OPTION): v for name, v in values.items() if name.startswith(OPTION)}
    shape = {name: v for name, v in values.items() if name in _OF_NETWORK}
    rates = {name: v for name, v in values.items() if name in _OF_TRAINING}
    changed = network.with_changes(**shape, options={**network.options, **options})
    return changed, training.with_changes(**rates)


def declared_values(space: Mapping[str, Dimension], network: NetworkSpec, training: TrainingSpec) -> dict[str, Any]:
    """What the specs say on each axis: where they lie in the space, the first trial starts there."""
    values = {name: _declared(name, network, training) for name in space}
    return {name: v for name, v in values.items() if v is not None and _contains(space[name], v)}


def _declared(name: str, network: NetworkSpec, training: TrainingSpec) -> Any:
    if name.startswith(OPTION):
        return network.options.get(name.removeprefix(OPTION))
    return getattr(network if name in _OF_NETWORK else training, name)


def _contains(axis: Dimension, value: Any) -> bool:
    if axis.choices:
        return value in axis.choices
    return axis.low is not None and axis.high is not None and axis.low <= value <= axis.high
