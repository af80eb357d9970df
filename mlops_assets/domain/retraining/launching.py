"""Which of the decisions to train again is carried out, so that one cause makes one run. Pure.

Decisions are taken in the order in which they were made. Several may say yes before a run shows: they were made not
knowing of each other, so one is launched and the others are told. The next decision knows that run.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mlops_assets.declaration.monitoring import Cause


@dataclass(frozen=True)
class Decided:
    """One materialisation of the decision, in its order."""

    place: int  # in the event log
    at: float  # wall time, seconds since 1970
    yes: bool
    cause: str
    run_key: str
    made_at: str  # in the model's time
    reason: str


@dataclass(frozen=True)
class Launch:
    """What to launch, if anything, and why not the rest."""

    decided: Decided | None
    reason: str


def launch(decisions: Sequence[Decided], launched: Collection[str], last_run: float | None) -> Launch:
    """`launched`: run keys that runs were made for. `last_run`: when the latest training was created, wall time."""
    asking = [each for each in decisions if each.yes]
    if not asking:
        return Launch(None, decisions[-1].reason if decisions else "Nothing was decided since the last look.")
    new = [each for each in asking if each.run_key not in launched]
    if not new:
        return Launch(None, f"{asking[-1].run_key} was launched already.")
    free = [each for each in new if last_run is None or each.at > last_run]
    if not free:
        return Launch(None, f"{new[-1].run_key} was decided before a training began that it did not know of.")
    first = min(free, key=lambda each: (list(Cause).index(Cause(each.cause)), each.place))
    return Launch(first, first.reason)
