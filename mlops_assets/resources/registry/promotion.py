"""Carries out what was decided about a version: ledger first, then aliases. It decides nothing itself.

The ledger is the truth about who is champion; aliases follow it. A process killed between two steps leaves
aliases behind the ledger, and the same call again brings them up: nothing is entered twice, nothing is
skipped.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Protocol

from mlops_assets.domain.names import Alias
from mlops_assets.domain.registry.champions import REPLACED, champion_at, find_earlier_champion, was_promoted
from mlops_assets.domain.registry.ledger import Draft, Entry, LedgerAction
from mlops_assets.domain.registry.versions import VersionInfo
from mlops_assets.resources.registry.ledger import Ledger
from mlops_assets.resources.registry.tags import Tag

FIRST_PROMOTED = "first"  # the anchor where no version is declared


class RegisteredState(StrEnum):
    """What became of a version, as a tag on it."""

    CHALLENGER = "challenger"
    CHAMPION = "champion"
    ARCHIVED = "archived"


class VersionStore(Protocol):
    """What a promotion needs of a registry."""

    def version(self, model: str, number: str) -> VersionInfo: ...
    def versions(self, model: str) -> tuple[VersionInfo, ...]: ...
    def resolve(self, model: str, alias: Alias) -> str | None: ...
    def set_alias(self, model: str, alias: Alias, number: str) -> None: ...
    def drop_alias(self, model: str, alias: Alias) -> None: ...
    def tag(self, model: str, number: str, tags: Mapping[str, str]) -> None: ...
    def lock(self, model: str) -> AbstractContextManager[Any]: ...


def enter_registration(
    registry: VersionStore,
    ledger: Ledger,
    *,
    model: str,
    number: str,
    actor: str,
    numbers: Mapping[str, float],
    now: datetime,
) -> Entry:
    """Enter a registration and make the version the challenger, unless it has been promoted already."""
    with registry.lock(model):
        info = registry.version(model, number)
        draft = Draft(
            action=LedgerAction.REGISTERED,
            subject=number,
            actor=actor,
            reason=f"passed every gate with {info.metric} {info.score:.4f}",
            numbers=numbers,
            details=version_details(info),
            cause=f"registered:{number}:{info.bundle}",
        )
        entry = ledger.append(model, draft, now=now)
        if not was_promoted(ledger.entries(model), number):
            registry.set_alias(model, Alias.CHALLENGER, number)
            registry.tag(model, number, {Tag.STATE: RegisteredState.CHALLENGER})
        return entry


def enter_rejection(
    ledger: Ledger,
    *,
    model: str,
    bundle: str,
    actor: str,
    reason: str,
    numbers: Mapping[str, float],
    now: datetime,
) -> Entry:
    """Enter that a candidate failed its gates; it is no version, so the bundle names it."""
    draft = Draft(
        LedgerAction.REJECTED, bundle, actor, reason, numbers, {"bundle": bundle}, f"rejected:{bundle}:{reason}"
    )
    return ledger.append(model, draft, now=now)


def promote(
    registry: VersionStore,
    ledger: Ledger,
    *,
    model: str,
    number: str,
    actor: str,
    reason: str,
    numbers: Mapping[str, float],
    now: datetime,
    anchor: str = FIRST_PROMOTED,
    details: Mapping[str, str] = MappingProxyType({}),
) -> Entry:
    """Make a registered version the champion, in the release that `details` hold. `anchor`: a number, or "first"."""
    demand_texts(model, actor=actor, reason=reason)
    with registry.lock(model):
        info = registry.version(model, number)
        if anchor != FIRST_PROMOTED:
            registry.version(model, anchor)
        current = champion_at(ledger.entries(model))
        if current is None or current.subject != info.number:
            cause = f"promoted:{info.number}:after:{current.sequence if current else 0}"
            pins = _pin(info, current, details)
            draft = Draft(LedgerAction.PROMOTED, info.number, actor, reason, numbers, pins, cause)
            current = ledger.append(model, draft, now=now)
        _follow(registry, current, anchor)
        return current


def roll_back(
    registry: VersionStore,
    ledger: Ledger,
    *,
    model: str,
    actor: str,
    reason: str,
    numbers: Mapping[str, float],
    cause: str,
    now: datetime,
    to: str | None = None,
    details: Mapping[str, str] = MappingProxyType({}),
) -> Entry:
    """Make an earlier champion the champion again: `to`, or the one that the present champion replaced."""
    demand_texts(model, actor=actor, reason=reason, cause=cause)
    with registry.lock(model):
        done = next((entry for entry in ledger.entries(model) if entry.cause == cause), None)
        if done is None:
            current = champion_at(ledger.entries(model))
            info = registry.version(model, find_earlier_champion(model, ledger.entries(model), to))
            pins = _pin(info, current, details)
            draft = Draft(LedgerAction.ROLLBACK, info.number, actor, reason, numbers, pins, cause)
            done = ledger.append(model, draft, now=now)
        if done == champion_at(ledger.entries(model)):  # a later decision stands otherwise
            _follow(registry, done, FIRST_PROMOTED)
        return done


def bring_aliases_up(registry: VersionStore, ledger: Ledger, *, model: str, anchor: str = FIRST_PROMOTED) -> None:
    """Bring the aliases to where the ledger stands."""
    with registry.lock(model):
        current = champion_at(ledger.entries(model))
        if current is not None:
            _follow(registry, current, anchor)


def audit(registry: VersionStore, ledger: Ledger, model: str) -> list[str]:
    """Everything on which ledger and registry disagree, and every break in the ledger's chain."""
    versions = registry.versions(model)
    noted = [info.tags[Tag.LEDGER].partition(":") for info in versions if Tag.LEDGER in info.tags]
    problems = ledger.verify(model, heads={int(sequence): digest for sequence, _, digest in noted})
    if problems:
        return [f"ledger of {model}, line {problem.line} {problem.what}" for problem in problems]
    current = champion_at(ledger.entries(model))
    decided, pointed = current and current.subject, registry.resolve(model, Alias.CHAMPION)
    if decided == pointed:
        return []
    return [
        f"the ledger says that the champion of {model} is version {decided or 'none'}, the registry's alias "
        f"points to {pointed or 'none'}. Promote version {decided or pointed} through the promotion job: "
        "it brings both together."
    ]


def _pin(info: VersionInfo, current: Entry | None, details: Mapping[str, str]) -> dict[str, str]:
    """What the entry pins: the version, the champion that it replaces, and its release."""
    return {**version_details(info), REPLACED: current.subject if current else "", **details}


def _follow(registry: VersionStore, entry: Entry, anchor: str) -> None:
    """Bring aliases and tags to where the entry says, the champion's last: once it points, all is done."""
    model, number, replaced = entry.model, entry.subject, entry.details.get(REPLACED)
    settled = anchor if anchor != FIRST_PROMOTED else registry.resolve(model, Alias.ANCHOR) or number
    registry.set_alias(model, Alias.ANCHOR, settled)
    if replaced:
        registry.set_alias(model, Alias.ARCHIVED, replaced)
        registry.tag(model, replaced, {Tag.STATE: RegisteredState.ARCHIVED})
    if registry.resolve(model, Alias.CHALLENGER) == replaced:
        registry.drop_alias(model, Alias.CHALLENGER)
    registry.tag(model, number, {Tag.STATE: RegisteredState.CHAMPION, Tag.LEDGER: f"{entry.sequence}:{entry.hash}"})
    if registry.resolve(model, Alias.CHALLENGER) == number:
        registry.drop_alias(model, Alias.CHALLENGER)
    registry.set_alias(model, Alias.CHAMPION, number)


def version_details(info: VersionInfo) -> dict[str, str]:
    return {
        "semantic": info.semantic,
        "bundle": info.bundle,
        "service": info.facts.service,
        "training_set": info.training_set,
        "run_id": info.run_id,
    }


def demand_texts(model: str, **texts: str) -> None:
    """ValueError that names every text that says nothing."""
    if empty := [name for name, value in texts.items() if not value.strip()]:
        raise ValueError(
            f"a promotion or rollback of {model} needs {' and '.join(empty)}: the ledger keeps who and why"
        )
