"""What a team declared about its model, as frozen records.

The component in `lifecycle.py` turns YAML into one `ModelSpec`; every stage reads that and nothing else.
Records have no defaults: each default stands once, beside its description, in `mlops_assets/schema.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from mlops_assets.domain.monitoring.monitoring_policy import DriftPolicy, QualityPolicy, RetrainPolicy
from mlops_assets.domain.release.rollout_policy import RolloutSpec


class Kind(StrEnum):
    """What the target is."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"


class Every(StrEnum):
    """How often a partition begins; `NONE` is one snapshot of everything."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"
    NONE = "none"


class Precision(StrEnum):
    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class Promotion(StrEnum):
    """Who makes a version that passed every gate the champion."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


@dataclass(frozen=True)
class FeedSpec:
    """One table of the source: where its rows come from and what its columns mean in time."""

    name: str
    path: str | None  # file, folder, glob or fsspec URL of Parquet or CSV
    separator: str
    decimal: str  # mark in the numbers of a CSV
    query: str | None  # SQL; `connection` names the database it goes to
    connection: str | None
    time: tuple[str, ...]  # the event's time: one column, or a date column and an hour column
    order: str | None  # a column (or "row", the position) that stands in for time
    arrived: str | None  # the column that says when the row became known; none: at its event time
    timezone: str  # of times written without one
    key: tuple[str, ...]  # the columns that identify a row; empty: none do
    missing: tuple[str, ...]  # texts that mean "no value"

    @property
    def static(self) -> bool:
        """True where rows have neither clock nor order: one snapshot."""
        return not self.time and self.order is None


@dataclass(frozen=True)
class SourceSpec:
    python: str | None  # dotted name of a class that reads the feeds; none: built-in readers
    examples: str  # the feed whose rows are predicted on
    feeds: Mapping[str, FeedSpec]


@dataclass(frozen=True)
class PartitionSpec:
    every: Every
    start: datetime | None
    end: datetime | None


@dataclass(frozen=True)
class TargetSpec:
    column: str
    kind: Kind
    feed: str  # the feed that brings it
    positive: str | None  # binary: the value that counts as 1 (as text)
    known_after: timedelta  # after the event's time, where the label's feed has no arrival time of its own
    transform: str  # regression: "none" or "log1p"


@dataclass(frozen=True)
class ExpectationSpec:
    """What one column (or key) of a feed has to be. A row that breaks it goes to quarantine."""

    feed: str
    columns: tuple[str, ...]
    type: str | None  # number, integer, text, boolean, time
    nulls: float | None  # largest share of nulls in a partition
    between: tuple[float | None, float | None] | None
    among: tuple[str, ...] | None
    matches: str | None
    unique: bool
    drift: float | None  # largest PSI of a partition against the reference window
    severity: str  # "error" quarantines and counts; "warning" only counts


@dataclass(frozen=True)
class ValidationSpec:
    expectations: tuple[ExpectationSpec, ...]
    quarantine_at_most: float  # share of rows of a partition
    volume: tuple[float, float]  # rows as a multiple of the median of recent partitions
    recent: int  # how many partitions "recent" is
    freshness: timedelta | None
    future: timedelta  # how far after "now" an event may lie


@dataclass(frozen=True)
class FeatureSpec:
    """Either a Feast feature service written by hand, or columns from which one is generated."""

    service: str | None
    version: int
    columns: tuple[str, ...]  # empty with no service: every column that is not key, time, target or excluded
    exclude: tuple[str, ...]
    categories: tuple[str, ...]  # number-typed columns that are categories all the same
    entity: tuple[str, ...]  # join keys of generated views; empty: the row itself
    ttl: timedelta | None


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


@dataclass(frozen=True)
class SliceSpec:
    """A part of the rows on which quality is told apart: by value, or by quantile bins of a number."""

    column: str
    bins: int  # 0: by value
    minimum: int  # rows under which nothing is concluded


@dataclass(frozen=True)
class FairnessSpec:
    """Largest allowed differences between groups of each protected attribute."""

    attributes: tuple[str, ...]
    demographic_parity: float | None
    equalised_odds: float | None
    minimum: int


@dataclass(frozen=True)
class GateSpec:
    metric: str  # primary: auc, average_precision, accuracy, log_loss, brier, f1, r2, mae, rmse
    confidence: float
    guard_loss: float  # the most a guard slice may lose against the champion
    baselines: tuple[str, ...]  # those the candidate must beat
    baseline_margin: float | None  # none: the constant by more than 0, of the others none may be shown ahead
    anchor: str  # "first", or a version number
    anchor_loss: float  # the most that may be lost against the anchor
    floor: float | None  # the primary metric must reach it
    ceiling: float | None  # a score above it means a leak
    calibration: float | None  # largest expected calibration error
    robustness: float | None  # largest loss under the perturbations
    minimum_rows: int


@dataclass(frozen=True)
class ServingSpec:
    precisions: tuple[Precision, ...]
    parity: float  # largest absolute difference of a score
    latency_ms: float
    provider: str  # auto, cpu, cuda, tensorrt
    out_of_range: str  # reject, clip, flag
    since: datetime  # the first day of the log, where neither partitions nor a replay say
    log_retention: timedelta  # after which a segment whose rows are in the lake may go


@dataclass(frozen=True)
class MonitoringSpec:
    """When a day of live answers counts as changed, or as worse."""

    drift: DriftPolicy
    quality: QualityPolicy
    costs: Mapping[str, float]  # what an answer is worth, by `<answer>/<outcome>`; empty: no business metric


@dataclass(frozen=True)
class RetrainingSpec:
    schedule: str | None  # cron of regular training
    policy: RetrainPolicy


@dataclass(frozen=True)
class ModelSpec:
    model: str
    owner: str
    purpose: str
    limits: str
    ethics: str
    replay: datetime | None  # "now" for a model that lives in the past
    source: SourceSpec
    partitions: PartitionSpec
    target: TargetSpec
    validation: ValidationSpec
    features: FeatureSpec
    network: NetworkSpec
    training: TrainingSpec
    search: SearchSpec
    slices: tuple[SliceSpec, ...]
    fairness: FairnessSpec
    gates: GateSpec
    serving: ServingSpec
    promotion: Promotion
    rollout: RolloutSpec
    monitoring: MonitoringSpec
    retraining: RetrainingSpec
    declared: str  # digest of the YAML this came from
