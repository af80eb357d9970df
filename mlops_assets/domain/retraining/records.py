"""What the retraining decision keeps: each look at the evidence, and a person's pause. Frozen, JSON on disk."""

from dataclasses import dataclass
from datetime import datetime

from mlops_assets.domain.retraining.decision import RetrainDecision, RetrainEvidence


@dataclass(frozen=True)
class Weighed:
    """One look at whether a model is trained again: the evidence, and what was made of it."""

    decision: RetrainDecision
    evidence: RetrainEvidence
    switched_off: tuple[str, ...]  # sensors that a person stopped: their causes start nothing
    touched: tuple[str, ...]  # features, models and endpoints that stand on what drifted
    false_retrains: str  # how many the policy starts in a year in which nothing changes
    made_at: datetime


@dataclass(frozen=True)
class Pause:
    """A person's word on whether a model may be trained again by itself."""

    paused: bool
    who: str
    why: str
    since: datetime
