"""How a version is served, and how it gets its traffic."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Any


class Precision(StrEnum):
    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class Promotion(StrEnum):
    """Who makes a version that passed every gate the champion."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


@dataclass(frozen=True)
class ServingSpec:
    precisions: tuple[Precision, ...]
    parity: float  # largest absolute difference of a score
    latency_ms: float
    provider: str  # auto, cpu, cuda, tensorrt
    out_of_range: str  # reject, clip, flag
    since: datetime  # the first day of the log, where neither partitions nor a replay say
    log_retention: timedelta  # after which a segment whose rows are in the lake may go


class Strategy(StrEnum):
    """How a version that passed its gates gets traffic. The values are those of the release file."""

    BLUE_GREEN = "blue_green"  # all at once
    CANARY = "canary"  # step by step, judged
    SHADOW = "shadow"  # copies first, then all at once
    AB_TEST = "ab_test"  # beside the champion until the readout says who wins
    EPSILON_GREEDY = "epsilon_greedy"
    THOMPSON = "thompson"


@dataclass(frozen=True)
class RolloutPolicy:
    """When a canary's step may end, and how."""

    steps: tuple[float, ...]  # the canary's share, rising to 1
    alpha: float  # of a wrong rollback over the whole rollout; of one wrong step forward
    split_alpha: float  # of a false alarm about the split, in one step
    minimum_requests: int  # answered by the canary in a step before it may advance
    minimum_time: timedelta  # of a step
    patience: timedelta  # of an inconclusive step before a person is asked
    blind_patience: timedelta  # without measurement before it is rolled back
    error_margin: float  # how many more errors are harmless, as share of requests
    slow_margin: float  # likewise answers above the latency budget
    slow_at_most: float  # share of answers above the budget; 0.05 says that p95 is within it
    metric_margin: float  # how much more loss per row is harmless
    minimum_labels: int  # on each arm before the metric is judged; for losses in [0, 1] 10 / metric_margin or more
    needs_feedback: bool  # without that many labels a step holds; else it goes on without the metric

    def __post_init__(self) -> None:
        if problems := list(_policy_problems(self)):
            raise ValueError("; ".join(f"rollout.{text}" for text in problems))


@dataclass(frozen=True)
class ReplayPolicy:
    """Logged requests through the candidate before it gets any traffic."""

    requests: int  # the latest so many rows; 0: no replay
    window: timedelta  # how old they may be
    minimum: int  # rows under which nothing is concluded, which does not stop a release
    agreement: float  # the least rank correlation (or share of equal classes) of the two versions' answers
    calibration: float  # the most the candidate's calibration error may lie above the champion's
    errors: float  # the largest share of rows that the candidate cannot answer and the champion could


@dataclass(frozen=True)
class ExperimentSpec:
    """An A/B test between champion and challenger."""

    share: float  # of the challenger
    metric: str  # loss: the model's own; reward: what feedback brings
    worth: float  # the smallest difference worth having
    alpha: float
    minimum: int  # people in each arm
    longest: int  # people in all arms


@dataclass(frozen=True)
class BanditSpec:
    epsilon: float
    floor: float
    reward: str  # binary, numeric


@dataclass(frozen=True)
class RolloutSpec:
    """Everything about how a version is released."""

    strategy: Strategy
    policy: RolloutPolicy
    replay: ReplayPolicy
    experiment: ExperimentSpec
    bandit: BanditSpec
    shadow_share: float  # of requests that a shadow gets a copy of
    error_share: float  # of recent requests, above which the endpoint opens an arm's circuit breaker
    default: Mapping[str, Any] | None  # the answer when everything else fails; none: an error


def _policy_problems(policy: RolloutPolicy) -> Iterator[str]:
    rising = (0.0, *policy.steps)
    if len(rising) < 3 or rising[-1] != 1 or any(a >= b for a, b in pairwise(rising)):
        yield f"steps {policy.steps} have to rise from above 0 to 1, with a step before it"
    for name in ("alpha", "split_alpha"):
        if not 0 < getattr(policy, name) < 0.5:
            yield f"{name} {getattr(policy, name)} has to lie between 0 and 0.5"
    for name in ("error_margin", "slow_margin", "slow_at_most", "metric_margin"):
        if not getattr(policy, name) > 0:
            yield f"{name} {getattr(policy, name)} has to be above 0: no amount of data proves equality"
    for name in ("minimum_requests", "minimum_labels"):
        if getattr(policy, name) < 1:
            yield f"{name} {getattr(policy, name)} has to be at least 1"
