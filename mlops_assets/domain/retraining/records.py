"""What the decision to train again weighs and what it leaves behind. Frozen; JSON on disk."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mlops_assets.declaration.monitoring import Cause, RetrainPolicy
from mlops_assets.domain.verdict import Outcome, Verdict


@dataclass(frozen=True)
class Champion:
    """The version that answers, and when it was trained."""

    number: str  # in the registry
    version: str
    bundle: str
    trained_at: datetime | None  # the time up to which its training knew labels; None: not known
    on_trial: str | None  # the version that takes part of its traffic


@dataclass(frozen=True)
class TrainingRun:
    """One run of a model's training."""

    began: datetime | None  # in the model's time; None: not known
    hours: float | None  # None: it failed or has not ended
    live: bool  # waits or runs


@dataclass(frozen=True)
class TrainingRequest:
    """Who requests a training, whatever the evidence says."""

    due: bool = False  # the schedule
    person: str | None = None  # a name and a reason: part of the run key


@dataclass(frozen=True)
class RetrainEvidence:
    """Everything that the decision weighs. None means "not known"."""

    model: str
    champion: str | None  # version
    window: str  # the latest one judged
    trained_at: datetime | None  # the champion
    drift: Verdict | None  # of `drift_alarm`: FAIL is the alarm
    realised: Verdict | None  # of `performance`: FAIL is a fall
    estimated: Verdict | None  # likewise, before labels
    trust: Verdict | None  # in estimates: PASS believes them
    new_rows: int | None  # with a ripe label, since training
    due: bool  # the schedule requests a training
    person: str | None  # who requests a training, and why: part of the run key
    paused: bool
    running: bool  # a training of this model
    on_trial: str | None  # a version that takes part of the traffic and has no verdict yet
    runs: tuple[datetime, ...]  # starts of its trainings
    spent: float  # hours of training in the policy's period
    cost: float | None  # hours that one run takes, by those before
    problems: tuple[str, ...]  # what is wrong with the input: no traffic, a half-written window, ...


@dataclass(frozen=True)
class RetrainDecision:
    """`cause` of a no is the one that was held back, if any. PASS is a yes, FAIL a clear no."""

    yes: bool
    cause: Cause | None
    run_key: str | None
    reason: str
    numbers: Mapping[str, float]
    outcome: Outcome
    verdicts: tuple[Verdict, ...]  # each cause by itself: PASS requests a run


@dataclass(frozen=True)
class DecisionRecord:
    """A decision with everything that led to it. It is stored whole, and what launches a training reads it back."""

    decision: RetrainDecision
    evidence: RetrainEvidence
    switched_off: tuple[str, ...]  # sensors that a person stopped: their causes start nothing
    touched: tuple[str, ...]  # features, models and endpoints that depend on what drifted
    false_retrains: str  # how many the policy starts in a year in which nothing changes
    made_at: datetime  # in the model's time
    policy: RetrainPolicy | None = None  # that was applied; None: a record from before it was kept


@dataclass(frozen=True)
class Pause:
    """Whether a person has stopped the trainings that start by themselves."""

    paused: bool
    who: str
    why: str
    since: datetime
