"""The four outcomes of a judgement. Only PASS promotes; failing to measure is not measuring badly."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"


@dataclass(frozen=True)
class Verdict:
    """One judgement with the numbers it stands on and a sentence a person can act on."""

    name: str
    outcome: Outcome
    reason: str
    numbers: Mapping[str, float]

    @property
    def passed(self) -> bool:
        return self.outcome is Outcome.PASS


def inconclusive(name: str, why: str) -> Verdict:
    """A judgement that could not be made, and why."""
    return Verdict(name, Outcome.INCONCLUSIVE, why, {})


_SEVERITY = (Outcome.PASS, Outcome.INCONCLUSIVE, Outcome.FAIL, Outcome.ERROR)


def numbers_of(verdicts: Iterable[Verdict]) -> dict[str, float]:
    """The numbers of all of them as one mapping, `verdict/number`."""
    return {f"{v.name}/{name}": float(value) for v in verdicts for name, value in v.numbers.items()}


def worst(verdicts: Iterable[Verdict]) -> Outcome:
    """The worst outcome wins; of nothing at all: inconclusive."""
    outcomes = [v.outcome for v in verdicts]
    return max(outcomes, key=_SEVERITY.index, default=Outcome.INCONCLUSIVE)
