"""What follows from what was seen, strategy by strategy."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from mlops_assets.domain.release.experiment import ArmEvidence
from mlops_assets.domain.release.release_state import ReleaseState
from mlops_assets.domain.release.rollout import RolloutAction
from mlops_assets.domain.release.rollout_signals import Watched
from mlops_assets.domain.release.sequential import Sample
from mlops_assets.domain.release.step_decision import StepDecision, decide_step, nothing_to_decide
from mlops_assets.domain.release.step_evidence import StepObservations
from mlops_assets.domain.release.step_report import write_step_report, write_step_tables
from serving.contract.arms import Strategy
from tests.kit.rollout_log import release_state
from tests.kit.specs import ROLLOUT

HOUR = timedelta(hours=1)
QUIET = Watched(20_000, 200, 100, Sample(0, 0.0, 0.0))
FAILING = Watched(20_000, 2_000, 100, Sample(0, 0.0, 0.0))


def seen(release: ReleaseState, *arms: Watched, **other) -> StepObservations:
    values = {"elapsed": HOUR, "blind": timedelta(0), "slices": {}, "people": {}, "problems": (), "notes": ()} | other
    return StepObservations(state=release, arms=dict(zip((a.name for a in release.arms), arms, strict=True)), **values)


def decide(release: ReleaseState, *arms: Watched, **other) -> StepDecision:
    return decide_step(ROLLOUT, release, seen(release, *arms, **other))


@pytest.mark.parametrize(
    ("share", "canary", "champion", "expected"),
    [
        (0.5, QUIET, QUIET, (RolloutAction.ADVANCE, 1.0, True)),
        (0.25, QUIET, replace(QUIET, requests=60_000, errors=600, slow=300), (RolloutAction.ADVANCE, 0.5, False)),
        (0.5, FAILING, QUIET, (RolloutAction.ROLL_BACK, 0.0, False)),
        (0.5, replace(QUIET, requests=200, errors=2, slow=1), replace(QUIET, requests=200, errors=2, slow=1),
         (RolloutAction.HOLD, 0.5, False)),
    ],
)  # fmt: skip
def test_a_canary_goes_by_its_steps(share, canary, champion, expected):
    found = decide(release_state(share=share), champion, canary)
    assert (found.action, found.share, found.finishes) == expected
    assert found.arm == "canary"
    assert found.numbers["canary requests"] == canary.requests


def test_a_canary_at_no_declared_step_holds_and_says_so():
    found = decide(release_state(share=0.07), QUIET, QUIET)
    assert found.action is RolloutAction.HOLD
    assert "none of the steps" in found.reason


@pytest.mark.parametrize(
    ("shadow", "action", "share"),
    [
        (QUIET, RolloutAction.ADVANCE, 1.0),
        (FAILING, RolloutAction.ROLL_BACK, 0.0),
    ],
)
def test_a_shadow_is_judged_on_its_copies_in_one_step(shadow, action, share):
    found = decide(release_state(Strategy.SHADOW, share=1.0), QUIET, shadow)
    assert (found.action, found.share) == (action, share)


def test_a_shadow_that_waits_keeps_its_copies():
    few = replace(QUIET, requests=200, errors=2, slow=1)
    found = decide(release_state(Strategy.SHADOW, share=0.8), replace(few, requests=250), few)
    assert (found.action, found.share) == (RolloutAction.HOLD, 0.8)


def people(count: int, mean: float) -> ArmEvidence:
    sample = Sample(count, count * mean, count * (mean**2 + 0.01))
    return ArmEvidence(count, {"loss": sample, "reward": sample})


@pytest.mark.parametrize(
    ("ours", "theirs", "action", "share"),
    [
        (people(9_000, 0.10), people(9_000, 0.20), RolloutAction.ADVANCE, 1.0),
        (people(90_000, 0.20), people(90_000, 0.20), RolloutAction.ROLL_BACK, 0.0),
        (people(300, 0.10), people(300, 0.20), RolloutAction.HOLD, 0.5),
        (people(9_000, 0.10), people(12_000, 0.20), RolloutAction.FREEZE, 0.5),
    ],
)
def test_an_ab_test_ends_as_its_readout_says(ours, theirs, action, share):
    found = decide(
        release_state(Strategy.AB_TEST, share=0.5), QUIET, QUIET, people={"champion": theirs, "variant": ours}
    )
    assert (found.action, found.share) == (action, share)


def test_a_failing_variant_is_withdrawn_early():
    evidence: Mapping[str, ArmEvidence] = {"champion": people(300, 0.2), "variant": people(300, 0.1)}
    found = decide(release_state(Strategy.AB_TEST, share=0.5), QUIET, FAILING, people=evidence)
    assert (found.action, found.share) == (RolloutAction.ROLL_BACK, 0.0)
    assert "proven to be worse" in found.reason


@pytest.mark.parametrize(
    ("blind", "action"), [(timedelta(minutes=5), RolloutAction.HOLD), (HOUR, RolloutAction.ROLL_BACK)]
)
@pytest.mark.parametrize("strategy", [Strategy.CANARY, Strategy.AB_TEST])
def test_what_cannot_be_measured_holds_and_then_goes(strategy, blind, action):
    found = decide(release_state(strategy, share=0.5), QUIET, QUIET, blind=blind, problems=("a gap in the log",))
    assert found.action is action
    assert "a gap in the log" in found.reason


@pytest.mark.parametrize("strategy", [Strategy.THOMPSON, Strategy.EPSILON_GREEDY])
def test_a_bandit_is_read_out_and_never_ended(strategy):
    evidence = {"champion": people(90_000, 0.2), "variant": people(90_000, 0.1)}
    found = decide(release_state(strategy, share=0.5), QUIET, FAILING, people=evidence)
    assert found.action is RolloutAction.HOLD
    assert "variant: 90000 people, mean reward 0.1" in found.reason


def test_what_is_not_judged_says_why():
    release = release_state()
    assert nothing_to_decide(release) is None
    assert "frozen by tests" in str(nothing_to_decide(replace(release, frozen=True)))
    assert "alone" in str(nothing_to_decide(replace(release, arms=release.arms[:1])))


def test_a_person_is_told_every_number_and_what_is_missing():
    release, few = release_state(share=0.5), replace(QUIET, requests=200, errors=2, slow=1)
    look = seen(release, few, few, notes=("3 rows have outcomes that contradict each other: the first one counts",))
    found = decide_step(ROLLOUT, release, look)
    for text in (write_step_report(found, release, look), write_step_tables(found, release, look)):
        assert "contradict" in text
        assert "200 canary requests" in text
        assert "1.1.0" in text
