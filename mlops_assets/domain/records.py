"""What one stage hands to the next: frozen, small, JSON on disk. Data itself stays in the lake.

A record names things by digest or by id, never by "newest".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.release import Precision
from mlops_assets.domain.verdict import Verdict


@dataclass(frozen=True)
class Snapshot:
    """One partition of one table as it stands in the lake."""

    partition: str
    digest: str  # of the rows
    rows: int
    file: str  # relative to the table's folder; empty where there are no rows
    start: datetime | None  # earliest and latest event time
    watermark: datetime | None
    columns: Mapping[str, str]  # name → Arrow type
    inputs: Mapping[str, str]  # what it was made from: "layer/table/partition" → digest
    written_at: datetime


@dataclass(frozen=True)
class Inputs:
    """The model's input columns in order. Numbers may be missing (NaN); so may categories (empty text)."""

    numbers: tuple[str, ...]
    categories: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return self.numbers + self.categories


@dataclass(frozen=True)
class TrainingSet:
    """An immutable folder named by its digest: train, validation, test and the rest as Parquet, and a manifest."""

    model: str
    digest: str
    as_of: datetime
    service: str  # Feast feature service, e.g. flight_delay_v1
    inputs: Inputs
    kind: Kind
    classes: tuple[str, ...]  # binary and multi-class: value of each label index, as text
    entity: tuple[str, ...]  # join keys
    context: tuple[str, ...]  # columns kept for slices and fairness that are not inputs
    rows: Mapping[str, int]  # part → rows
    boundaries: Mapping[str, tuple[datetime, datetime]]  # part → first and last event time
    partitions: Mapping[str, str]  # "layer/table/partition" → digest
    champion_until: datetime | None  # the latest event time that the champion of the day had learnt


@dataclass(frozen=True)
class FoldScore:
    """One fold: the rows it learnt, and how well it answered the stretch of test rows that it had not learnt."""

    learnt: int  # rows
    learnt_until: datetime | None  # the latest event time; none where rows have no time
    rows: int  # that it scored
    first: datetime | None
    last: datetime | None
    score: float | None  # none: the rows cannot be measured, for instance because they are of one class


@dataclass(frozen=True)
class TrainedModel:
    model: str
    training_set: str
    run_id: str  # MLflow
    digest: str  # of the weights
    path: str  # folder with weights, parameters and baselines, relative to the lake
    parameters: Mapping[str, float | int | str | bool]
    validation_score: float
    metric: str
    learnt: int  # rows that the served weights have learnt
    learnt_until: datetime | None  # the latest event time among them; none where rows have no time
    folds: tuple[FoldScore, ...]  # none: the model learnt the train part alone


@dataclass(frozen=True)
class Compressed:
    """One precision of the exported model as measured against fp32."""

    precision: Precision
    passed: bool
    bytes: int
    single_row_ms: float
    batch_ms: float
    worst_difference: float
    mean_difference: float
    reason: str


@dataclass(frozen=True)
class ServingModel:
    model: str
    bundle: str  # digest, which is also the folder's name
    training_set: str
    run_id: str
    recipe: str  # digest of what the bundle is made from
    precision: Precision
    measured: tuple[Compressed, ...]
    parity: Mapping[str, float]  # slice → largest difference of a score, trained against served


@dataclass(frozen=True)
class Evaluation:
    model: str
    bundle: str
    training_set: str
    run_id: str
    champion: str | None  # registry version number compared against
    anchor: str | None
    report: str  # folder of report.json and plots, relative to the lake
    metric: str
    score: float
    interval: tuple[float, float]
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True)
class Version:
    model: str
    number: str  # in the registry
    semantic: str
    bundle: str
    run_id: str
