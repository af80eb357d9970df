"""The release in force, as the ledger tells it: arms, shares, since when, frozen or not. Pure; reads no file.

Each change of a release is a ledger entry whose details hold all of it, so that the ledger alone says who answered at
any moment, and what the next generation has to be.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

from mlops_assets.domain.registry.champions import entry_in_force, holds_release
from mlops_assets.domain.registry.ledger import Entry
from serving.contract.arms import Role, Strategy


@dataclass(frozen=True)
class ArmState:
    """One version that takes traffic."""

    name: str
    version: str  # semantic
    number: str  # in the registry
    bundle: str  # digest
    role: Role
    weight: float  # a shadow's is the share of requests it gets a copy of


@dataclass(frozen=True)
class ReleaseState:
    """One generation of a model's release."""

    model: str
    generation: int
    strategy: Strategy
    arms: tuple[ArmState, ...]  # in the order of the release file: a request's id names its arm by position
    fallback: str | None  # bundle digest of the previous champion
    salt: str
    opened_at: datetime
    frozen: bool  # no step is taken until a person says so
    bento: str  # tag of the Bento of the version that came last
    sequence: int  # of the ledger's entry
    actor: str  # who or what made it

    @property
    def champion(self) -> ArmState:
        return next(arm for arm in self.arms if arm.role is Role.CHAMPION)

    @property
    def challenger(self) -> ArmState | None:
        """The first arm that is not the champion; None where the champion is alone."""
        return next((arm for arm in self.arms if arm.role is not Role.CHAMPION), None)

    @property
    def is_judged(self) -> bool:
        """True while a version is on trial whose rollout ends by itself. A bandit's does not, nor does a frozen one."""
        ends = self.strategy in (Strategy.CANARY, Strategy.SHADOW, Strategy.AB_TEST)
        return ends and self.challenger is not None and not self.frozen

    @property
    def tails(self) -> Mapping[str, str]:
        """Arm → how the ids of requests that were routed to it end."""
        return {arm.name: f"-{self.generation:x}.{index:x}" for index, arm in enumerate(self.arms)}

    @property
    def mixed_tail(self) -> str:
        """How the ids of requests end whose rows were routed to several arms, each by its own key."""
        return f"-{self.generation:x}.m"


def find_release_in_force(entries: Iterable[Entry]) -> ReleaseState | None:
    """The release in force: the latest entry that holds one. None before the first."""
    found = [entry for entry in entries if holds_release(entry)]
    return read_release_state(max(found, key=lambda entry: entry.sequence)) if found else None


def who_served(entries: Iterable[Entry], moment: datetime) -> ReleaseState | None:
    """The release in force at that moment; None before the first."""
    entry = entry_in_force(tuple(entries), moment)
    return read_release_state(entry) if entry is not None and holds_release(entry) else None


def read_release_state(entry: Entry) -> ReleaseState:
    """The release that an entry made; ValueError where its details are not those of one."""
    details = entry.details
    try:
        arms = tuple(ArmState(**{**arm, "role": Role(arm["role"])}) for arm in json.loads(details["arms"]))
        return ReleaseState(
            model=entry.model,
            generation=int(details["generation"]),
            strategy=Strategy(details["strategy"]),
            arms=arms,
            fallback=details.get("fallback") or None,
            salt=details["salt"],
            opened_at=datetime.fromisoformat(details["opened_at"]),
            frozen=details.get("frozen") == "true",
            bento=details.get("bento", ""),
            sequence=entry.sequence,
            actor=entry.actor,
        )
    except (KeyError, TypeError, ValueError) as err:
        raise ValueError(f"ledger of {entry.model}, entry {entry.sequence}: holds no whole release: {err!r}") from err


def release_details(state: ReleaseState) -> dict[str, str]:
    """The release as the details of its ledger entry."""
    return {
        "generation": str(state.generation),
        "strategy": state.strategy.value,
        "arms": json.dumps([asdict(arm) for arm in state.arms], sort_keys=True),
        "fallback": state.fallback or "",
        "salt": state.salt,
        "opened_at": state.opened_at.isoformat(),
        "frozen": "true" if state.frozen else "false",
        "bento": state.bento,
    }
