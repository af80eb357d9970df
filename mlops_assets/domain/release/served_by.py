"""Which version answered: at a moment, or one request by its id. Read from the ledger; pure.

A request's id ends with the generation and the arm it was routed to, so that an answer names its release for ever.
"""

import re
from collections.abc import Sequence
from datetime import datetime

from mlops_assets.domain.registry.champions import holds_release
from mlops_assets.domain.registry.ledger import Entry
from mlops_assets.domain.release.release_state import ArmState, ReleaseState, read_release_state, who_served

_PINNED = ("bento", "service", "training_set", "run_id")
_TAIL = re.compile(r"-([0-9a-f]+)\.([0-9a-f]+)$")


class UnknownRequestError(LookupError):
    """No release of the ledger gave this id."""


def find_release_at(entries: Sequence[Entry], when: datetime) -> tuple[ReleaseState, Entry] | None:
    """The release in force at that moment, and the entry that made it; None before the first."""
    state = who_served(entries, when)
    return None if state is None else (state, next(each for each in entries if each.sequence == state.sequence))


def find_release_of_request(entries: Sequence[Entry], request_id: str) -> tuple[ReleaseState, ArmState, Entry]:
    """The release and the arm that a request was routed to."""
    found = _TAIL.search(request_id)
    if found is None:
        raise UnknownRequestError(f"{request_id!r} is no request's id: it ends with generation and arm, such as -1f.0")
    generation, place = (int(part, 16) for part in found.groups())
    for entry in entries:
        if entry.details.get("generation") == str(generation):
            state = read_release_state(entry)
            if place < len(state.arms):
                return state, state.arms[place], entry
    known = sorted({int(entry.details["generation"]) for entry in entries if holds_release(entry)})
    span = f"{known[0]} to {known[-1]}" if known else "none"
    raise UnknownRequestError(f"no arm {place} of generation {generation}; the ledger holds generations {span}")


def describe_release(state: ReleaseState, entry: Entry) -> list[str]:
    """The release in words, for people."""
    how = state.strategy.value + (", frozen" if state.frozen else "")
    told = [
        f"{state.model}: generation {state.generation}, {how}, since {state.opened_at:%F %T %Z}",
        *(
            f"  {arm.name}: {arm.version} (version {arm.number}), {arm.weight:.0%}, bundle {arm.bundle[:16]}"
            for arm in state.arms
        ),
        f"  ledger entry {entry.sequence}, {entry.action.value} by {_one_line(entry.actor)}: {_one_line(entry.reason)}",
    ]
    pinned = [
        f"{name} {entry.details[name]}" for name in ("bento", "service", "training_set") if entry.details.get(name)
    ]
    return [*told, f"  {', '.join(pinned)}"] if pinned else told


def _one_line(text: str) -> str:
    """What a person wrote cannot pass for a line of the answer."""
    return " ".join(text.split())
