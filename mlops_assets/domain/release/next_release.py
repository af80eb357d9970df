"""Works out the next release: which versions answer, with what share. Pure; `Deployment` carries it out.

A change is worked out from the release in force, so that two who decide at once cannot undo each other: the second
starts from what the first made of it.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from mlops_assets.declaration.release import RolloutPolicy
from mlops_assets.domain.registry.ledger import LedgerAction
from mlops_assets.domain.release.release_state import ArmState, ReleaseState
from serving.contract.arms import Role, Strategy

_ROLE = {
    Strategy.CANARY: Role.CANARY,
    Strategy.SHADOW: Role.SHADOW,
    Strategy.AB_TEST: Role.VARIANT,
    Strategy.EPSILON_GREEDY: Role.VARIANT,
    Strategy.THOMPSON: Role.VARIANT,
}


class ReleaseNotPossible(ValueError):
    """The release in force does not allow what was asked for; the message says what it is."""


@dataclass(frozen=True)
class ReleasableVersion:
    """A registered version, as far as a release is concerned."""

    number: str
    semantic: str
    bundle: str


@dataclass(frozen=True)
class ReleaseChange:
    """The next release and how the ledger tells it."""

    state: ReleaseState
    action: LedgerAction  # PROMOTED and ROLLBACK may make another champion, RELEASE and OVERRIDE never do
    subject: ReleasableVersion
    replaced: str  # number of the version that loses its traffic, or its place; empty: none does
    cause: str


def begin_release(
    model: str,
    rollout: RolloutPolicy,
    present: ReleaseState | None,
    candidate: ReleasableVersion,
    *,
    strategy: Strategy,
    bento: str,
    now: datetime,
) -> ReleaseChange | None:
    """A version gets its first traffic; None where it has it already. The first one of all takes everything."""
    if present is None:
        return _crown(_blank(model, candidate, now), candidate, bento, now)
    if candidate.number == present.champion.number:
        return None
    if strategy is Strategy.BLUE_GREEN:
        return _crown(present, candidate, bento, now)
    challenger = present.challenger
    if challenger is not None and challenger.number == candidate.number and present.strategy is strategy:
        return None
    ours, theirs = _shares(rollout, strategy)
    arms = (
        replace(present.champion, weight=theirs),
        ArmState(_ROLE[strategy].value, candidate.semantic, candidate.number, candidate.bundle, _ROLE[strategy], ours),
    )
    salt = f"{model}-{candidate.number}-{present.generation + 1}"
    state = _next(present, now, strategy=strategy, arms=arms, salt=salt, bento=bento, frozen=False)
    return ReleaseChange(
        state, LedgerAction.RELEASE, candidate, challenger.number if challenger else "", _cause(state, "begin")
    )


def restate_release(present: ReleaseState, now: datetime) -> ReleaseChange:
    """The same versions with the same shares, under what the YAML says by now: a default answer, guards, a provider."""
    champion = present.champion
    subject = ReleasableVersion(champion.number, champion.version, champion.bundle)
    state = _next(present, now)
    return ReleaseChange(state, LedgerAction.RELEASE, subject, "", _cause(state, "declared"))


def change_share(present: ReleaseState, share: float, now: datetime) -> ReleaseChange:
    """The canary's share becomes another; at 1 it is the champion."""
    challenger = _challenger(present)
    candidate = ReleasableVersion(challenger.number, challenger.version, challenger.bundle)
    if share >= 1:
        return _crown(present, candidate, present.bento, now)
    arms = (replace(present.champion, weight=1 - share), replace(challenger, weight=share))
    state = _next(present, now, arms=arms, frozen=False)
    return ReleaseChange(state, LedgerAction.RELEASE, candidate, "", _cause(state, f"share:{share:g}"))


def withdraw_challenger(present: ReleaseState, now: datetime) -> ReleaseChange:
    """The version on trial loses its traffic; the champion has all of it again."""
    challenger = _challenger(present)
    champion = present.champion
    arms = (replace(champion, weight=1.0),)
    state = _next(present, now, strategy=Strategy.BLUE_GREEN, arms=arms, frozen=False)
    subject = ReleasableVersion(champion.number, champion.version, champion.bundle)
    return ReleaseChange(state, LedgerAction.ROLLBACK, subject, challenger.number, _cause(state, "withdraw"))


def go_back(present: ReleaseState, target: ReleasableVersion, now: datetime) -> ReleaseChange:
    """An earlier champion has all the traffic again. What it replaces is no fallback: it was taken down."""
    champion = present.champion
    arms = (_champion(target),)
    state = _next(present, now, strategy=Strategy.BLUE_GREEN, arms=arms, fallback=None, bento="", frozen=False)
    challenger = present.challenger
    if target.number == champion.number and challenger is None:
        raise ReleaseNotPossible(f"{present.model}: version {target.number} has all the traffic already")
    lost = challenger.number if target.number == champion.number and challenger else champion.number
    return ReleaseChange(state, LedgerAction.ROLLBACK, target, lost, _cause(state, "back"))


def freeze_release(present: ReleaseState, frozen: bool) -> ReleaseChange | None:
    """Shares stay until a person says otherwise; None where that holds already. The release file does not change."""
    if present.frozen is frozen:
        return None
    champion = present.champion
    subject = ReleasableVersion(champion.number, champion.version, champion.bundle)
    cause = f"{'freeze' if frozen else 'thaw'}:{present.model}:{present.generation}:{present.sequence}"
    return ReleaseChange(replace(present, frozen=frozen), LedgerAction.OVERRIDE, subject, "", cause)


def _crown(present: ReleaseState, candidate: ReleasableVersion, bento: str, now: datetime) -> ReleaseChange:
    replaced = present.champion if present.generation else None
    fallback = replaced.bundle if replaced and replaced.bundle != candidate.bundle else None
    arms = (_champion(candidate),)
    state = _next(present, now, strategy=Strategy.BLUE_GREEN, arms=arms, fallback=fallback, bento=bento, frozen=False)
    return ReleaseChange(
        state, LedgerAction.PROMOTED, candidate, replaced.number if replaced else "", _cause(state, "crown")
    )


def _blank(model: str, version: ReleasableVersion, now: datetime) -> ReleaseState:
    """Before the first release: generation 0, which no file ever holds."""
    return ReleaseState(
        model,
        0,
        Strategy.BLUE_GREEN,
        (_champion(version),),
        None,
        model,
        now,
        frozen=False,
        bento="",
        sequence=0,
        actor="",
    )


def _champion(version: ReleasableVersion) -> ArmState:
    return ArmState(Role.CHAMPION.value, version.semantic, version.number, version.bundle, Role.CHAMPION, 1.0)


def _next(present: ReleaseState, now: datetime, **changes: object) -> ReleaseState:
    moved = {"generation": present.generation + 1, "opened_at": now, **changes}
    return replace(present, **moved)  # type: ignore[arg-type]  # fields of the record


def _shares(rollout: RolloutPolicy, strategy: Strategy) -> tuple[float, float]:
    """Weights of challenger and champion at the start. A shadow's is of copies; bandits go by rewards."""
    if strategy is Strategy.SHADOW:
        return rollout.shadow_share, 1.0
    if strategy is Strategy.CANARY:
        return rollout.steps[0], 1 - rollout.steps[0]
    share = rollout.experiment.share if strategy is Strategy.AB_TEST else 0.5
    return share, 1 - share


def _challenger(present: ReleaseState) -> ArmState:
    if present.challenger is None:
        champion = present.champion
        raise ReleaseNotPossible(
            f"{present.model}: no version is on trial; {champion.version} (version {champion.number}) has all the "
            f"traffic since generation {present.generation}"
        )
    return present.challenger


def _cause(state: ReleaseState, what: str) -> str:
    return f"release:{state.model}:{state.generation}:{what}"
