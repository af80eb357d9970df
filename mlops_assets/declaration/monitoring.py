"""What is watched of live answers, and what may start a training."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Cause(StrEnum):
    """What a training can be started by, the most telling first."""

    PERSON = "person"
    QUALITY = "quality"  # realised quality fell
    DRIFT = "drift"  # and something besides it
    DATA_VOLUME = "data_volume"  # enough new labelled rows
    STALENESS = "staleness"  # the champion is old
    SCHEDULE = "schedule"


JUDGED = (Cause.QUALITY, Cause.DRIFT, Cause.DATA_VOLUME, Cause.STALENESS)  # as against asked for


@dataclass(frozen=True)
class DriftPolicy:
    """When a window has drifted, and when that is an alarm."""

    alpha: float  # Holm-adjusted over all tests of a window
    ks: float  # least KS distance of a number that is material
    psi: float  # least PSI, less what chance gives, that is material
    psi_rows: int  # under which PSI says nothing
    cramers_v: float  # least V of a category, less what chance gives, that is material
    null_share: float  # least change of the share of missing values
    out_of_range: float  # least growth of the share of numbers outside the training range
    unseen: float  # least growth of the share of categories that training did not see
    together: float  # least held-out AUC of a classifier that tells live rows from training rows
    minimum_rows: int  # of a window; under it nothing is concluded
    needed: int  # windows that drifted, the latest among them ...
    of_last: int  # ... out of so many
    exclude: tuple[str, ...]  # features that differ from day to day by their nature, such as the weekday

    def __post_init__(self) -> None:
        _demand("monitoring.drift", _drift_problems(self))


@dataclass(frozen=True)
class QualityPolicy:
    """When quality has fallen, and how far labels and estimates are to be believed."""

    fall: float  # part of the baseline
    confidence: float  # with which a fall has to be shown
    maturity: float  # least share of the labels that will come and are there
    minimum_rows: int  # labelled ones, under which no quality is told
    trust_windows: int  # with both estimate and outcome before an estimate is believed
    roll_back_within: timedelta  # of a promotion, in which proven worse answers take it back; 0: never

    def __post_init__(self) -> None:
        _demand("monitoring.quality", _quality_problems(self))


@dataclass(frozen=True)
class RetrainPolicy:
    """What starts a training, and what holds it back."""

    causes: tuple[Cause, ...]  # those that may start one; a person always may
    new_rows: int  # labelled ones since training that are enough to train again
    least_rows: int  # labelled ones since training without which there is nothing new to learn
    age_warning: timedelta
    age_critical: timedelta
    cooldown: timedelta  # from the start of one run to the next
    runs_at_most: int  # in each `period`
    period: timedelta
    cost_at_most: float | None  # hours of training in each `period`; none: no limit

    def __post_init__(self) -> None:
        _demand("retraining", _retrain_problems(self))


def _demand(where: str, problems: Iterable[str]) -> None:
    if found := list(problems):
        raise ValueError("; ".join(f"{where}.{problem}" for problem in found))


def _drift_problems(policy: DriftPolicy) -> Iterator[str]:
    shares = ("alpha", "ks", "cramers_v", "null_share", "out_of_range", "unseen")
    yield from _outside(policy, shares, 0.0, 1.0)
    yield from _outside(policy, ("together",), 0.5, 1.0)
    if not policy.psi > 0:
        yield f"psi {policy.psi} has to be above 0"
    yield from _too_small(policy, 1, "psi_rows", "minimum_rows", "needed")
    if policy.needed > policy.of_last:
        yield f"needed {policy.needed} cannot be more than of_last {policy.of_last}"


def _quality_problems(policy: QualityPolicy) -> Iterator[str]:
    yield from _outside(policy, ("fall",), 0.0, 1.0)
    yield from _outside(policy, ("confidence",), 0.5, 1.0)
    if not 0 < policy.maturity <= 1:
        yield f"maturity {policy.maturity} has to lie above 0 and be at most 1"
    yield from _too_small(policy, 2, "minimum_rows", "trust_windows")
    if policy.roll_back_within < timedelta(0):
        yield f"roll_back_within {policy.roll_back_within} cannot be negative; 0 rolls nothing back"


def _retrain_problems(policy: RetrainPolicy) -> Iterator[str]:
    yield from _too_small(policy, 1, "new_rows", "least_rows", "runs_at_most")
    if policy.least_rows > policy.new_rows:
        yield f"least_rows {policy.least_rows} cannot be more than new_rows {policy.new_rows}"
    if not timedelta(0) < policy.age_warning <= policy.age_critical:
        yield f"age_warning {policy.age_warning} has to be above 0 and at most age_critical {policy.age_critical}"
    if policy.cooldown < timedelta(0) or policy.period <= timedelta(0):
        yield f"cooldown {policy.cooldown} cannot be negative, and period {policy.period} has to be above 0"
    if policy.cost_at_most is not None and not policy.cost_at_most > 0:
        yield f"cost_at_most {policy.cost_at_most} has to be above 0; leave it out for no limit"


def _outside(policy: DriftPolicy | QualityPolicy, names: Iterable[str], low: float, high: float) -> Iterator[str]:
    for name in names:
        if not low < getattr(policy, name) < high:
            yield f"{name} {getattr(policy, name)} has to lie between {low:g} and {high:g}"


def _too_small(policy: DriftPolicy | QualityPolicy | RetrainPolicy, least: int, *names: str) -> Iterator[str]:
    for name in names:
        if getattr(policy, name) < least:
            yield f"{name} {getattr(policy, name)} has to be at least {least}"


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
