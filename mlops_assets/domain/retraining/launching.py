"""Chooses which of the decisions to train again is launched, so that one cause makes one run. Pure.

Decisions come in the order in which they were made. Several may say yes before a run shows, as none of them knew of
the others: one is launched, and the reason says why the rest are not. The next decision knows of that run.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mlops_assets.declaration.monitoring import Cause
from mlops_assets.domain.retraining.records import DecisionRecord


@dataclass(frozen=True)
class DecisionEvent:
    """A decision, and where the event log has it."""

    position: int
    at: float  # wall time, seconds since 1970
    record: DecisionRecord

    @property
    def run_key(self) -> str | None:
        return self.record.decision.run_key


@dataclass(frozen=True)
class Launch:
    """What to launch, if anything, and why not the rest."""

    event: DecisionEvent | None
    reason: str


def choose_launch(events: Sequence[DecisionEvent], launched: Collection[str | None], last_run: float | None) -> Launch:
    """`launched`: run keys that have runs. `last_run`: when the latest training was created, in wall time."""
    approved = [event for event in events if event.record.decision.yes]
    if not approved:
        reason = events[-1].record.decision.reason if events else "There is no decision since the last tick."
        return Launch(None, reason)
    new = [event for event in approved if event.run_key not in launched]
    if not new:
        return Launch(None, f"{approved[-1].run_key} was launched already.")
    free = [event for event in new if last_run is None or event.at > last_run]
    if not free:
        return Launch(None, f"{new[-1].run_key} was decided before the latest training began and did not know of it.")
    first = min(free, key=lambda event: (_rank(event.record.decision.cause), event.position))
    return Launch(first, first.record.decision.reason)


def _rank(cause: Cause | None) -> int:
    """A yes always has a cause."""
    return [*Cause, None].index(cause)
