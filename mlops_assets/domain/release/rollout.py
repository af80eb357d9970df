"""Decides what happens to a canary: advance, hold, roll back or freeze. Reads no log, writes no release.

Evidence is counted anew at each step, so that a change of the split cannot pass for a change of the model.
The canary advances only when every signal passes: one that is worse by more than a margin takes a step with
probability `alpha` at most, with no correction. Any signal that fails rolls it back: `alpha` is shared by
all tests of all steps, so a canary that is not worse is rolled back with probability `alpha` at most over
the whole rollout. That needs no minimum of data, as errors and slow answers are judged exactly; the model's
metric has a minimum of its own.

What was decided where numbers cannot:
- A proven fail rolls back whatever else could not be measured. Taking back is cheap; waiting may not be.
- A split that is not the one asked for holds, with its cause. Errors and slow answers are then judged
  without the test that stands on the split; harm that is proven all the same rolls back.
- What cannot be measured holds, and after `blind_patience` rolls back: users are not left with a version
  that nobody can see. A split that stays another one for `patience` freezes, so that a person looks. Feedback
  that has not come is no such thing; nor is a slice with few rows.
- Feedback binds as soon as there is enough of it, demanded or not: a step that could wait for the metric and
  does not would let a worse model through on errors and latency alone.
- A step that stays inconclusive for `patience` freezes: the share stays and a person decides. Proven harm
  wins.
- A canary that is slow while the champion is slow too is inconclusive: that is load, not the version.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from mlops_assets.declaration.release import RolloutPolicy
from mlops_assets.domain.release import rollout_signals as signals
from mlops_assets.domain.release.rollout_signals import Levels, Signal, Watched
from mlops_assets.domain.verdict import Outcome, Verdict, worst

_OTHER_TESTS = 3  # besides errors: slow answers, latency quantile, metric
_TESTS_OF_SLICE = 3  # errors, slow answers, metric


class RolloutAction(StrEnum):
    ADVANCE = "advance"
    HOLD = "hold"
    ROLL_BACK = "roll_back"
    FREEZE = "freeze"


@dataclass(frozen=True)
class StepEvidence:
    """What happened since the present step began."""

    share: float  # the canary's, as released
    elapsed: timedelta
    blind: timedelta  # since the last judgement of this step that could measure
    canary: Watched
    champion: Watched
    slices: Mapping[str, tuple[Watched, Watched]]  # name → canary, champion
    problems: tuple[str, ...]  # why it could not be measured; empty: it could


@dataclass(frozen=True)
class Decision:
    action: RolloutAction
    outcome: Outcome
    share: float  # the canary's from now on
    reason: str
    verdicts: tuple[Verdict, ...]


def judge_step(policy: RolloutPolicy, evidence: StepEvidence) -> Decision:
    """What to do with the canary now. The same evidence gives the same decision."""
    if evidence.share not in policy.steps[:-1]:
        steps = ", ".join(f"{step:g}" for step in policy.steps[:-1])
        raise ValueError(f"a canary with {evidence.share:g} of the traffic stands at no judged step ({steps})")
    if problems := (*evidence.problems, *_contradictions(evidence)):
        verdicts = (Verdict(Signal.DATA, Outcome.ERROR, f"Cannot be measured: {'; '.join(problems)}.", {}),)
    else:
        verdicts = tuple(_verdicts(policy, evidence))
    outcome = _outcome(verdicts)
    action = _action(policy, evidence, outcome)
    share = _share_after(policy, evidence.share, action)
    return Decision(action, outcome, share, _reason(action, outcome, evidence, verdicts), verdicts)


def levels(policy: RolloutPolicy, slices: int) -> tuple[float, float]:
    """The parts of `alpha` of a step for errors, which are to be found first, and for each other test."""
    half = policy.alpha / (len(policy.steps) - 1) / 2
    return half, half / (_OTHER_TESTS + _TESTS_OF_SLICE * slices)


def _verdicts(policy: RolloutPolicy, evidence: StepEvidence) -> Iterator[Verdict]:
    ours, theirs = evidence.canary, evidence.champion
    split = signals.split(evidence.share, ours.requests, theirs.requests, alpha=policy.split_alpha)
    share = evidence.share if split.passed else None
    of_errors, of_others = (Levels(part, policy.alpha, share) for part in levels(policy, len(evidence.slices)))
    yield split
    yield _enough(policy, evidence)
    yield from _compared(policy, of_errors, of_others, ours, theirs)
    slow = (ours.slow, ours.requests), (theirs.slow, theirs.requests)
    yield signals.quantile(*slow, at_most=policy.slow_at_most, levels=of_others)
    for name, pair in evidence.slices.items():
        # only proven harm binds: waiting for every small slice would hold every canary
        failed = (v for v in _compared(policy, of_others, of_others, *pair) if v.outcome is Outcome.FAIL)
        yield from (Verdict(f"{v.name}[{name}]", v.outcome, v.reason, v.numbers) for v in failed)


def _compared(
    policy: RolloutPolicy, of_errors: Levels, of_others: Levels, ours: Watched, theirs: Watched
) -> Iterator[Verdict]:
    errors = (ours.errors, ours.requests), (theirs.errors, theirs.requests)
    slow = (ours.slow, ours.requests), (theirs.slow, theirs.requests)
    yield signals.events(Signal.ERRORS, *errors, margin=policy.error_margin, levels=of_errors)
    yield signals.events(Signal.SLOW, *slow, margin=policy.slow_margin, levels=of_others)
    yield signals.losses(
        Signal.METRIC,
        ours.losses,
        theirs.losses,
        margin=policy.metric_margin,
        minimum=policy.minimum_labels,
        demanded=policy.needs_feedback,
        levels=of_others,
    )


def _enough(policy: RolloutPolicy, evidence: StepEvidence) -> Verdict:
    seen, elapsed = evidence.canary.requests, evidence.elapsed
    enough = seen >= policy.minimum_requests and elapsed >= policy.minimum_time
    wanted = f"{policy.minimum_requests} in {policy.minimum_time}"
    numbers = {"requests": float(seen), "seconds": elapsed.total_seconds()}
    reason = f"{seen} canary requests in {elapsed}, a step takes at least {wanted}."
    return Verdict(Signal.DATA, Outcome.PASS if enough else Outcome.INCONCLUSIVE, reason, numbers)


def _contradictions(evidence: StepEvidence) -> Iterator[str]:
    arms = {"canary": evidence.canary, "champion": evidence.champion}
    for name, (ours, theirs) in evidence.slices.items():
        arms |= {f"canary[{name}]": ours, f"champion[{name}]": theirs}
    yield from (f"{name}: {problem}" for name, arm in arms.items() for problem in arm.problems())


def _outcome(verdicts: tuple[Verdict, ...]) -> Outcome:
    failed = any(verdict.outcome is Outcome.FAIL for verdict in verdicts)
    return Outcome.FAIL if failed else worst(verdicts)


def _action(policy: RolloutPolicy, evidence: StepEvidence, outcome: Outcome) -> RolloutAction:
    if outcome is Outcome.FAIL:
        return RolloutAction.ROLL_BACK
    if outcome is Outcome.ERROR and evidence.blind >= policy.blind_patience:
        return RolloutAction.ROLL_BACK
    if evidence.problems:
        return RolloutAction.HOLD
    if outcome is Outcome.PASS:
        return RolloutAction.ADVANCE
    return RolloutAction.FREEZE if evidence.elapsed >= policy.patience else RolloutAction.HOLD


def _share_after(policy: RolloutPolicy, share: float, action: RolloutAction) -> float:
    if action is RolloutAction.ROLL_BACK:
        return 0.0
    return policy.steps[policy.steps.index(share) + 1] if action is RolloutAction.ADVANCE else share


def _reason(action: RolloutAction, outcome: Outcome, evidence: StepEvidence, verdicts: tuple[Verdict, ...]) -> str:
    if outcome is Outcome.PASS:
        return "Every signal passed."
    told = " ".join(f"{v.name}: {v.reason}" for v in verdicts if v.outcome is outcome)
    if action is RolloutAction.FREEZE:
        return f"Inconclusive for {evidence.elapsed}, a person has to decide. {told}"
    if action is RolloutAction.ROLL_BACK and outcome is Outcome.ERROR:
        return f"Not measured for {evidence.blind}, nobody can see what it does. {told}"
    return told
