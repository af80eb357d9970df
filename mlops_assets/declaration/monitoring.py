"""What is watched of live answers, and what may start a training."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from mlops_assets.declaration.values import (
    Confidence,
    Count,
    DeclaredPart,
    Duration,
    InnerShare,
    Items,
    Positive,
    SomeDuration,
    SomeShare,
)


class Cause(StrEnum):
    """What a training can be started by, the most telling first."""

    PERSON = "person"
    QUALITY = "quality"  # realised quality fell
    DRIFT = "drift"  # and something besides it
    DATA_VOLUME = "data_volume"  # enough new labelled rows
    STALENESS = "staleness"  # the champion is old
    SCHEDULE = "schedule"


JUDGED = (Cause.QUALITY, Cause.DRIFT, Cause.DATA_VOLUME, Cause.STALENESS)  # causes that evidence decides on
_BY_ITSELF = (*JUDGED, Cause.SCHEDULE)


def _cause(value: Any) -> Any:
    if value not in _BY_ITSELF:
        raise ValueError(f"{value!r} is not one of {', '.join(_BY_ITSELF)}; a person may always start a training.")
    return Cause(value)


_CauseByItself = Annotated[
    Cause, BeforeValidator(_cause), WithJsonSchema({"type": "string", "enum": [cause.value for cause in _BY_ITSELF]})
]


class DriftPolicy(DeclaredPart):
    """When a day of live rows has drifted, and when that raises an alarm."""

    alarms_a_year: Annotated[float, Field(gt=0, le=100)] = Field(
        default=1.0,
        description="The false alarms that are bearable in a year, over all columns, answers and labels together.",
    )
    moved: InnerShare = Field(
        default=0.04,
        description="The smallest share of rows that matters when it moved across a value or between categories; "
        "0.04 is a tenth of a standard deviation. Live days are so compared with the training data's own days.",
    )
    ks: InnerShare = Field(
        default=0.1,
        description="The smallest Kolmogorov-Smirnov distance of a number that matters. This and the next three are "
        "for training rows of fewer than ten days, whose rows can only be taken for independent.",
    )
    psi: Positive = Field(
        default=0.2, description="The smallest population stability index that matters, less what chance explains."
    )
    psi_rows: Count = Field(
        default=1000, description="The rows below which the population stability index is not computed."
    )
    cramers_v: InnerShare = Field(
        default=0.1, description="The smallest Cramer's V of a category that matters, less what chance explains."
    )
    null_share: InnerShare = Field(
        default=0.05, description="The smallest change of the share of missing values that matters."
    )
    out_of_range: InnerShare = Field(
        default=0.02, description="The smallest growth of the share of numbers outside the training range that matters."
    )
    unseen: InnerShare = Field(
        default=0.02, description="The smallest growth of the share of categories unknown to training that matters."
    )
    correlation: InnerShare = Field(
        default=0.2, description="The smallest change of the correlation of two columns that matters."
    )
    together: Confidence = Field(
        default=0.6,
        description="The lowest held-out AUC that matters, of a classifier that separates live from training rows; for "
        "training rows of fewer than ten days.",
    )
    minimum_rows: Count = Field(default=500, description="The rows of a day below which nothing is concluded.")
    needed: Count = Field(
        default=2, description="How many of the last `of_last` days must have drifted, the latest among them."
    )
    of_last: Count = Field(default=3, description="The number of latest days among which drifted days are counted.")
    exclude: Items[str] = Field(
        default=(),
        description="The features that are not judged as they differ from day to day, such as the weekday.",
    )

    @property
    def alpha(self) -> float:
        """The chance of a false finding in a day, over all its tests (Holm); half is kept for what nobody foresees."""
        return self.alarms_a_year / 365 / 2


class QualityPolicy(DeclaredPart):
    """When quality has fallen, and how far labels and estimates are trusted."""

    fall: InnerShare = Field(
        default=0.05, description="The smallest fall that matters, as a part of the score at evaluation."
    )
    confidence: Confidence = Field(
        default=0.975,
        description="The confidence of either bound of the scores that are reported, compared and rolled back by.",
    )
    maturity: SomeShare = Field(
        default=0.9, description="The share of all expected labels that must have arrived before a day is judged."
    )
    minimum_rows: Annotated[int, Field(ge=2)] = Field(
        default=500, description="The labelled rows below which no quality is reported."
    )
    trust_windows: Annotated[int, Field(ge=2)] = Field(
        default=5, description="How many days need both an estimate and an outcome before estimates are trusted."
    )
    roll_back_within: Duration = Field(
        default=timedelta(days=14),
        description="How long after a promotion answers that are proven worse than before roll the version back; 0d "
        "never rolls back.",
    )


class MonitoringSpec(DeclaredPart):
    """What is watched of live answers, day by day."""

    drift: DriftPolicy = Field(
        default_factory=DriftPolicy, description="How live rows are compared with the training rows."
    )
    quality: QualityPolicy = Field(
        default_factory=QualityPolicy, description="How answers are compared with their outcomes."
    )
    costs: Mapping[str, float] = Field(
        default={},
        description="The value of an answer in your own unit, by answer/outcome, such as {yes/no: -5, no/yes: -50}. "
        "Default: there is no business metric.",
    )


class RetrainPolicy(DeclaredPart):
    """What starts a training without a person, and what holds it back."""

    schedule: str | None = Field(
        default=None, description="The cron of regular training in UTC, such as 0 5 * * 1. Default: none."
    )
    causes: Items[_CauseByItself] = Field(
        default=_BY_ITSELF, description="What may start a training by itself; a person always may."
    )
    new_rows: Count = Field(default=10_000, description="How many new labelled rows are enough to start a training.")
    least_rows: Count = Field(
        default=1_000, description="The new labelled rows below which there is nothing to learn from."
    )
    age_warning: SomeDuration = Field(
        default=timedelta(days=30), description="The age of the champion at which a warning is reported."
    )
    age_critical: SomeDuration = Field(
        default=timedelta(days=60), description="The age of the champion that starts a training."
    )
    cooldown: Duration = Field(
        default=timedelta(days=7), description="The shortest time from the start of one training to the next."
    )
    runs_at_most: Count = Field(default=4, description="The most trainings in each `period`.")
    period: SomeDuration = Field(
        default=timedelta(days=30), description="The time over which trainings and their cost are counted."
    )
    cost_at_most: Positive | None = Field(
        default=None, description="The most hours of training in each `period`. Default: no limit."
    )
