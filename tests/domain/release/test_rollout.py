"""The rollout's truth table: one case for each way a step can go."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from mlops_assets.declaration.release import RolloutPolicy
from mlops_assets.domain.release.rollout import RolloutAction, StepEvidence, judge_step, levels
from mlops_assets.domain.release.rollout_signals import Signal, Watched
from mlops_assets.domain.release.sequential import Sample
from mlops_assets.domain.verdict import Outcome
from tests.kit.specs import ROLLOUT

NOTHING = Sample(0, 0.0, 0.0)


def labelled(count: int, mean: float, spread: float = 0.3) -> Sample:
    return Sample(count, count * mean, count * (mean**2 + spread**2))


def arm(requests: int, errors: float = 0.01, slow: float = 0.01, losses: Sample = NOTHING) -> Watched:
    return Watched(requests, round(errors * requests), round(slow * requests), losses)


GOOD = StepEvidence(
    share=0.25,
    elapsed=timedelta(hours=1),
    blind=timedelta(0),
    canary=arm(10_000),
    champion=arm(30_000),
    slices={},
    problems=(),
)
LONG, BLIND = ROLLOUT.patience, ROLLOUT.blind_patience
DEMANDING = ROLLOUT.with_changes(needs_feedback=True)


def case(policy: RolloutPolicy = ROLLOUT, **changes: Any) -> tuple[RolloutPolicy, StepEvidence]:
    return policy, replace(GOOD, **changes)


FEW: dict[str, Any] = {"canary": arm(600), "champion": arm(1800)}
BAD_CANARY: dict[str, Any] = {"canary": arm(10_000, errors=0.03)}
BAD_SPLIT: dict[str, Any] = {"canary": arm(10_000), "champion": arm(20_000)}
GONE = ("log not readable",)

TRUTH = {
    # name: (policy and evidence, action, outcome, words of the reason)
    "all good": (case(), RolloutAction.ADVANCE, Outcome.PASS, "Every signal passed"),
    "slightly worse within the margin": (
        case(canary=arm(10_000, errors=0.0125), champion=arm(30_000)),
        RolloutAction.ADVANCE,
        Outcome.PASS,
        "",
    ),
    "proven worse within the margin": (
        case(canary=arm(1_000_000, errors=0.013), champion=arm(3_000_000)),
        RolloutAction.ADVANCE,
        Outcome.PASS,
        "",
    ),
    "too few requests to say": (case(**FEW), RolloutAction.HOLD, Outcome.INCONCLUSIVE, "errors"),
    "a bound just outside the margin": (
        case(canary=arm(2200, slow=0), champion=arm(6600, slow=0)),
        RolloutAction.HOLD,
        Outcome.INCONCLUSIVE,
        "errors: 1.000% against 1.000%",
    ),
    "under the minimum of requests": (
        case(canary=arm(400, errors=0, slow=0), champion=arm(1200, errors=0, slow=0)),
        RolloutAction.HOLD,
        Outcome.INCONCLUSIVE,
        "enough_data",
    ),
    "under the minimum of time": (
        case(elapsed=timedelta(minutes=9)),
        RolloutAction.HOLD,
        Outcome.INCONCLUSIVE,
        "enough_data",
    ),
    "inconclusive for too long": (case(**FEW, elapsed=LONG), RolloutAction.FREEZE, Outcome.INCONCLUSIVE, "a person"),
    "more errors": (case(**BAD_CANARY), RolloutAction.ROLL_BACK, Outcome.FAIL, "errors: 3.000% against 1.000%"),
    "more errors before the minimum": (
        case(canary=arm(100, errors=0.5), champion=arm(300), elapsed=timedelta(seconds=30)),
        RolloutAction.ROLL_BACK,
        Outcome.FAIL,
        "errors",
    ),
    "more errors after long patience": (
        case(**BAD_CANARY, elapsed=LONG),
        RolloutAction.ROLL_BACK,
        Outcome.FAIL,
        "errors",
    ),
    "more slow answers": (
        case(canary=arm(10_000, slow=0.045)),
        RolloutAction.ROLL_BACK,
        Outcome.FAIL,
        "slow_answers",
    ),
    "p95 above the budget, champion's within": (
        case(canary=arm(30_000, slow=0.057), champion=arm(90_000, slow=0.0445)),
        RolloutAction.ROLL_BACK,
        Outcome.FAIL,
        "latency_quantile",
    ),
    "p95 above the budget for both": (
        case(canary=arm(30_000, slow=0.08), champion=arm(90_000, slow=0.08)),
        RolloutAction.HOLD,
        Outcome.INCONCLUSIVE,
        "look at the load",
    ),
    "larger loss": (
        case(canary=arm(10_000, losses=labelled(3000, 0.25)), champion=arm(30_000, losses=labelled(9000, 0.2))),
        RolloutAction.ROLL_BACK,
        Outcome.FAIL,
        "model_metric",
    ),
    "same loss": (
        case(
            DEMANDING,
            canary=arm(10_000, losses=labelled(6000, 0.2)),
            champion=arm(30_000, losses=labelled(18_000, 0.2)),
        ),
        RolloutAction.ADVANCE,
        Outcome.PASS,
        "",
    ),
    "no feedback, none demanded": (case(), RolloutAction.ADVANCE, Outcome.PASS, ""),
    "no feedback though demanded": (case(DEMANDING), RolloutAction.HOLD, Outcome.INCONCLUSIVE, "500 are needed"),
    "undecided feedback, none demanded": (
        case(canary=arm(10_000, losses=labelled(600, 0.2)), champion=arm(30_000, losses=labelled(1800, 0.2))),
        RolloutAction.HOLD,
        Outcome.INCONCLUSIVE,
        "model_metric",
    ),
    "undecided feedback though demanded": (
        case(
            DEMANDING,
            canary=arm(10_000, losses=labelled(600, 0.2)),
            champion=arm(30_000, losses=labelled(1800, 0.2)),
        ),
        RolloutAction.HOLD,
        Outcome.INCONCLUSIVE,
        "model_metric",
    ),
    "larger loss, too few labels": (
        case(canary=arm(10_000, losses=labelled(499, 0.9)), champion=arm(30_000, losses=labelled(600, 0.2))),
        RolloutAction.ADVANCE,
        Outcome.PASS,
        "",
    ),
    "harm in one slice": (
        case(slices={"carrier=UA": (arm(900, errors=0.1), arm(2700))}),
        RolloutAction.ROLL_BACK,
        Outcome.FAIL,
        "errors[carrier=UA]",
    ),
    "a slice with few rows": (
        case(slices={"carrier=UA": (arm(10), arm(30))}),
        RolloutAction.ADVANCE,
        Outcome.PASS,
        "",
    ),
    "another split than asked": (case(**BAD_SPLIT), RolloutAction.HOLD, Outcome.ERROR, "look for retries"),
    "another split for too long": (
        case(**BAD_SPLIT, blind=BLIND),
        RolloutAction.ROLL_BACK,
        Outcome.ERROR,
        "Not measured",
    ),
    "another split that stays": (
        case(**BAD_SPLIT, elapsed=LONG),
        RolloutAction.FREEZE,
        Outcome.ERROR,
        "look for retries",
    ),
    "another split, and errors proven without it": (
        case(canary=arm(10_000, errors=0.3), champion=arm(20_000)),
        RolloutAction.ROLL_BACK,
        Outcome.FAIL,
        "errors",
    ),
    "another split that alone makes the errors": (
        case(canary=arm(1600, errors=0.05), champion=arm(2400, errors=0.05)),
        RolloutAction.HOLD,
        Outcome.ERROR,
        "split",
    ),
    "not measured": (case(problems=GONE), RolloutAction.HOLD, Outcome.ERROR, "log not readable"),
    "not measured for too long": (
        case(problems=GONE, blind=BLIND),
        RolloutAction.ROLL_BACK,
        Outcome.ERROR,
        "nobody can see",
    ),
    "more errors than requests": (
        case(canary=Watched(10, 11, 0, NOTHING)),
        RolloutAction.HOLD,
        Outcome.ERROR,
        "canary: 11 errors",
    ),
    "a slice that contradicts itself": (
        case(slices={"x": (arm(10), Watched(-1, 0, 0, NOTHING))}),
        RolloutAction.HOLD,
        Outcome.ERROR,
        "champion[x]",
    ),
    "no traffic": (case(canary=arm(0), champion=arm(0)), RolloutAction.HOLD, Outcome.INCONCLUSIVE, "enough_data"),
    "no traffic for too long": (
        case(canary=arm(0), champion=arm(0), elapsed=LONG),
        RolloutAction.FREEZE,
        Outcome.INCONCLUSIVE,
        "",
    ),
}


@pytest.mark.parametrize("name", TRUTH)
def test_truth_table(name):
    (policy, evidence), action, outcome, words = TRUTH[name]
    decision = judge_step(policy, evidence)
    assert (decision.action, decision.outcome) == (action, outcome), decision.reason
    assert words in decision.reason
    expected = {RolloutAction.ADVANCE: 0.5, RolloutAction.ROLL_BACK: 0.0}.get(action, 0.25)
    assert decision.share == expected


@pytest.mark.parametrize(("share", "after"), [(0.05, 0.1), (0.1, 0.25), (0.25, 0.5), (0.5, 1.0)])
def test_the_steps_in_turn(share, after):
    champion = arm(round(10_000 * (1 - share) / share))
    assert judge_step(ROLLOUT, replace(GOOD, share=share, champion=champion)).share == after


@pytest.mark.parametrize("share", [0.0, 0.07, 1.0])
def test_a_share_that_is_no_step_is_refused(share):
    with pytest.raises(ValueError, match="no judged step"):
        judge_step(ROLLOUT, replace(GOOD, share=share))


def test_every_signal_is_told_with_its_numbers():
    decision = judge_step(ROLLOUT, GOOD)
    assert sorted(v.name for v in decision.verdicts) == sorted(Signal)
    assert all(np.isfinite(value) for v in decision.verdicts for value in v.numbers.values())


def test_alpha_is_shared_by_all_tests_of_all_steps():
    for slices in (0, 2):
        of_errors, of_others = levels(ROLLOUT, slices)
        assert of_errors == pytest.approx(0.05 / 8)
        assert 4 * (of_errors + (3 + 3 * slices) * of_others) == pytest.approx(0.05)
