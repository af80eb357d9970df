"""How a version is served, and how it gets its traffic."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from mlops_assets.declaration.values import (
    Choice,
    Count,
    DeclaredPart,
    Duration,
    InnerShare,
    Items,
    Moment,
    Positive,
    Share,
    SmallRisk,
    SomeShare,
)
from serving.contract.arms import Strategy


class Precision(StrEnum):
    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class Promotion(StrEnum):
    """Who makes a version that passed every gate the champion."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


class ServingSpec(DeclaredPart):
    """How the model is served."""

    precisions: Items[Choice[Precision]] = Field(
        default=(Precision.FP32, Precision.FP16, Precision.INT8),
        description="The precisions to try; the fastest one that passes is served.",
    )
    parity: Positive = Field(
        default=0.01,
        description="The largest difference between the score of the served model and of the trained one; for a "
        "regression it is in units of the target's spread.",
    )
    latency_ms: Positive = Field(default=50, description="The budget for one row in milliseconds, at the median.")
    provider: Literal["auto", "cpu", "cuda", "tensorrt"] = Field(
        default="auto",
        description="The execution provider. auto uses CUDA where there is a GPU; with cuda or tensorrt the endpoint "
        "is not ready without one.",
    )
    out_of_range: Literal["reject", "clip", "flag"] = Field(
        default="flag", description="What happens to a number outside the range of the training rows."
    )
    since: Moment = Field(
        default=datetime(2026, 1, 1, tzinfo=UTC),
        description="The first day of predictions, where neither the partitions nor a replay define it.",
    )
    log_retention: Duration = Field(
        default=timedelta(days=30),
        description="How long the prediction log is kept after its rows have reached the lake.",
    )


class ReplayPolicy(DeclaredPart):
    """How logged requests are replayed through a candidate before it gets any traffic."""

    requests: Annotated[int, Field(ge=0)] = Field(
        default=2000, description="How many of the latest requests are replayed; with 0 there is no replay."
    )
    window: Duration = Field(default=timedelta(days=7), description="The greatest age of a replayed request.")
    minimum: Count = Field(default=200, description="The rows below which nothing is concluded or stopped.")
    agreement: Share = Field(
        default=0.3,
        description="The lowest rank correlation of both versions' scores; for classes, the lowest share of equal "
        "answers.",
    )
    calibration: Share = Field(
        default=0.05, description="How far the candidate's calibration error may exceed the champion's."
    )
    errors: Share = Field(
        default=0.001, description="The largest share of rows that the champion can answer and the candidate cannot."
    )


class ExperimentSpec(DeclaredPart):
    """An A/B test between champion and challenger, for the strategy ab_test."""

    share: InnerShare = Field(default=0.5, description="The share of the traffic that the challenger gets.")
    metric: Literal["loss", "reward"] = Field(
        default="loss",
        description="What is compared: loss is the model's own, computed from outcomes; reward comes with feedback.",
    )
    worth: Positive = Field(
        default=0.01, description="The smallest difference that matters, in the unit of the metric."
    )
    alpha: SmallRisk = Field(
        default=0.05, description="The chance that the test ever reports a difference where there is none."
    )
    minimum: Annotated[int, Field(ge=2)] = Field(
        default=500, description="The people in each arm below which nothing is concluded."
    )
    longest: Annotated[int, Field(ge=3)] = Field(
        default=100_000, description="The people in all arms after which the champion stays without a winner."
    )


class BanditSpec(DeclaredPart):
    """How traffic follows rewards, for the strategies epsilon_greedy and thompson."""

    epsilon: Share = Field(default=0.1, description="The share of requests that explore, for epsilon_greedy.")
    floor: Share = Field(default=0.05, description="The lowest share of traffic that every arm keeps.")
    reward: Literal["binary", "numeric"] = Field(default="binary", description="The kind of reward in the feedback.")


def _rising(steps: tuple[float, ...]) -> tuple[float, ...]:
    rising = (0.0, *steps)
    if len(rising) < 3 or rising[-1] != 1 or any(a >= b for a, b in pairwise(rising)):
        raise ValueError(f"{list(steps)} must rise from above 0 to 1, with at least one step before 1.")
    return steps


class RolloutPolicy(DeclaredPart):
    """How a version that passed its gates gets its traffic, and what takes it back."""

    strategy: Choice[Strategy] = Field(
        default=Strategy.CANARY,
        description="The way in which a new version takes over; the first version always takes all traffic at once.",
    )
    steps: Annotated[Items[SomeShare], AfterValidator(_rising)] = Field(
        default=(0.05, 0.1, 0.25, 0.5, 1.0), description="The canary's share of traffic in each step, rising to 1."
    )
    alpha: SmallRisk = Field(
        default=0.05,
        description="The chance of a wrong rollback in a whole rollout, and the chance of one wrong step forward.",
    )
    split_alpha: SmallRisk = Field(
        default=0.001, description="The chance of a false alarm about the traffic split in one step."
    )
    minimum_requests: Count = Field(
        default=500, description="How many requests the canary has to answer in a step before it may advance."
    )
    minimum_time: Duration = Field(default=timedelta(minutes=10), description="The shortest duration of a step.")
    patience: Duration = Field(
        default=timedelta(days=3), description="How long a step may be inconclusive before it waits for a person."
    )
    blind_patience: Duration = Field(
        default=timedelta(minutes=30),
        description="How long measurements may be missing before a rollback.",
    )
    error_margin: Positive = Field(
        default=0.01, description="How many more errors are harmless, as a share of requests."
    )
    slow_margin: Positive = Field(
        default=0.02, description="How many more answers above serving.latency_ms are harmless, as a share of requests."
    )
    slow_at_most: Positive = Field(
        default=0.05, description="The largest share of answers above serving.latency_ms; 0.05 bounds the p95."
    )
    metric_margin: Positive = Field(
        default=0.02,
        description="How much more loss per row is harmless; the loss is the squared error, of the probability for "
        "classes.",
    )
    minimum_labels: Count = Field(
        default=500, description="How many outcomes each arm needs before the loss is judged."
    )
    needs_feedback: bool = Field(
        default=False, description="With true, a step waits for that many outcomes; otherwise it goes on without them."
    )
    replay: ReplayPolicy = Field(
        default_factory=ReplayPolicy, description="How logged requests are replayed before a version gets traffic."
    )
    experiment: ExperimentSpec = Field(default_factory=ExperimentSpec, description="The A/B test of ab_test.")
    bandit: BanditSpec = Field(
        default_factory=BanditSpec, description="How traffic follows rewards with epsilon_greedy and thompson."
    )
    shadow_share: SomeShare = Field(
        default=1.0, description="The share of requests of which a shadow version gets a copy."
    )
    error_share: SomeShare = Field(
        default=0.5,
        description="The share of failed recent requests above which the endpoint stops using a version for a while.",
    )
    default: Mapping[str, Any] | None = Field(
        default=None,
        description="The answer when every version fails; it is marked as a default answer. Default: an error.",
    )
