"""Which arm answers a request. Pure: release, key, rewards so far and randomness in, choice out.

`router(release)` does once what all requests share and returns the function that runs for each of them.

Sticky strategies hash the key to a point in [0, 1) with BLAKE2b, salted by release and by purpose. (CRC32 is
faster and useless: two salts give hashes that differ by a constant, so canary and A/B groups would be the
same people.) A canary takes the points below its weight: raising it only moves keys from champion to canary.

Bandits learn from `BanditState`, which feedback updates; `reward_book.py` keeps it. Each arm keeps
at least its floor of the traffic: an arm that has become better can be found out.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import accumulate
from random import Random

from serving.contract.arms import Role, Strategy
from serving.contract.release import BANDITS, Arm, Bandit, Release, Reward

_POINTS = 2**64
_MOST = 2**53


@dataclass(frozen=True, slots=True)
class Choice:
    arm: Arm
    shadow: Arm | None  # gets a copy of the request


@dataclass(frozen=True, slots=True)
class Rewards:
    """What one arm has earned. It belongs to a bundle: another version under the same name starts afresh."""

    arm: str
    bundle: str
    count: int
    total: float
    squares: float

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0

    @property
    def deviance(self) -> float:
        """The sum of squared distances from the mean."""
        return max(self.squares - self.count * self.mean**2, 0.0)

    def plus(self, reward: float) -> "Rewards":
        """With one more reward."""
        return replace(self, count=self.count + 1, total=self.total + reward, squares=self.squares + reward * reward)


@dataclass(frozen=True, slots=True)
class BanditState:
    reward: Reward
    arms: tuple[Rewards, ...]


Route = Callable[[str, BanditState | None, Random], Choice]
Pick = Callable[[str, BanditState | None, Random], int]  # the index of the answering arm


def build_router(release: Release) -> Route:
    """The function that routes each request of this release.

    It takes the request's key, the bandit's state (None for other strategies) and the source of randomness.
    """
    pick = _pick(release)
    alone = tuple(Choice(arm, None) for arm in release.answering)
    shadow = release.shadow
    if shadow is None:
        return lambda key, state, draw: alone[pick(key, state, draw)]
    copied = tuple(Choice(arm, shadow) for arm in release.answering)
    point, limit = sticky_point("shadow", release.salt), round(shadow.weight * _POINTS)
    return lambda key, state, draw: (copied if point(key) < limit else alone)[pick(key, state, draw)]


def sticky_point(purpose: str, salt: str) -> Callable[[str], int]:
    """A hash of keys into [0, 2^64), independent for each purpose and salt."""
    begun = blake2b(f"{purpose}\0{salt}\0".encode(), digest_size=8)
    copy, from_bytes = begun.copy, int.from_bytes

    def point(key: str) -> int:
        hashed = copy()
        hashed.update(key.encode("utf-8", "surrogatepass"))
        return from_bytes(hashed.digest(), "big")

    return point


def start_state(release: Release, before: BanditState | None = None) -> BanditState:
    """The state for this release: what each arm earned with the same bundle, nothing for new ones."""
    if release.bandit is None:
        raise ValueError(f"{release.model}: strategy {release.strategy} learns nothing; it has no bandit state")
    same = before is not None and before.reward is release.bandit.reward
    known = {(old.arm, old.bundle): old for old in before.arms} if before and same else {}
    fresh = (Rewards(arm.name, arm.bundle, 0, 0.0, 0.0) for arm in release.answering)
    return BanditState(release.bandit.reward, tuple(known.get((new.arm, new.bundle), new) for new in fresh))


def add_reward(state: BanditState, arm: str, reward: float) -> BanditState:
    """The state after one more reward."""
    problems = []
    if arm not in {rewards.arm for rewards in state.arms}:
        problems.append(f"arm {arm!r} is none of {', '.join(rewards.arm for rewards in state.arms)}")
    if problem := find_reward_problem(state.reward, reward):
        problems.append(problem)
    if problems:
        raise ValueError("; ".join(problems))
    return replace(state, arms=tuple(old.plus(reward) if old.arm == arm else old for old in state.arms))


def find_reward_problem(kind: Reward, reward: float) -> str | None:
    """Why a reward cannot count."""
    if not math.isfinite(reward) or abs(reward) > _MOST:
        return f"a reward is a finite number, not {reward!r}"
    if kind is Reward.BINARY and reward not in (0, 1):
        return f"a binary reward is 0 or 1, not {reward!r}"
    return None


def _pick(release: Release) -> Pick:
    roles = [arm.role for arm in release.answering]
    if release.strategy is Strategy.CANARY:
        return _canary(release, roles.index(Role.CHAMPION), roles.index(Role.CANARY))
    if release.strategy is Strategy.AB_TEST:
        return _ab_test(release)
    if release.strategy in BANDITS and release.bandit is not None:
        return _bandit(release.strategy, release.bandit, len(roles))
    champion = roles.index(Role.CHAMPION)
    return lambda key, state, draw: champion


def _canary(release: Release, champion: int, canary: int) -> Pick:
    point, limit = sticky_point("canary", release.salt), round(release.answering[canary].weight * _POINTS)
    return lambda key, state, draw: canary if point(key) < limit else champion


def _ab_test(release: Release) -> Pick:
    point = sticky_point("ab_test", release.salt)
    edges = [round(edge * _POINTS) for edge in accumulate(arm.weight for arm in release.answering)]
    edges[-1] = _POINTS  # weights add up to 1 but for rounding
    return lambda key, state, draw: bisect_right(edges, point(key))


def _bandit(strategy: Strategy, bandit: Bandit, arms: int) -> Pick:
    explore = bandit.floor * arms  # an arm drawn evenly in this share of requests gets its floor at least
    if strategy is Strategy.EPSILON_GREEDY:
        explore = max(explore, bandit.epsilon)
    value = _promise if strategy is Strategy.EPSILON_GREEDY else _sampled

    def pick(key: str, state: BanditState | None, draw: Random) -> int:
        if state is None or len(state.arms) != arms:
            raise ValueError("a bandit routes by the state that `begin` made for its release")
        if draw.random() < explore:
            return draw.randrange(arms)
        return _best(value(state, draw), draw)

    return pick


def _best(values: Sequence[float], draw: Random) -> int:
    """The index of the largest value; among equals one by chance."""
    largest = max(values)
    found = [index for index, value in enumerate(values) if value == largest]
    return found[0] if len(found) == 1 else draw.choice(found)


def _promise(state: BanditState, draw: Random) -> list[float]:
    """The mean of each arm; one without rewards counts as the average arm: neither lost nor flooded."""
    average = _pooled(state).mean
    return [rewards.mean if rewards.count else average for rewards in state.arms]


def _sampled(state: BanditState, draw: Random) -> list[float]:
    """One draw from what is believed of each arm's mean (Thompson)."""
    if state.reward is Reward.BINARY:
        return [draw.betavariate(1 + rewards.total, 1 + rewards.count - rewards.total) for rewards in state.arms]
    pooled = _pooled(state)
    if pooled.count < 2 or pooled.deviance == 0:
        return [0.0] * len(state.arms)
    return [_believed(rewards, pooled, draw) for rewards in state.arms]


def _believed(rewards: Rewards, pooled: Rewards, draw: Random) -> float:
    """A draw from the normal-inverse-gamma posterior; the prior weighs as one average reward."""
    count, shift = rewards.count, rewards.mean - pooled.mean
    shape = 1 + count / 2
    scale = pooled.deviance / pooled.count + rewards.deviance / 2 + count * shift**2 / (2 * (1 + count))
    variance = scale / draw.gammavariate(shape, 1.0)
    centre = pooled.mean + shift * count / (1 + count)
    return draw.gauss(centre, math.sqrt(variance / (1 + count)))


def _pooled(state: BanditState) -> Rewards:
    parts = state.arms
    return Rewards("", "", sum(p.count for p in parts), sum(p.total for p in parts), sum(p.squares for p in parts))
