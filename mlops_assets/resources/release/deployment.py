"""Carries a release out: ledger first, then the release file, then the registry's aliases, then a look at the endpoint.

The ledger is the truth about what is released: no version answers that it does not know. A process killed in between
leaves the file behind the ledger, and `Deployment.catch_up` brings it to where the ledger stands.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import Alias
from mlops_assets.domain.registry.champions import (
    REPLACED,
    find_earlier_champion,
    stack_champions,
    was_taken_down,
)
from mlops_assets.domain.registry.ledger import Draft, Entry, LedgerAction
from mlops_assets.domain.release.next_release import ReleasableVersion, ReleaseChange
from mlops_assets.domain.release.release_state import (
    ReleaseState,
    find_release_in_force,
    read_release_state,
    release_details,
)
from mlops_assets.resources.registry import promotion
from mlops_assets.resources.registry.ledger import Ledger
from mlops_assets.resources.registry.model_registry import Registry
from mlops_assets.resources.release.endpoint import Endpoint, Live
from serving.contract import release as files
from serving.contract.release import Release, ReleaseError, read_release, write_release

_PUT_BACK = "put_back"  # how the cause of such an entry begins

Plan = Callable[[ReleaseState | None], ReleaseChange | None]


class NotLiveError(RuntimeError):
    """The endpoint does not serve what was released; the generation before it was put back where there is one."""


@dataclass(frozen=True)
class DecidedBy:
    """Who decided, why, and on what numbers."""

    actor: str
    reason: str
    numbers: Mapping[str, float]


@dataclass(frozen=True)
class ReleaseResult:
    """A release in force, and what the endpoint said about it."""

    state: ReleaseState
    entry: Entry
    live: Live
    changed: bool


class Deployment(dg.ConfigurableResource["Deployment"]):
    """The release files under `folder`."""

    folder: str
    ledger: dg.ResourceDependency[Ledger]
    registry: dg.ResourceDependency[Registry]
    endpoint: dg.ResourceDependency[Endpoint]

    def state(self, model: str) -> ReleaseState | None:
        """The release in force, as the ledger tells it."""
        return find_release_in_force(self.ledger.entries(model))

    def version(self, model: str, number: str) -> ReleasableVersion:
        """A registered version, as far as a release is concerned."""
        info = self.registry.version(model, number)
        return ReleasableVersion(info.number, info.semantic, info.bundle)

    def challenger(self, model: str) -> str | None:
        """Number of the version that waits or is on trial."""
        return self.registry.resolve(model, Alias.CHALLENGER)

    def was_taken_down(self, model: str, number: str) -> bool:
        return was_taken_down(self.ledger.entries(model), number)

    def earlier(self, model: str, *, entry: int, number: str) -> ReleasableVersion:
        """The champion to go back to: that of a ledger entry, a version, or the one before."""
        if not entry:
            return self.version(model, find_earlier_champion(model, self.ledger.entries(model), number or None))
        found = next((each for each in self.ledger.entries(model) if each.sequence == entry), None)
        if found is None or not (state := find_release_in_force([found])):
            raise LookupError(f"{model}: ledger entry {entry} holds no release; see who served when with the command")
        return self.version(model, state.champion.number)

    def change(self, spec: ModelSpec, plan: Plan, by: DecidedBy, now: datetime) -> ReleaseResult | None:
        """Carry out what `plan` makes of the release in force; None where there is nothing to release at all.

        Where the endpoint cannot serve it, the release before is put back and NotLiveError says why. That holds for a
        release that stands already, too: the run that made it may have been killed while it waited.
        """
        with self.registry.lock(spec.model):
            change = plan(self.state(spec.model))
            if change is None:
                done = self.catch_up(spec)
            else:
                done = self._published(spec, self._enter(spec, change, by, now), changed=True)
            if done is None or not done.live.reason or not done.live.up:
                return done
            remedy = self._put_back(spec, done, now)
        raise NotLiveError(
            f"{spec.model}: generation {done.state.generation} is not live: {done.live.reason}; {remedy}"
        )

    def declared_anew(self, spec: ModelSpec, state: ReleaseState | None) -> bool:
        """True where the release file tells something else than the YAML does by now, such as the default answer."""
        if state is None or self.behind(state):
            return False
        return read_release(self._file(spec.model)) != build_release(spec, state)

    def behind(self, state: ReleaseState) -> bool:
        """True where the release file is not what the ledger says: a run was killed between the two, or it was lost."""
        try:
            return read_release(self._file(state.model)).generation != state.generation
        except (FileNotFoundError, ReleaseError):
            return True

    def catch_up(self, spec: ModelSpec) -> ReleaseResult | None:
        """Bring file and aliases to what the ledger says."""
        with self.registry.lock(spec.model):
            entries = self.ledger.entries(spec.model)
            state = find_release_in_force(entries)
            if state is None:
                return None
            entry = next(entry for entry in entries if entry.sequence == state.sequence)
            promotion.bring_aliases_up(self.registry, self.ledger, model=spec.model, anchor=spec.gates.anchor)
            return self._published(spec, entry, changed=False)

    def _enter(self, spec: ModelSpec, change: ReleaseChange, by: DecidedBy, now: datetime) -> Entry:
        """One entry for one change; the aliases follow it."""
        promotion.demand_texts(spec.model, actor=by.actor, reason=by.reason)
        model, number, details = spec.model, change.subject.number, release_details(change.state)
        reigns = stack_champions(self.ledger.entries(model))[-1:] == [number]  # it need not be released yet
        common: dict[str, Any] = {"actor": by.actor, "reason": by.reason, "numbers": by.numbers}
        if change.action is LedgerAction.PROMOTED and not reigns:
            anchor = spec.gates.anchor
            arguments = {**common, "number": number, "now": now, "anchor": anchor, "details": details}
            return promotion.promote(self.registry, self.ledger, model=model, **arguments)
        if change.action is LedgerAction.ROLLBACK and not reigns:
            arguments = {**common, "to": number, "now": now, "cause": change.cause, "details": details}
            return promotion.roll_back(self.registry, self.ledger, model=model, **arguments)
        pins = promotion.version_details(self.registry.version(model, number))
        pinned = {**pins, REPLACED: change.replaced, **details}
        draft = Draft(change.action, number, details=pinned, cause=change.cause, **common)
        entry = self.ledger.append(model, draft, now=now)
        promotion.bring_aliases_up(self.registry, self.ledger, model=model, anchor=spec.gates.anchor)
        return entry

    def _published(self, spec: ModelSpec, entry: Entry, *, changed: bool) -> ReleaseResult:
        """The release file as the entry says, and the endpoint's word on it. What a file says never changes under
        its generation: what the YAML says anew comes with the next one."""
        state = read_release_state(entry)
        if self.behind(state):
            write_release(self._file(spec.model), build_release(spec, state), over_broken=True)
        return ReleaseResult(state, entry, self.endpoint.wait_live(spec.model, state.generation), changed)

    def _file(self, model: str) -> Path:
        return Path(self.folder) / f"{model}.json"

    def _put_back(self, spec: ModelSpec, failed: ReleaseResult, now: datetime) -> str:
        """Make the release before the one in force again where that can help; what was done, in words."""
        before = find_release_in_force(
            each for each in self.ledger.entries(spec.model) if each.sequence < failed.entry.sequence
        )
        if before is None or failed.live.generation is None or not _brings_new(failed, before):
            return "it stands, and the endpoint takes it over once it can"
        by = DecidedBy("endpoint", f"not served: {failed.live.reason}", {"generation": float(failed.state.generation)})
        state = replace(before, generation=failed.state.generation + 1, opened_at=now)
        champion = before.champion
        subject = ReleasableVersion(champion.number, champion.version, champion.bundle)
        lost = failed.state.challenger or failed.state.champion
        cause = f"{_PUT_BACK}:{spec.model}:{failed.state.generation}"
        back = ReleaseChange(state, LedgerAction.ROLLBACK, subject, lost.number, cause)
        self._published(spec, self._enter(spec, back, by, now), changed=True)
        return f"generation {before.generation} was put back and goes on"


def _brings_new(failed: ReleaseResult, before: ReleaseState) -> bool:
    """A release of bundles that answered before fails for another reason than they; a version that was taken down
    must not come back for it. Nor is what was put back ever replaced by what failed."""
    new = {arm.bundle for arm in failed.state.arms} - {arm.bundle for arm in before.arms}
    return bool(new) and not failed.entry.cause.startswith(f"{_PUT_BACK}:")


def build_release(spec: ModelSpec, state: ReleaseState) -> Release:
    """The release file's content."""
    rollout, bandit = spec.rollout, None
    strategy = files.Strategy(state.strategy.value)
    if strategy in files.BANDITS:
        declared = rollout.bandit
        bandit = files.Bandit(declared.epsilon, declared.floor, files.Reward(declared.reward))
    return files.Release(
        model=state.model,
        generation=state.generation,
        strategy=strategy,
        arms=tuple(
            files.Arm(arm.name, arm.version, arm.bundle, files.Role(arm.role), arm.weight) for arm in state.arms
        ),
        guards=files.Guards(latency_ms=spec.serving.latency_ms, error_share=rollout.error_share),
        bandit=bandit,
        fallback=state.fallback,
        default=rollout.default,
        provider=files.Provider(spec.serving.provider),
        salt=state.salt,
        opened_at=state.opened_at,
    )
