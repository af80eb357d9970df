"""How often rollouts end well, from log segments on disk to the decision. `-s` prints the rates.

The judges by themselves are held to their error rates in `test_rollout_rates` and `test_experiment_rates`; this is the
whole path that they stand at the end of.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from mlops_assets.declaration.release import RolloutPolicy
from mlops_assets.domain.release.release_state import ReleaseState
from mlops_assets.domain.release.rollout import RolloutAction
from mlops_assets.domain.release.step_decision import StepDecision, decide_step
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.stages.release.collect import read_rollout_evidence
from serving.contract.arms import Strategy
from tests.kit.rollout_log import Behaviour, EndpointLogs, minutes_later, outcome_rows, release_state, routed_requests
from tests.kit.specs import ROLLOUT, model_spec
from tests.serving.graphs import category, contract, make_bundle, number

pytestmark = pytest.mark.simulation
USUAL = Behaviour(errors=0.01, slow=0.01)
STEPS = (0.25, 0.5, 1.0)


def say(text: str) -> None:
    sys.stdout.write(f"  {text}\n")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory) -> tuple[Bundles, tuple[str, str]]:
    root = tmp_path_factory.mktemp("bundles")
    given = contract([number("distance"), category("carrier")], entity=("tail",))
    digests = tuple(make_bundle(root, given, seed=seed) for seed in (0, 1))
    return Bundles(root=str(root), cache=str(root / "cache")), (digests[0], digests[1])


@dataclass
class World:
    """Traffic on one release after another, and what is decided about it."""

    logs: EndpointLogs
    bundles: Bundles
    rollout: RolloutPolicy
    state: ReleaseState
    challenger: Behaviour
    rng: np.random.Generator
    feedback: float = 0.0  # share of requests whose outcome comes
    delay: float = 0.0  # minutes until it comes
    minutes: float = 0.0
    sent: int = 0
    taken: int = 0  # by the challenger

    def __post_init__(self) -> None:
        self._late = []

    def look(self, count: int) -> StepDecision:
        """Five minutes of traffic, then a look."""
        release, self.minutes = self.state, self.minutes + 5
        arm = (self.rng.random(count) < release.arms[1].weight).astype(int)
        does = {"champion": USUAL, release.arms[1].name: self.challenger}
        at = minutes_later(self.minutes)
        batch, truth = routed_requests(release, arm, rng=self.rng, behaviour=does, first=self.sent, at=at)
        self.logs.answer(batch)
        told = int(count * self.feedback)
        self._late.append((self.minutes + self.delay, batch.slice(0, told), truth[:told]))
        for due, rows, outcome in [each for each in self._late if each[0] <= self.minutes]:
            self.logs.tell(outcome_rows(rows, outcome.tolist(), at=minutes_later(due)))
        self._late = [each for each in self._late if each[0] > self.minutes]
        self.sent, self.taken = self.sent + count, self.taken + int(arm.sum())
        spec = model_spec(model="delay", rollout=self.rollout)
        seen = read_rollout_evidence(
            spec, release, self.logs.traffic, self.bundles, now=minutes_later(self.minutes + 1)
        )
        return decide_step(self.rollout, release, seen)

    def step(self, share: float) -> None:
        """The next generation, with its own evidence."""
        champion, challenger = self.state.arms
        arms = (replace(champion, weight=1 - share), replace(challenger, weight=share))
        opened, generation = minutes_later(self.minutes), self.state.generation + 1
        self.state = replace(self.state, arms=arms, generation=generation, opened_at=opened)

    def end(self, count: int, most: int) -> StepDecision:
        """On to the end of the rollout, or until so many requests were sent."""
        while True:
            found = self.look(count)
            if self.sent >= most or (found.acts and not 0 < found.share < 1) or found.action is RolloutAction.FREEZE:
                return found
            if found.action is RolloutAction.ADVANCE:
                self.step(found.share)


@contextmanager
def world(bundles: tuple[Bundles, tuple[str, str]], seed: int, challenger: Behaviour, **how) -> Iterator[World]:
    store, digests = bundles
    release = release_state(how.pop("strategy", Strategy.CANARY), share=how.pop("share", STEPS[0]), bundles=digests)
    rollout = ROLLOUT.with_changes(steps=STEPS)
    with TemporaryDirectory() as folder:
        logs = EndpointLogs(Path(folder))
        made = World(logs, store, how.pop("rollout", rollout), release, challenger, np.random.default_rng(seed), **how)
        yield made
        logs.close()


def test_a_canary_with_more_errors_is_rolled_back_in_time(bundles):
    runs, caught, needed = 60, 0, []
    for seed in range(runs):
        with world(bundles, seed, replace(USUAL, errors=0.03)) as made:
            found = made.end(1_000, most=40_000)
            caught += found.action is RolloutAction.ROLL_BACK and made.taken <= 5_000
            needed.append(made.taken)
    say(f"1 % -> 3 % errors: rolled back within 5,000 canary requests in {caught} of {runs} (at least 95 %),")
    say(f"  canary requests: median {np.median(needed):.0f}, most {max(needed)}")
    assert caught >= 0.95 * runs


def test_an_equal_canary_reaches_everyone(bundles):
    runs, most, promoted, wrong, needed = 40, 100_000, 0, 0, []
    for seed in range(runs):
        with world(bundles, seed, USUAL) as made:
            found = made.end(4_000, most=most)
            promoted += found.finishes
            wrong += found.action is RolloutAction.ROLL_BACK
            needed.append(made.sent)
    say(f"equal canary: reaches 100 % within {most:,} requests in {promoted} of {runs} (at least 90 %),")
    say(f"  wrongly rolled back {wrong} (limit 5 %), requests: median {np.median(needed):,.0f}")
    assert promoted >= 0.9 * runs
    assert wrong <= 0.05 * runs


def test_a_worse_model_is_rolled_back_on_late_outcomes(bundles):
    runs, caught, needed = 30, 0, []
    for seed in range(runs):
        shares = {"feedback": 0.3, "delay": 30.0}
        with world(bundles, seed, replace(USUAL, shift=0.35), **shares) as made:
            needs = made.rollout.with_changes(needs_feedback=True)
            made.rollout = needs
            found = made.end(2_000, most=60_000)
            caught += found.action is RolloutAction.ROLL_BACK
            needed.append(made.sent)
    say(f"worse by 0.12 loss, outcomes for 30 % after 30 minutes: rolled back in {caught} of {runs} (at least 95 %),")
    say(f"  requests: median {np.median(needed):,.0f}, most {max(needed):,}")
    assert caught >= 0.95 * runs


def test_an_ab_test_of_equal_arms_at_every_look(bundles):
    """Reduced: the full rates are those of `test_experiment_rates`."""
    runs, looks, alarms = 60, 20, 0
    experiment = ROLLOUT.experiment.with_changes(metric="loss", worth=0.02, minimum=200, longest=1_000_000)
    rollout = ROLLOUT.with_changes(experiment=experiment)
    for seed in range(runs):
        how = {"strategy": Strategy.AB_TEST, "share": 0.5, "rollout": rollout, "feedback": 1.0}
        with world(bundles, seed, USUAL, **how) as made:
            for _ in range(looks):
                found = made.look(500)
                if any(v.name.startswith("loss") and v.outcome in ("pass", "fail") for v in found.verdicts):
                    alarms += 1
                    break
    say(f"A/B of equal arms, {looks} looks: a difference named in {alarms} of {runs} (limit 5 %)")
    assert alarms <= 0.05 * runs
