"""How often an A/B readout is wrong and what bandits miss, simulated on the code that decides."""

import sys
from collections import Counter
from datetime import UTC, datetime
from random import Random

import numpy as np
import pytest

from mlops_assets.domain.release import sequential
from mlops_assets.domain.release.experiment import (
    ArmEvidence,
    Ending,
    ExperimentMetric,
    ExperimentPolicy,
    holm,
    read_out,
)
from mlops_assets.domain.release.sequential import Sample
from serving.contract.arms import Role, Strategy
from serving.contract.release import Arm, Bandit, Guards, Provider, Release, Reward
from serving.models.router import add_reward, build_router, start_state

pytestmark = pytest.mark.simulation


def say(text: str) -> None:
    sys.stdout.write(f"  {text}\n")


def told(what: str, rate: float | np.floating, limit: str) -> None:
    say(f"{what}: {rate:.1%} ({limit})")


# --- A/B tests ---

BOOKED = ExperimentMetric("booked", higher_is_better=True, worth=0.02)
STAYED = ExperimentMetric("stayed", higher_is_better=True, worth=0.05)
AB = ExperimentPolicy(
    control="a",
    shares={"a": 0.5, "b": 0.5},
    metrics=(BOOKED, STAYED),
    alpha=0.05,
    split_alpha=0.001,
    minimum=500,
    longest=60_000,
)


def test_an_ab_test_of_equal_arms_at_every_look():
    rng, runs, looks, batch = np.random.default_rng(5), 1000, 1500, 20
    count = batch * np.arange(1, looks + 1)
    alarmed = np.zeros((runs, looks), dtype=bool)
    for metric, mean in ((BOOKED, 0.1), (STAYED, 0.4)):
        arms = [rng.binomial(batch, mean, (runs, looks)).cumsum(1) for _ in range(2)]
        a, b = (Sample(count, total, total) for total in arms)
        p = sequential.p_value(sequential.mean_gap_evidence(a, b, scale=metric.worth))
        alarmed |= p <= AB.alpha / 2  # the smaller of two is the first that Holm looks at
    rate = (alarmed & (count >= AB.minimum)).any(1).mean()
    told(f"A/B of equal arms, two metrics, {looks} looks: any difference named", rate, "limit 5 %")
    assert holm([AB.alpha / 2, 1.0])[0] <= AB.alpha
    assert rate <= AB.alpha


def ab_test(seed: int, booked: tuple[float, float]) -> Ending:
    rng, counts = np.random.default_rng(seed), np.zeros((2, 3), dtype=int)  # people, booked, stayed
    while True:
        people = rng.multinomial(1000, [0.5, 0.5])
        counts += np.stack([people, rng.binomial(people, booked), rng.binomial(people, 0.4)], axis=-1)
        arms = {
            name: ArmEvidence(int(n), {"booked": Sample(n, yes, yes), "stayed": Sample(n, stay, stay)})
            for name, (n, yes, stay) in zip("ab", counts, strict=True)
        }
        found = read_out(AB, arms)
        if found.may_stop:
            return found.ending


def test_ab_tests_end_as_they_should():
    equal = Counter(ab_test(seed, (0.1, 0.1)) for seed in range(300))
    better = Counter(ab_test(seed, (0.1, 0.13)) for seed in range(100))
    told("A/B of equal arms: a winner is named", equal[Ending.WINNER] / 300, "limit 5 %")
    told("A/B with 3 points more: the winner is named", better[Ending.WINNER] / 100, "at least 95 %")
    say(f"  equal: {dict(equal)}; better: {dict(better)}")
    assert equal[Ending.WINNER] <= 0.05 * 300
    assert equal[Ending.NO_DIFFERENCE] >= 0.9 * 300
    assert better[Ending.WINNER] >= 95


# --- bandits ---

MEANS = {"a": 0.10, "b": 0.12, "c": 0.16}


def regret(strategy: Strategy, seed: int, requests: int = 4000) -> float:
    """Successes missed against the best arm. Feedback comes 50 requests late."""
    learning = None if strategy is Strategy.AB_TEST else Bandit(0.1, 0.02, Reward.BINARY)
    arms = tuple(
        Arm(name, "1.0.0", "ab" * 8, Role.VARIANT if n else Role.CHAMPION, [0.34, 0.33, 0.33][n])
        for n, name in enumerate(MEANS)
    )
    release = Release(
        "m",
        1,
        strategy,
        arms,
        Guards(100.0, 0.5),
        learning,
        None,
        None,
        Provider.CPU,
        "s",
        datetime(2026, 1, 1, tzinfo=UTC),
    )
    route, draw, state, late, missed = build_router(release), Random(seed), None, [], 0.0
    state = start_state(release) if learning else None
    for number in range(requests):
        chosen = route(f"{seed}:{number}", state, draw).arm.name
        missed += max(MEANS.values()) - MEANS[chosen]
        late.append((chosen, float(draw.random() < MEANS[chosen])))
        if state is not None and number >= 50:
            state = add_reward(state, *late[number - 50])
    return missed


def test_bandits_miss_less_than_a_fixed_split():
    seeds = range(40)
    found = {
        s: np.array([regret(s, seed) for seed in seeds])
        for s in (Strategy.AB_TEST, Strategy.EPSILON_GREEDY, Strategy.THOMPSON)
    }
    for strategy, missed in found.items():
        say(f"regret of {strategy} in 4,000 requests: {missed.mean():.0f}, worst {missed.max():.0f}")
    fixed, thompson = found[Strategy.AB_TEST], found[Strategy.THOMPSON]
    told("runs in which Thompson misses less than the fixed split", np.mean(thompson < fixed), "at least 95 %")
    assert np.mean(thompson < fixed) >= 0.95
    assert thompson.mean() < 0.6 * fixed.mean()
    assert found[Strategy.EPSILON_GREEDY].mean() < fixed.mean()
