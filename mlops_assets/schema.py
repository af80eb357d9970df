"""The YAML of a model: every field, its meaning, its default. Becomes the records of `mlops_assets/declaration`.

Defaults stand here and nowhere else. What can be said about a single field is said by its type, so that
`dg check yaml` reports it with file and line; what concerns several fields is in `declaration/contradictions.py`.
"""

import re
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar

import dagster as dg
from pydantic import BaseModel, Field

from mlops_assets.declaration import data as data_records
from mlops_assets.declaration import monitoring as monitoring_records
from mlops_assets.declaration import release as release_records
from mlops_assets.declaration.data import Every, Kind
from mlops_assets.declaration.release import Precision, Strategy
from mlops_assets.domain.partitions import moment

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = r"^\d+(\.\d+)?(s|m|h|d|w)$"
_NAME = r"^[a-z][a-z0-9_]*$"
_DOTTED = r"^[A-Za-z_][\w.]*\.[A-Za-z_]\w*$"

Record = TypeVar("Record")
# Bounds stand inside the type, so that `null` passes where it is allowed.
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
SomeShare = Annotated[float, Field(gt=0, le=1)]


def duration(text: str) -> timedelta:
    """`90s`, `30m`, `36h`, `14d`, `2w`."""
    if not re.match(_DURATION, text):
        raise ValueError(f"{text!r} is no duration: write a number and one of s, m, h, d, w, such as 36h or 14d")
    return timedelta(**{_UNITS[text[-1]]: float(text[:-1])})


_Text: Any = Annotated[str, Field(pattern=_DURATION)]  # what stands in the YAML, so that its line can be named
Duration = Annotated[timedelta, dg.Resolver(lambda _, text: duration(text), model_field_type=_Text)]
OptionalDuration = Annotated[
    timedelta | None,
    dg.Resolver(
        lambda _, text: None if text is None else duration(text),
        model_field_type=_Text | None,
    ),
]
Moment = Annotated[datetime, dg.Resolver(lambda _, value: moment(value), model_field_type=datetime | date | str)]
OptionalMoment = Annotated[
    datetime | None,
    dg.Resolver(
        lambda _, value: None if value is None else moment(value),
        model_field_type=datetime | date | str | None,
    ),
]


class _Part(dg.Resolvable, dg.Model):
    """A piece of the declaration."""


class Feed(_Part):
    """One table of the source."""

    path: str | None = Field(
        default=None,
        description="Parquet or CSV (.csv, .csv.gz): a file, folder, glob, or fsspec URL such as s3://bucket/folder. "
        "Relative paths start at the project's root.",
    )
    separator: str = Field(default=",", min_length=1, max_length=1, description="Between the fields of a CSV.")
    decimal: Literal[".", ","] = Field(default=".", description="Decimal mark of the numbers in a CSV.")
    query: str | None = Field(default=None, description="A SQL SELECT instead of a path.")
    connection: str | None = Field(
        default=None,
        description="Name of the database `query` goes to; its URL is the environment variable MLOPS_SQL_<NAME>.",
    )
    time: str | list[str] | None = Field(
        default=None,
        description="Column with the time of the event, or [date column, hour column]. Without it and without `order` "
        "the feed is one snapshot.",
    )
    order: str | None = Field(
        default=None,
        description='A number column that gives the order where there is no clock, or "row": the position.',
    )
    arrived: str | None = Field(
        default=None,
        description="Column with the time at which a row became known. Default: the event's own time.",
    )
    timezone: str = Field(
        default="UTC", description="Zone of times that are written without one, such as Europe/Paris."
    )
    key: list[str] = Field(default=[], description="Columns that identify a row. Repeats are quarantined.")
    missing: list[str] = Field(default=[], description='Texts that mean "no value", such as unknown or NA.')


class Source(Feed):
    """Where data comes from: one feed, or several under `feeds`."""

    python: str | None = Field(
        default=None,
        pattern=_DOTTED,
        description="Dotted name of a class with read(feed, start, end, as_of), for what no path or query reaches.",
    )
    examples: str | None = Field(
        default=None, description="The feed whose rows are predicted on. Needed where there are several."
    )
    feeds: dict[str, Feed] = Field(default={}, description="Several feeds by name, instead of the fields above.")


class Partitions(_Part):
    """How the data stages are cut in time."""

    every: Every = Field(default=Every.DAY, description="hour, day, month, or none for one snapshot.")
    start: OptionalMoment = Field(default=None, description="Beginning of the first partition.")
    end: OptionalMoment = Field(default=None, description="End of the last one; none: it goes on.")


class Target(_Part):
    """What is predicted."""

    column: str = Field(description="The column with the outcome.")
    kind: Kind = Field(description="binary, multiclass or regression.")
    feed: str | None = Field(default=None, description="The feed that brings it. Default: the examples' own.")
    positive: str | int | bool | None = Field(default=None, description="binary: the value that counts as 1.")
    known_after: Duration = Field(
        default=timedelta(0),
        description="How long after the event the outcome is known, where no `arrived` column says it.",
    )
    transform: Literal["none", "log1p"] = Field(
        default="none",
        description="regression: fit the logarithm of 1 + target; answers are in the target's own unit.",
    )


class Expectation(_Part):
    """What columns of a feed have to be. A row that breaks it goes to quarantine with the reason."""

    feed: str | None = Field(default=None, description="Default: the examples' feed.")
    column: str | None = Field(default=None, description="The column.")
    columns: list[str] = Field(default=[], description="Several columns: each of them, or together where `unique`.")
    type: Literal["number", "integer", "text", "boolean", "time"] | None = Field(
        default=None, description="What its values are."
    )
    nulls: float | None = Field(default=None, ge=0, le=1, description="Largest share of nulls in a partition; 0: none.")
    between: Annotated[list[float | None], Field(min_length=2, max_length=2)] | None = Field(
        default=None, description="[lowest, highest]; null: open."
    )
    among: list[str | int | float | bool] | None = Field(default=None, description="The allowed values.")
    matches: str | None = Field(default=None, description="A regular expression the whole text fits.")
    unique: bool = Field(default=False, description="No two rows of a partition have the same.")
    drift: float | None = Field(
        default=None,
        gt=0,
        description="Largest population stability index against earlier partitions (a warning).",
    )
    severity: Literal["error", "warning"] = Field(
        default="error", description="error: the row is quarantined. warning: it is counted and goes on."
    )


class Validation(_Part):
    """When a partition as a whole is good enough to go on."""

    expectations: list[Expectation] = Field(default=[], description="Row by row, column by column.")
    quarantine_at_most: float = Field(default=0.05, ge=0, le=1, description="Largest share of quarantined rows.")
    volume: list[float] = Field(
        default=[0.2, 5.0],
        min_length=2,
        max_length=2,
        description="Rows of a partition as a multiple of the median of recent ones: [least, most].",
    )
    recent: int = Field(default=14, ge=1, description="How many partitions `recent` looks back at.")
    freshness: OptionalDuration = Field(
        default=None, description="How far the newest event of the newest partition may lie behind its end."
    )
    future: Duration = Field(default=timedelta(hours=1), description="How far ahead of now an event may lie.")


class Features(_Part):
    """What the model sees: a Feast feature service, or plain columns of the examples' feed."""

    service: str | None = Field(
        default=None, description="Name of a feature service in feature_repo/<model>.py, without its version."
    )
    version: int = Field(default=1, ge=1, description="Version of the service. Raise it when the features change.")
    columns: list[str] = Field(
        default=[],
        description="Columns of the examples' feed. Default: all but key, times, target and `exclude`.",
    )
    exclude: list[str] = Field(
        default=[], description="Columns that must not be used, such as ones known only afterwards."
    )
    categories: list[str] = Field(default=[], description="Number columns whose numbers are codes.")
    entity: list[str] = Field(
        default=[],
        description="Columns by which an online lookup finds a row. Default: the feed's key, or the row.",
    )
    ttl: OptionalDuration = Field(default=None, description="Age at which a value counts as missing. Default: never.")


class Network(_Part):
    """The architecture."""

    type: str = Field(default="tabular", description="tabular, or the dotted name of an nn.Module (see the README).")
    width: int = Field(default=128, ge=4, description="Units of a layer.")
    depth: int = Field(default=2, ge=1, description="Residual blocks.")
    dropout: float = Field(default=0.3, ge=0, lt=1, description="Share of units left out in training.")
    embedding: int = Field(default=8, ge=1, description="Numbers that stand for one category.")
    bins: int = Field(default=32, ge=2, description="Pieces of the piecewise-linear encoding of a number.")
    options: dict[str, Any] = Field(default={}, description="Keyword arguments for a module of your own.")


class Training(_Part):
    """How it is trained, and on which rows."""

    window: OptionalDuration = Field(
        default=None, description="How far back training rows reach. Default: all there is."
    )
    validation: float = Field(
        default=0.15, gt=0, lt=0.5, description="Share of rows for early stopping and calibration."
    )
    test: float = Field(default=0.2, gt=0, lt=0.5, description="Share of rows, the latest, for evaluation.")
    gap: OptionalDuration = Field(
        default=None, description="Left out between the parts. Default: the target's known_after."
    )
    group: str | None = Field(default=None, description="Rows with the same value of this column stay on one side.")
    epochs: int = Field(default=12, ge=1, description="At most; early stopping usually ends sooner.")
    batch_size: int = Field(default=2048, ge=8, description="Most rows of one step; small data gets smaller ones.")
    learning_rate: float = Field(default=2e-3, gt=0, description="Highest rate of the schedule.")
    weight_decay: float = Field(default=0.1, ge=0, description="Of AdamW.")
    patience: int = Field(default=4, ge=1, description="Epochs without a better validation score before it stops.")
    class_weights: bool = Field(default=False, description="Weigh rare classes up (answers are calibrated back).")
    calibrate: bool = Field(default=True, description="Fit probabilities to the validation rows.")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="cuda: fail where there is none.")
    precision: Literal["auto", "fp32", "bf16"] = Field(default="auto", description="Of the arithmetic in training.")
    compile: bool = Field(default=False, description="torch.compile, on a GPU.")
    seed: int = Field(default=0, ge=0, description="The same seed and data give the same weights.")


class Dimension(_Part):
    """One axis of the search."""

    low: float | None = Field(default=None, description="Lowest value.")
    high: float | None = Field(default=None, description="Highest value.")
    log: bool = Field(default=False, description="Search its logarithm.")
    integer: bool = Field(default=False, description="Whole numbers only.")
    choices: list[Any] = Field(default=[], description="These values, instead of an interval.")


class Search(_Part):
    """Search for better values of `network` and `training`."""

    trials: int = Field(default=8, ge=0, description="0: none, the declared values are used.")
    sample: float = Field(default=0.3, gt=0, le=1, description="Share of the training rows a trial sees.")
    epochs: int = Field(default=4, ge=1, description="Most epochs of a trial.")
    timeout: OptionalDuration = Field(default=None, description="No new trial begins after this long.")
    space: dict[str, Dimension] = Field(
        default={},
        description="Axes by field name, such as learning_rate. Default: width, depth, dropout, rates.",
    )


class Slice(_Part):
    """A part of the rows on which quality is told apart, and guarded."""

    column: str = Field(description="An input, or any other column of the examples.")
    bins: int = Field(default=0, ge=0, description="0: by value. Otherwise quantile bins of a number.")
    minimum: int = Field(default=200, ge=1, description="Rows under which nothing is concluded.")


class Fairness(_Part):
    """Groups that must be treated alike."""

    attributes: list[str] = Field(default=[], description="Protected columns; they need not be inputs.")
    demographic_parity: SomeShare | None = Field(default=None, description="Largest difference of selection rates.")
    equalised_odds: SomeShare | None = Field(default=None, description="Largest difference of error rates.")
    minimum: int = Field(default=200, ge=1, description="Rows a group needs to count.")


class Gates(_Part):
    """What a candidate must show before it is registered."""

    metric: str | None = Field(
        default=None,
        description="Primary metric. Default: auc for binary, accuracy for multiclass, r2 for regression.",
    )
    confidence: float = Field(default=0.975, gt=0.5, lt=1, description="Of every bound, taken alone.")
    guard_loss: NotNegative | None = Field(
        default=None,
        description="The most a slice may lose against the champion. Default: 0.02; mae and rmse need a value.",
    )
    baselines: list[Literal["constant", "linear", "gradient_boosting"]] = Field(
        default=["constant", "linear"],
        description="Baselines to beat. Default: the constant is beaten for sure, and linear is not shown to be ahead.",
    )
    baseline_margin: float | None = Field(
        default=None, description="By how much each of them is beaten for sure. Default: see `baselines`."
    )
    anchor: str = Field(
        default="first",
        description="The version small losses are added up against: first, or a version number.",
    )
    anchor_loss: NotNegative | None = Field(
        default=None, description="The most that may be lost against it. Default: as for guard_loss."
    )
    floor: float | None = Field(default=None, description="The primary metric must reach this.")
    ceiling: float | None = Field(default=None, description="A score above this means that the target leaks.")
    calibration: Positive | None = Field(default=0.1, description="Largest expected calibration error.")
    robustness: Positive | None = Field(
        default=None,
        description="Largest loss with a tenth of the values missing, extreme or never seen.",
    )
    minimum_rows: int = Field(default=100, ge=1, description="Test rows under which nothing is concluded.")


class Serving(_Part):
    """How it will be served."""

    precisions: list[Precision] = Field(
        default=[Precision.FP32, Precision.FP16, Precision.INT8],
        description="Tried; the best that passes is taken.",
    )
    parity: float = Field(
        default=0.01,
        gt=0,
        description="Largest difference of a score (in units of the target's spread for regression).",
    )
    latency_ms: float = Field(default=50, gt=0, description="Budget for one row, at the median.")
    provider: Literal["auto", "cpu", "cuda", "tensorrt"] = Field(
        default="auto", description="auto: cuda where there is a GPU. cuda, tensorrt: not ready without."
    )
    out_of_range: Literal["reject", "clip", "flag"] = Field(
        default="flag", description="What happens to a number outside what training saw."
    )
    since: Moment = Field(
        default=datetime(2026, 1, 1, tzinfo=UTC),
        description="The first day of predictions, where neither partitions nor a replay say.",
    )
    log_retention: Duration = Field(
        default=timedelta(days=30),
        description="How long the prediction log is kept once its rows are in the lake.",
    )


class Replay(_Part):
    """Logged requests through a candidate before it gets any traffic."""

    requests: int = Field(default=2000, ge=0, description="The latest so many rows. 0: no replay.")
    window: Duration = Field(default=timedelta(days=7), description="How old they may be.")
    minimum: int = Field(default=200, ge=1, description="Rows under which nothing is concluded.")
    agreement: Share = Field(
        default=0.3,
        description="Least rank correlation of both versions' scores; for classes the least share of equal answers.",
    )
    calibration: Share = Field(
        default=0.05, description="The most the candidate's calibration error may lie above the champion's."
    )
    errors: Share = Field(default=0.001, description="Largest share of rows that only the champion can answer.")


class Experiment(_Part):
    """An A/B test between champion and challenger. For strategy ab_test."""

    share: float = Field(default=0.5, gt=0, lt=1, description="Of the challenger.")
    metric: Literal["loss", "reward"] = Field(
        default="loss", description="loss: the model's own, from outcomes. reward: what feedback brings."
    )
    worth: float = Field(default=0.01, gt=0, description="The smallest difference worth having, in its units.")
    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="Chance of naming a false difference, at all looks.")
    minimum: int = Field(default=500, ge=2, description="People in each arm before anything is concluded.")
    longest: int = Field(default=100_000, ge=3, description="People in all arms, after which the champion stays.")


class Bandit(_Part):
    """How traffic follows rewards. For strategies epsilon_greedy and thompson."""

    epsilon: Share = Field(default=0.1, description="Share of requests that explore (epsilon_greedy).")
    floor: Share = Field(default=0.05, description="The least share each arm keeps.")
    reward: Literal["binary", "numeric"] = Field(default="binary", description="What feedback brings.")


class Rollout(_Part):
    """How a version that passed its gates gets its traffic, and what takes it back."""

    strategy: Strategy = Field(
        default=Strategy.CANARY,
        description="blue_green, canary, shadow, ab_test, epsilon_greedy or thompson. The first version takes all.",
    )
    steps: list[SomeShare] = Field(default=[0.05, 0.1, 0.25, 0.5, 1.0], description="The canary's share, rising to 1.")
    alpha: float = Field(
        default=0.05, description="Chance of a wrong rollback in a whole rollout, and of one wrong step forward."
    )
    split_alpha: float = Field(default=0.001, description="Chance of a false alarm about the split, in one step.")
    minimum_requests: int = Field(default=500, description="Answered by the canary in a step before it may advance.")
    minimum_time: Duration = Field(default=timedelta(minutes=10), description="The least time of a step.")
    patience: Duration = Field(
        default=timedelta(days=3), description="Time of an inconclusive step before it freezes for a person."
    )
    blind_patience: Duration = Field(
        default=timedelta(minutes=30), description="Time without measurement before the canary is rolled back."
    )
    error_margin: float = Field(default=0.01, description="How many more errors are harmless, as share of requests.")
    slow_margin: float = Field(default=0.02, description="How many more answers above serving.latency_ms are harmless.")
    slow_at_most: float = Field(default=0.05, description="Share of answers above it; 0.05 holds the p95.")
    metric_margin: float = Field(
        default=0.02,
        description="How much more loss per row is harmless: squared error, of the probability for classes.",
    )
    minimum_labels: int = Field(default=500, description="Outcomes on each arm before the loss is judged.")
    needs_feedback: bool = Field(default=False, description="Hold a step until there are so many outcomes.")
    replay: Replay = Field(default_factory=Replay, description="Logged requests through it before any traffic.")
    experiment: Experiment = Field(default_factory=Experiment, description="For strategy ab_test.")
    bandit: Bandit = Field(default_factory=Bandit, description="For epsilon_greedy and thompson.")
    shadow_share: SomeShare = Field(default=1.0, description="Share of requests that a shadow gets a copy of.")
    error_share: SomeShare = Field(
        default=0.5, description="Of recent requests, above which the endpoint stops asking a version for a while."
    )
    default: dict[str, Any] | None = Field(
        default=None, description="The answer when every version fails, marked as such. Default: an error."
    )


class Drift(_Part):
    """When a day of live rows has drifted, and when that is an alarm."""

    alpha: float = Field(default=0.01, description="Chance of any false finding in a day, over all its tests (Holm).")
    ks: float = Field(default=0.1, description="Least Kolmogorov-Smirnov distance of a number that matters.")
    psi: float = Field(default=0.2, description="Least stability index that matters, less what chance gives.")
    psi_rows: int = Field(default=1000, description="Rows under which the stability index says nothing.")
    cramers_v: float = Field(default=0.1, description="Least Cramer's V of a category that matters, less chance.")
    null_share: float = Field(default=0.05, description="Least change of the share of missing values that matters.")
    out_of_range: float = Field(
        default=0.02, description="Least growth of the share of numbers outside the training range that matters."
    )
    unseen: float = Field(default=0.02, description="Least growth of the share of categories training did not see.")
    together: float = Field(
        default=0.6, description="Least held-out AUC of a classifier that tells live rows from training rows."
    )
    minimum_rows: int = Field(default=500, description="Rows of a day under which nothing is concluded.")
    needed: int = Field(default=2, description="Days that drifted, the latest among them ...")
    of_last: int = Field(default=3, description="... out of so many, make an alarm.")
    exclude: list[str] = Field(
        default=[], description="Features that are not judged, as they differ by day by their nature: the weekday."
    )


class Quality(_Part):
    """When quality has fallen, and how far labels and estimates are believed."""

    fall: float = Field(default=0.05, description="Fall that matters, as part of the score at evaluation.")
    confidence: float = Field(default=0.975, description="With which a fall has to be shown.")
    maturity: float = Field(default=0.9, description="Share of the labels that will come which have to be there.")
    minimum_rows: int = Field(default=500, description="Labelled rows under which no quality is told.")
    trust_windows: int = Field(default=5, description="Days with estimate and outcome before an estimate is believed.")
    roll_back_within: Duration = Field(
        default=timedelta(days=14),
        description="After a promotion, how long live answers that are proven worse than those before take it back. "
        "0: never.",
    )


class Monitoring(_Part):
    """What is watched of live answers, day by day."""

    drift: Drift = Field(default_factory=Drift, description="Live rows against those of training.")
    quality: Quality = Field(default_factory=Quality, description="Answers against what came of them.")
    costs: dict[str, float] = Field(
        default={},
        description="What an answer is worth in your own unit, by answer/outcome, such as {yes/no: -5, no/yes: -50}. "
        "Default: no business metric.",
    )


class Retraining(_Part):
    """When it is trained again without a person."""

    schedule: str | None = Field(
        default=None, description="Cron of regular training in UTC, such as 0 5 * * 1. Default: none."
    )
    causes: list[Literal["quality", "drift", "data_volume", "staleness", "schedule"]] = Field(
        default=["quality", "drift", "data_volume", "staleness", "schedule"],
        description="What may start a training by itself. A person always may.",
    )
    new_rows: int = Field(default=10_000, description="Labelled rows since training that are enough to train again.")
    least_rows: int = Field(
        default=1_000, description="Labelled rows since training without which there is nothing new to learn."
    )
    age_warning: Duration = Field(default=timedelta(days=30), description="Age of the champion that is told.")
    age_critical: Duration = Field(default=timedelta(days=60), description="Age that asks for a training.")
    cooldown: Duration = Field(default=timedelta(days=7), description="From the start of one run to the next.")
    runs_at_most: int = Field(default=4, description="Runs in each period.")
    period: Duration = Field(default=timedelta(days=30), description="Over which runs and their cost are counted.")
    cost_at_most: Positive | None = Field(
        default=None, description="Hours of training in each period. Default: no limit."
    )


def record(cls: type[Record], part: BaseModel, **instead: Any) -> Record:
    """The frozen record `cls` from the fields of the same name in `part`; `instead` overrides."""
    names = [field.name for field in fields(cls)]  # type: ignore[arg-type]  # only dataclasses are passed
    values = {name: instead.get(name, getattr(part, name, None)) for name in names}
    return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def rollout_record(rollout: Rollout) -> release_records.RolloutSpec:
    """The rollout with its policies; what contradicts itself in one is said at once."""
    return record(
        release_records.RolloutSpec,
        rollout,
        policy=record(release_records.RolloutPolicy, rollout),
        replay=record(release_records.ReplayPolicy, rollout.replay),
        experiment=record(release_records.ExperimentSpec, rollout.experiment),
        bandit=record(release_records.BanditSpec, rollout.bandit),
    )


def monitoring_record(monitoring: Monitoring) -> monitoring_records.MonitoringSpec:
    return record(
        monitoring_records.MonitoringSpec,
        monitoring,
        drift=record(monitoring_records.DriftPolicy, monitoring.drift),
        quality=record(monitoring_records.QualityPolicy, monitoring.quality),
    )


def retraining_record(retraining: Retraining) -> monitoring_records.RetrainingSpec:
    causes = tuple(monitoring_records.Cause(cause) for cause in retraining.causes)
    return record(
        monitoring_records.RetrainingSpec,
        retraining,
        policy=record(monitoring_records.RetrainPolicy, retraining, causes=causes),
    )


def feed_record(name: str, feed: Feed, root: str) -> data_records.FeedSpec:
    """A feed with its path made absolute and its time as columns."""
    time = [feed.time] if isinstance(feed.time, str) else feed.time or []
    path = feed.path
    if path is not None and "://" not in path and not path.startswith("/"):
        path = f"{root}/{path}"
    return record(data_records.FeedSpec, feed, name=name, time=time, path=path)


def source_record(source: Source, root: str) -> data_records.SourceSpec:
    """One unnamed feed becomes the feed `rows`."""
    feeds = source.feeds or {"rows": source}
    built = {name: feed_record(name, feed, root) for name, feed in feeds.items()}
    examples = source.examples or (next(iter(built)) if len(built) == 1 else "")
    return data_records.SourceSpec(python=source.python, examples=examples, feeds=built)


def expectation_record(expectation: Expectation, examples: str) -> data_records.ExpectationSpec:
    """An expectation on its feed, with its columns in one place."""
    columns = [expectation.column] if expectation.column else []
    among = expectation.among
    return record(
        data_records.ExpectationSpec,
        expectation,
        feed=expectation.feed or examples,
        columns=columns + expectation.columns,
        among=None if among is None else [as_text(value) for value in among],
    )


def as_text(value: str | float | bool) -> str:
    """A YAML value as the text that data is compared with: `true`, `1`, `yes`."""
    return str(value).lower() if isinstance(value, bool) else str(value)
