"""How the network is built, trained and searched for."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any


@dataclass(frozen=True)
class NetworkSpec:
    type: str  # "tabular", or the dotted name of an nn.Module class
    width: int
    depth: int
    dropout: float
    embedding: int
    bins: int
    options: Mapping[str, Any]  # keyword arguments for a module of one's own


@dataclass(frozen=True)
class TrainingSpec:
    window: timedelta | None  # how far back training rows reach; none: everything
    validation: float
    test: float
    gap: timedelta  # between the parts, at least the time a label takes
    group: str | None  # rows with the same value never stand on both sides
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    patience: int
    class_weights: bool
    calibrate: bool
    device: str  # auto, cpu, cuda
    precision: str  # auto, fp32, bf16
    compile: bool
    seed: int


@dataclass(frozen=True)
class Dimension:
    """One axis of the search: an interval (`low`, `high`, `log`) or `choices`."""

    low: float | None
    high: float | None
    log: bool
    integer: bool
    choices: tuple[Any, ...]


@dataclass(frozen=True)
class SearchSpec:
    trials: int  # 0: no search, the declared values
    sample: float  # share of the training rows a trial sees
    epochs: int  # most epochs of one trial
    timeout: timedelta | None
    space: Mapping[str, Dimension]
