"""The words that a declaration, the ledger and a release file share: how requests find an arm, and what an arm is for.

Standard library only: the declaration of a model is loaded with the code location.
"""

from enum import StrEnum


class Strategy(StrEnum):
    """How a new version gets its traffic."""

    BLUE_GREEN = "blue_green"  # all at once
    CANARY = "canary"  # a share of the keys, step by step, judged
    SHADOW = "shadow"  # copies of requests first, then all at once
    AB_TEST = "ab_test"  # beside the champion until the readout decides
    EPSILON_GREEDY = "epsilon_greedy"
    THOMPSON = "thompson"


class Role(StrEnum):
    """What an arm of a release is for."""

    CHAMPION = "champion"
    CANARY = "canary"
    SHADOW = "shadow"
    VARIANT = "variant"
