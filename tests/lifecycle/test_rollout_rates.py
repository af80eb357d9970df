"""How often a canary's judges are wrong, simulated on the code that decides. `-s` prints the rates.

A false alarm is counted when a judge is wrong at any look, thousands of looks or not. Rates are held to the
stated limit itself, without an allowance for chance.
"""

import sys
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pytest

from mlops_assets.domain.release import sequential
from mlops_assets.domain.release.rollout import RolloutAction, StepEvidence, judge_step
from mlops_assets.domain.release.rollout_signals import Watched
from mlops_assets.domain.release.sequential import Sample
from tests.kit.specs import ROLLOUT

pytestmark = pytest.mark.simulation
ALPHA = ROLLOUT.alpha
PROOF = np.log(1 / ALPHA)


def say(text: str) -> None:
    sys.stdout.write(f"  {text}\n")


def told(what: str, rate: float | np.floating, limit: str) -> None:
    say(f"{what}: {rate:.1%} ({limit})")


# --- each judge by itself, at every look ---


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_errors_of_equal_arms_whose_rate_changes_through_the_day(share):
    rng, runs, looks = np.random.default_rng(1), 1000, 1500
    rate = 0.02 + 0.019 * np.sin(np.arange(looks) / 40)  # 0.1 % to 3.9 %
    errors = rng.binomial(100, rate, (runs, looks))
    canary = rng.binomial(errors, share).cumsum(1)
    alarmed = (sequential.excess(canary, errors.cumsum(1) - canary, share=share) >= PROOF).any(1).mean()
    told(f"errors, canary at {share:.0%}, A/A, {looks} looks: false alarms", alarmed, "limit 5 %")
    assert alarmed <= ALPHA


@pytest.mark.parametrize("loss", [0.005, 0.02, 0.2, 0.5])
@pytest.mark.parametrize("rival", [1, 19])
def test_a_metric_of_equal_arms(loss, rival):
    rng, runs, looks, batch = np.random.default_rng(2), 1000, 1500, 5
    ours, theirs = (rng.binomial(size, loss, (runs, looks)).cumsum(1) for size in (batch, rival * batch))
    count = batch * np.arange(1, looks + 1)
    a, b = Sample(count, ours, ours), Sample(rival * count, theirs, theirs)
    evidence = sequential.mean_gap_evidence(a, b, scale=ROLLOUT.metric_margin)
    alarmed = ((evidence >= PROOF) & (count >= ROLLOUT.minimum_labels)).any(1).mean()
    told(f"metric with mean {loss:g}, arms 1:{rival}, A/A, {looks} looks: false alarms", alarmed, "limit 5 %")
    assert alarmed <= ALPHA


@pytest.mark.parametrize("loss", [0.005, 0.02, 0.2])
@pytest.mark.parametrize("rival", [1, 19])
def test_a_metric_worse_by_the_margin_is_not_harmless(loss, rival):
    rng, runs, looks, batch = np.random.default_rng(3), 1000, 1500, 5
    margin = ROLLOUT.metric_margin
    ours = rng.binomial(batch, loss + margin, (runs, looks)).cumsum(1)
    theirs = rng.binomial(rival * batch, loss, (runs, looks)).cumsum(1)
    count = batch * np.arange(1, looks + 1)
    bounds = sequential.mean_gap(
        Sample(count, ours, ours), Sample(rival * count, theirs, theirs), alpha=ALPHA, scale=margin
    )
    passed = ((bounds.high <= margin) & (count >= ROLLOUT.minimum_labels)).any(1).mean()
    told(
        f"metric {loss:g} -> {loss + margin:g}, arms 1:{rival}, {looks} looks: called harmless",
        passed,
        "limit 5 %",
    )
    assert passed <= ALPHA


def test_a_heavy_tailed_metric_of_equal_arms():
    rng, runs, looks, batch = np.random.default_rng(3), 600, 800, 20
    values = rng.lognormal(0, 1, (2, runs, looks, batch))
    totals, squares = values.sum(-1).cumsum(-1), np.square(values).sum(-1).cumsum(-1)
    count = batch * np.arange(1, looks + 1)
    a, b = (Sample(count, totals[arm], squares[arm]) for arm in (0, 1))
    evidence = sequential.mean_gap_evidence(a, b, scale=0.1)
    alarmed = ((evidence >= PROOF) & (count >= ROLLOUT.minimum_labels)).any(1).mean()
    told(f"log-normal metric, A/A, {looks} looks: false alarms", alarmed, "limit 5 %")
    assert alarmed <= ALPHA


def test_a_split_that_is_the_one_asked_for():
    rng, runs, looks = np.random.default_rng(4), 2000, 2000
    canary = rng.binomial(50, 0.05, (runs, looks)).cumsum(1)
    counts = np.stack([canary, 50 * np.arange(1, looks + 1) - canary], axis=-1)
    evidence = sequential.imbalance(counts, [0.05, 0.95])
    alarmed = (evidence >= PROOF).any(1).mean()
    told(f"split, A/A, {looks} looks: false alarms at alpha 5 %", alarmed, "limit 5 %")
    told("  at the standard 0.1 %", (evidence >= -np.log(ROLLOUT.split_alpha)).any(1).mean(), "limit 0.1 %")
    assert alarmed <= ALPHA


# --- the rollout as a whole ---


@dataclass(frozen=True)
class Truth:
    """What an arm really does."""

    errors: float = 0.01
    slow: float = 0.02
    loss: float = 0.2
    feedback: float = 0.3  # share of requests whose outcome becomes known


def watched(rng: np.random.Generator, requests: int, truth: Truth) -> np.ndarray:
    """Requests, errors, slow answers, labelled rows, wrong ones."""
    labels = rng.binomial(requests, truth.feedback)
    chances = ((requests, truth.errors), (requests, truth.slow), (labels, truth.loss))
    errors, slow, wrong = (rng.binomial(count, chance) for count, chance in chances)
    return np.array([requests, errors, slow, labels, wrong])


def as_evidence(share: float, elapsed: timedelta, counts: np.ndarray) -> StepEvidence:
    """From counts [arm, slice, what]."""

    def arm(of: np.ndarray) -> Watched:
        requests, errors, slow, labels, wrong = (int(value) for value in of)
        return Watched(requests, errors, slow, Sample(labels, wrong, wrong))

    total = counts.sum(1)
    slices = {f"s{n}": (arm(counts[0, n]), arm(counts[1, n])) for n in range(counts.shape[1])}
    return StepEvidence(share, elapsed, timedelta(0), arm(total[0]), arm(total[1]), slices, ())


@dataclass(frozen=True)
class Course:
    """How one rollout went."""

    share: float  # 1: promoted, 0: rolled back
    action: RolloutAction  # the last
    canary: int  # requests that the canary answered
    requests: int  # of both arms


def rollout(seed: int, truth: Truth, *, first: float = ROLLOUT.steps[0], tick: int = 100) -> Course:
    """One rollout to its end; the canary answers about `tick` requests between two looks."""
    rng, share, champion = np.random.default_rng(seed), first, Truth(feedback=truth.feedback)
    canary = requests = 0
    while 0 < share < 1:
        counts, elapsed, decision = np.zeros((2, 2, 5), dtype=int), timedelta(0), None
        while decision is None or decision.action is RolloutAction.HOLD:
            total = round(tick / share)
            taken = rng.binomial(total, share)
            for row, (truth_of, part) in enumerate(((truth, taken), (champion, total - taken))):
                half = rng.binomial(part, 0.5)
                counts[row] += [watched(rng, half, truth_of), watched(rng, part - half, truth_of)]
            canary, requests, elapsed = canary + taken, requests + total, elapsed + timedelta(minutes=5)
            decision = judge_step(ROLLOUT, as_evidence(share, elapsed, counts))
        if decision.action is RolloutAction.FREEZE:
            break
        share = decision.share
    return Course(share, decision.action, canary, requests)


@pytest.mark.parametrize("first", ROLLOUT.steps[:-1])
def test_a_canary_with_more_errors_is_rolled_back_in_time(first):
    courses = [rollout(seed, Truth(errors=0.03), first=first) for seed in range(200)]
    caught = [course for course in courses if course.share == 0 and course.canary <= 5000]
    rate = len(caught) / len(courses)
    median, late = np.quantile([course.canary for course in courses], [0.5, 0.95])
    in_total = np.mean([course.share == 0 and course.requests <= 5000 for course in courses])
    told(f"1 % -> 3 % errors from {first:.0%}: rolled back within 5,000 canary requests", rate, "at least 95 %")
    say(f"  canary requests: median {median:.0f}, 95 % of runs {late:.0f}; 5,000 of both arms: {in_total:.1%}")
    assert rate >= 0.95


@pytest.mark.parametrize(
    ("what", "truth"),
    [("5 points more slow answers", Truth(slow=0.07)), ("5 points more wrong answers", Truth(loss=0.25))],
)
def test_other_harm_is_rolled_back(what, truth):
    courses = [rollout(seed, truth, tick=250) for seed in range(60)]
    rate = np.mean([course.share == 0 for course in courses])
    told(f"{what}: rolled back", rate, "at least 95 %")
    assert rate >= 0.95


@pytest.mark.parametrize(("feedback", "tick", "runs"), [(0.0, 500, 150), (0.3, 2500, 100)])
def test_an_equal_canary_reaches_everyone(feedback, tick, runs):
    courses = [rollout(seed, Truth(feedback=feedback), tick=tick) for seed in range(runs)]
    ends = Counter(str(course.action) for course in courses)
    promoted, wrong = (np.mean([course.share == share for course in courses]) for share in (1, 0))
    requests = np.median([course.requests for course in courses])
    told(f"equal canary, feedback for {feedback:.0%}: reaches 100 %", promoted, "at least 95 %")
    told("  wrongly rolled back", wrong, "limit 5 %")
    say(f"  requests of both arms for all steps: median {requests:,.0f}; ends {dict(ends)}")
    assert promoted >= 0.95
    assert wrong <= 0.05
