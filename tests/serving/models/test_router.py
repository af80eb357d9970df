"""The router: sticky shares, canaries that only grow, independent salts, bandits with floors."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.contract.arms import Role, Strategy
from serving.contract.release import Arm, Bandit, Guards, Provider, Release, Reward
from serving.models.router import add_reward, build_router, start_state, sticky_point

KEYS = [f"user-{n}" for n in range(20_000)]
DRAW = Random(0)


def arm(name: str, role: Role, weight: float) -> Arm:
    return Arm(name, "1.0.0", name.encode().hex().ljust(16, "0"), role, weight)


def release(strategy: Strategy, *arms: Arm, salt: str = "one", bandit: Bandit | None = None) -> Release:
    guards = Guards(100.0, 0.5)
    opened = datetime(2026, 1, 1, tzinfo=UTC)
    return Release("m", 1, strategy, arms, guards, bandit, None, None, Provider.CPU, salt, opened)


def canary(weight: float, salt: str = "one") -> Release:
    arms = arm("old", Role.CHAMPION, 1 - weight), arm("new", Role.CANARY, weight)
    return release(Strategy.CANARY, *arms, salt=salt)


def ab_test(*weights: float, salt: str = "one") -> Release:
    variants = (arm(f"v{n}", Role.VARIANT, w) for n, w in enumerate(weights[1:]))
    return release(Strategy.AB_TEST, arm("control", Role.CHAMPION, weights[0]), *variants, salt=salt)


def bandit(strategy: Strategy, arms: int = 3, *, reward=Reward.BINARY, epsilon=0.1, floor=0.0) -> Release:
    variants = (arm(f"v{n}", Role.VARIANT, 1 / arms) for n in range(1, arms))
    first = arm("v0", Role.CHAMPION, 1 - (arms - 1) / arms)
    return release(strategy, first, *variants, bandit=Bandit(epsilon, floor, reward))


def groups(of: Release) -> dict[str, str]:
    route = build_router(of)
    return {key: route(key, None, DRAW).arm.name for key in KEYS}


def test_blue_green_sends_all_to_the_champion():
    assert set(groups(release(Strategy.BLUE_GREEN, arm("old", Role.CHAMPION, 1.0))).values()) == {"old"}


@pytest.mark.parametrize("weight", [0.0, 0.05, 0.25, 0.5, 1.0])
def test_a_canary_takes_its_share(weight):
    taken = Counter(groups(canary(weight)).values())["new"] / len(KEYS)
    assert taken == pytest.approx(weight, abs=4 * (weight * (1 - weight) / len(KEYS)) ** 0.5 + 1e-12)


def test_the_same_key_finds_the_same_arm_in_another_process():
    assert sticky_point("canary", "one")("user-1") == 0x75B39BAC60DAF2ED
    assert groups(canary(0.3)) == groups(canary(0.3))


@given(st.floats(0, 1), st.floats(0, 1), st.text(), st.text(alphabet="abc", min_size=1))
def test_raising_the_weight_only_moves_keys_to_the_canary(one, other, key, salt):
    low, high = sorted((one, other))
    before, after = (build_router(canary(w, salt))(key, None, DRAW).arm.role for w in (low, high))
    assert before is Role.CHAMPION or after is Role.CANARY


def test_another_salt_is_another_group_of_people():
    ours, theirs = groups(canary(0.5)), groups(canary(0.5, salt="two"))
    assert sum(ours[key] == theirs[key] for key in KEYS) / len(KEYS) == pytest.approx(0.5, abs=0.02)


def test_an_ab_test_is_independent_of_a_canarys_salt():
    ours, theirs = groups(canary(0.5)), groups(ab_test(0.5, 0.5))
    both = sum(ours[key] == "new" and theirs[key] == "v0" for key in KEYS) / len(KEYS)
    assert both == pytest.approx(0.25, abs=0.02)


def test_an_ab_test_splits_by_weight():
    found = Counter(groups(ab_test(0.2, 0.3, 0.5)).values())
    assert [found[name] / len(KEYS) for name in ("control", "v0", "v1")] == pytest.approx([0.2, 0.3, 0.5], abs=0.02)


@pytest.mark.parametrize("weight", [0.0, 0.1, 1.0])
def test_a_shadow_gets_copies_and_changes_no_answer(weight):
    arms = arm("old", Role.CHAMPION, 0.5), arm("new", Role.CANARY, 0.5), arm("copy", Role.SHADOW, weight)
    route = build_router(release(Strategy.CANARY, *arms))
    choices = {key: route(key, None, DRAW) for key in KEYS}
    assert {key: choice.arm.name for key, choice in choices.items()} == groups(canary(0.5))
    copied = sum(choice.shadow is not None for choice in choices.values()) / len(KEYS)
    assert copied == pytest.approx(weight, abs=0.01)


def test_a_key_that_is_no_proper_text_is_routed():
    assert build_router(canary(0.5))("\ud800", None, DRAW).arm.name in ("old", "new")


@pytest.mark.parametrize("strategy", [Strategy.EPSILON_GREEDY, Strategy.THOMPSON])
@pytest.mark.parametrize("reward", list(Reward))
def test_a_bandit_learns_and_keeps_the_floor(strategy, reward):
    of, draw = bandit(strategy, reward=reward, floor=0.05), Random(1)
    route, state = build_router(of), start_state(of)
    means, pulls = {"v0": 0.2, "v1": 0.3, "v2": 0.6}, Counter()
    for _ in range(6000):
        chosen = route("key", state, draw).arm.name
        earned = draw.random() < means[chosen] if reward is Reward.BINARY else draw.gauss(means[chosen], 0.5)
        state = add_reward(state, chosen, float(earned))
        pulls[chosen] += 1
    assert pulls["v2"] > 4500
    assert min(pulls.values()) > 0.04 * 6000


@pytest.mark.parametrize("strategy", [Strategy.EPSILON_GREEDY, Strategy.THOMPSON])
@pytest.mark.parametrize("reward", list(Reward))
def test_without_rewards_every_arm_is_tried(strategy, reward):
    of, draw = bandit(strategy, reward=reward), Random(2)
    pulls = Counter(build_router(of)("key", start_state(of), draw).arm.name for _ in range(3000))
    assert min(pulls.values()) > 800


@pytest.mark.parametrize("strategy", [Strategy.EPSILON_GREEDY, Strategy.THOMPSON])
def test_an_arm_whose_feedback_is_late_is_not_flooded(strategy):
    of, draw = bandit(strategy, arms=2, reward=Reward.NUMERIC, epsilon=0.0), Random(3)
    state = start_state(of)
    for _ in range(200):
        state = add_reward(state, "v0", draw.gauss(1.0, 0.1))
    pulls = Counter(build_router(of)("key", state, draw).arm.name for _ in range(2000))
    assert 400 < pulls["v1"] < 1600


def test_the_same_randomness_gives_the_same_choices():
    of = bandit(Strategy.THOMPSON)
    route, state = build_router(of), add_reward(start_state(of), "v1", 1)
    runs = [[route("k", state, draw).arm.name for _ in range(50)] for draw in (Random(7), Random(7))]
    assert runs[0] == runs[1]


def test_a_new_version_under_an_old_name_starts_afresh():
    of = bandit(Strategy.THOMPSON, arms=2)
    state = add_reward(add_reward(start_state(of), "v0", 1), "v1", 1)
    changed = replace(of, arms=(of.arms[0], replace(of.arms[1], bundle="ff" * 8)))
    assert [rewards.count for rewards in start_state(changed, state).arms] == [1, 0]


@pytest.mark.parametrize(
    ("name", "reward", "cause"),
    [
        ("v9", 1.0, "v9"),
        ("v0", 0.5, "0 or 1"),
        ("v0", float("nan"), "finite"),
        ("v0", float("inf"), "finite"),
    ],
)
def test_a_reward_that_cannot_be_is_refused(name, reward, cause):
    with pytest.raises(ValueError, match=cause):
        add_reward(start_state(bandit(Strategy.THOMPSON)), name, reward)


def test_a_bandit_without_its_state_is_an_error():
    with pytest.raises(ValueError, match="begin"):
        build_router(bandit(Strategy.THOMPSON))("key", None, DRAW)
    with pytest.raises(ValueError, match="learns nothing"):
        start_state(canary(0.5))


def test_a_canary_is_routed_without_making_objects():
    route = build_router(canary(0.5))
    arms = {id(route(key, None, DRAW)) for key in KEYS[:200]}
    assert len(arms) == 2
