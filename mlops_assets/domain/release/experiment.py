"""Reads an A/B test: lift, interval, always-valid p for each variant and metric, and whether it may end.

One may look as often as one likes and stop on what one sees. Counts are of people (sticky keys), not of
requests: what one person does again is no new evidence. The first metric is decided on; the others guard.

It ends when
- the split is not the one asked for: nothing is concluded, the cause has to be found;
- a variant's first metric is better (p adjusted by Holm over all variants and metrics) and no guard is worse;
- every interval of the first metric lies within the smallest lift worth having: no variant matters;
- the longest number of people is reached: the control stays.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from mlops_assets.domain.many_tests import holm
from mlops_assets.domain.release import sequential
from mlops_assets.domain.release.sequential import Sample


class Ending(StrEnum):
    RUNNING = "running"
    WINNER = "winner"
    NO_DIFFERENCE = "no_difference"
    SPLIT_BROKEN = "split_broken"
    OUT_OF_PEOPLE = "out_of_people"


@dataclass(frozen=True)
class ExperimentMetric:
    name: str
    higher_is_better: bool
    worth: float  # the smallest difference worth having, in the metric's units


@dataclass(frozen=True)
class ExperimentPolicy:
    control: str
    shares: Mapping[str, float]  # of every arm, as released
    metrics: tuple[ExperimentMetric, ...]  # the first is decided on
    alpha: float  # of naming any false difference in the whole experiment
    split_alpha: float
    minimum: int  # people in each arm before anything but the split is concluded
    longest: int  # people in all arms together

    def __post_init__(self) -> None:
        if problems := list(_policy_problems(self)):
            raise ValueError("; ".join(f"experiment.{text}" for text in problems))


@dataclass(frozen=True)
class ArmEvidence:
    people: int  # assigned, whether or not they did anything
    metrics: Mapping[str, Sample]  # one value a person


@dataclass(frozen=True)
class Comparison:
    """One variant against the control in one metric. All intervals hold together, at all looks."""

    variant: str
    metric: str
    control_mean: float
    variant_mean: float
    difference: float
    low: float
    high: float
    p: float
    adjusted_p: float
    better: bool
    worse: bool

    @property
    def lift(self) -> float | None:
        """The difference as part of the control's mean; None where that is 0."""
        return self.difference / abs(self.control_mean) if self.control_mean else None


@dataclass(frozen=True)
class Readout:
    ending: Ending
    winner: str | None
    reason: str
    split_p: float
    comparisons: tuple[Comparison, ...]

    @property
    def may_stop(self) -> bool:
        return self.ending is not Ending.RUNNING


def read_out(policy: ExperimentPolicy, arms: Mapping[str, ArmEvidence]) -> Readout:
    """What the experiment says now."""
    if problems := list(_evidence_problems(policy, arms)):
        raise ValueError(f"experiment evidence: {'; '.join(problems)}")
    names = list(policy.shares)
    split_log_e = sequential.imbalance([arms[n].people for n in names], [policy.shares[n] for n in names])
    split_p = float(sequential.p_value(split_log_e))
    comparisons = _adjusted(policy, list(_comparisons(policy, arms)))
    ending, winner, reason = _ending(policy, arms, split_p, comparisons)
    return Readout(ending, winner, reason, split_p, comparisons)


def _comparisons(policy: ExperimentPolicy, arms: Mapping[str, ArmEvidence]) -> Iterator[Comparison]:
    variants = [name for name in policy.shares if name != policy.control]
    each = policy.alpha / (len(variants) * len(policy.metrics))
    for variant in variants:
        for metric in policy.metrics:
            ours = arms[variant].metrics[metric.name]
            theirs = arms[policy.control].metrics[metric.name]
            bounds = sequential.mean_gap(ours, theirs, alpha=each, scale=metric.worth)
            p = float(sequential.p_value(sequential.mean_gap_evidence(ours, theirs, scale=metric.worth)))
            means = float(theirs.mean), float(ours.mean)
            yield Comparison(
                variant=variant,
                metric=metric.name,
                control_mean=means[0],
                variant_mean=means[1],
                difference=means[1] - means[0],
                low=float(bounds.low),
                high=float(bounds.high),
                p=p,
                adjusted_p=p,
                better=False,
                worse=False,
            )


def _adjusted(policy: ExperimentPolicy, found: list[Comparison]) -> tuple[Comparison, ...]:
    """With p adjusted and the difference named where there is one."""
    higher = {metric.name: metric.higher_is_better for metric in policy.metrics}
    adjusted = holm([comparison.p for comparison in found])
    return tuple(_named(c, p, p <= policy.alpha, higher[c.metric]) for c, p in zip(found, adjusted, strict=True))


def _named(found: Comparison, adjusted_p: float, proven: bool, higher_is_better: bool) -> Comparison:
    good = (found.difference > 0) is higher_is_better
    return replace(found, adjusted_p=adjusted_p, better=proven and good, worse=proven and not good)


def _ending(
    policy: ExperimentPolicy,
    arms: Mapping[str, ArmEvidence],
    split_p: float,
    comparisons: tuple[Comparison, ...],
) -> tuple[Ending, str | None, str]:
    people = sum(arm.people for arm in arms.values())
    if split_p <= policy.split_alpha:
        seen = ", ".join(f"{name} {arm.people / people:.2%}" for name, arm in arms.items())
        return (
            Ending.SPLIT_BROKEN,
            None,
            f"The split is not the one asked for ({seen}, p {split_p:.2g}): find out why.",
        )
    smallest = min(_measured(policy, arms))
    if smallest < policy.minimum and people < policy.longest:
        return (
            Ending.RUNNING,
            None,
            f"{smallest} people measured in the smallest arm, {policy.minimum} are needed.",
        )
    first = policy.metrics[0]
    decided = [c for c in comparisons if c.metric == first.name]
    harmed = {c.variant for c in comparisons if c.worse}
    winners = [c for c in decided if c.better and c.variant not in harmed]
    if winners and smallest >= policy.minimum:
        best = max(winners, key=lambda c: abs(c.difference))
        return Ending.WINNER, best.variant, _describe_comparison(best)
    if all(-first.worth <= c.low and c.high <= first.worth for c in decided):
        return (
            Ending.NO_DIFFERENCE,
            None,
            f"No variant changes {first.name} by more than {first.worth:g}: keep the control.",
        )
    if people >= policy.longest:
        return Ending.OUT_OF_PEOPLE, None, f"{people} people and no difference proven: keep the control."
    return Ending.RUNNING, None, "; ".join(_describe_comparison(c) for c in decided)


def _measured(policy: ExperimentPolicy, arms: Mapping[str, ArmEvidence]) -> Iterator[int]:
    for arm in arms.values():
        yield from (int(arm.metrics[metric.name].count) for metric in policy.metrics)  # type: ignore[arg-type]


def _describe_comparison(found: Comparison) -> str:
    lift = "" if found.lift is None else f" ({found.lift:+.1%})"
    bounds = f"{found.low:+.4g} to {found.high:+.4g}"
    return f"{found.variant}: {found.metric} {found.difference:+.4g}{lift}, {bounds}, p {found.adjusted_p:.2g}"


def _policy_problems(policy: ExperimentPolicy) -> Iterator[str]:
    if policy.control not in policy.shares:
        yield f"control {policy.control!r} is none of the arms {', '.join(policy.shares)}"
    if (
        len(policy.shares) < 2
        or min(policy.shares.values(), default=0) <= 0
        or abs(sum(policy.shares.values()) - 1) > 1e-9
    ):
        yield f"shares {dict(policy.shares)} have to be those of two arms or more, above 0, adding up to 1"
    if not policy.metrics or len({m.name for m in policy.metrics}) < len(policy.metrics):
        yield "metrics have to be one or more, each once"
    yield from (f"metrics.{m.name}.worth {m.worth} has to be above 0" for m in policy.metrics if not m.worth > 0)
    for name in ("alpha", "split_alpha"):
        if not 0 < getattr(policy, name) < 0.5:
            yield f"{name} {getattr(policy, name)} has to lie between 0 and 0.5"
    if not 1 < policy.minimum < policy.longest:
        yield f"minimum {policy.minimum} has to lie between 1 and longest {policy.longest}"


def _evidence_problems(policy: ExperimentPolicy, arms: Mapping[str, ArmEvidence]) -> Iterator[str]:
    if arms.keys() != policy.shares.keys():
        asked, given = sorted(policy.shares), sorted(arms)
        yield f"arms {given} are not those of the experiment, {asked}"
    for name, arm in arms.items():
        absent = [metric.name for metric in policy.metrics if metric.name not in arm.metrics]
        if absent:
            yield f"arm {name} lacks {', '.join(absent)}"
        if arm.people < 0:
            yield f"arm {name} has {arm.people} people"
