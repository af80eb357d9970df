"""What routing one request costs. Goal for sticky strategies: under 3 μs."""

import timeit
from datetime import UTC, datetime
from random import Random

from serving.contract.arms import Role, Strategy
from serving.contract.release import Arm, Bandit, Guards, Provider, Release, Reward
from serving.models.router import add_reward, build_router, start_state

GOAL_US = 3.0
TIMES = 100_000


def release(strategy: Strategy, role: Role, bandit: Bandit | None = None) -> Release:
    arms = (Arm("a", "1.0.0", "aa" * 16, Role.CHAMPION, 0.5), Arm("b", "1.1.0", "bb" * 16, role, 0.5))
    opened = datetime(2026, 1, 1, tzinfo=UTC)
    return Release("m", 1, strategy, arms, Guards(100.0, 0.5), bandit, None, None, Provider.CPU, "salt", opened)


def microseconds(of: Release) -> float:
    route, draw = build_router(of), Random(0)
    state = add_reward(add_reward(start_state(of), "a", 1), "b", 0) if of.bandit else None
    return min(timeit.repeat(lambda: route("user-1234567", state, draw), number=TIMES, repeat=5)) / TIMES * 1e6


def main() -> None:
    learning = Bandit(0.1, 0.05, Reward.BINARY)
    for strategy, role, bandit, goal in (
        (Strategy.CANARY, Role.CANARY, None, GOAL_US),
        (Strategy.AB_TEST, Role.VARIANT, None, GOAL_US),
        (Strategy.EPSILON_GREEDY, Role.VARIANT, learning, None),
        (Strategy.THOMPSON, Role.VARIANT, learning, None),
    ):
        spent = microseconds(release(strategy, role, bandit))
        verdict = "no goal" if goal is None else f"goal {goal:g}{'' if spent <= goal else ', short'}"
        print(f"{strategy:>15}: {spent:6.2f} μs a request ({verdict})")


if __name__ == "__main__":
    main()
