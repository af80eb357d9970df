"""The release file: which versions of a model answer, with what share, and what happens when one fails.

Written by the pipeline, watched by the endpoint, held to the same rules on both sides. A file that breaks the
rules is refused whole, with every problem named at once. Standard library only; routes and loads nothing.
"""

import fcntl
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field, TypeAdapter, ValidationInfo, with_config

from serving.contract.arms import Role, Strategy
from serving.contract.atomic import replace_file
from serving.contract.validation import LARGEST, Must, Refused, Within, check_rules, read_json

MOST_ARMS = 32
STRICT = ConfigDict(extra="forbid", strict=True)
_ROUNDING = 1e-9


BANDITS = (Strategy.EPSILON_GREEDY, Strategy.THOMPSON)


class Provider(StrEnum):
    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    TENSORRT = "tensorrt"


class Reward(StrEnum):
    BINARY = "binary"
    NUMERIC = "numeric"


_CHALLENGER = {Strategy.CANARY: Role.CANARY} | dict.fromkeys((Strategy.AB_TEST, *BANDITS), Role.VARIANT)


class ReleaseError(Refused):
    """A release, or a change of one, that breaks the rules."""


Name = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}$"),
    Must("be a name of at most 100 letters, digits and _ . + -"),
]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{8,64}$"), Must("be a digest of 8 to 64 hexadecimal digits")]
Share = Annotated[float, Within(0, 1)]


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class Arm:
    """One version that takes traffic. A shadow's weight is the share of requests it gets a copy of."""

    name: Name
    version: Name
    bundle: Digest
    role: Role
    weight: Share  # bandits go by rewards instead


@with_config(STRICT)
@dataclass(frozen=True)
class Guards:
    """What the endpoint itself watches, request by request."""

    latency_ms: Annotated[float, Within(1e-6, 1e9)]  # an answer that takes longer counts as slow
    error_share: Share  # of recent requests, above which an arm's circuit breaker opens


@with_config(STRICT)
@dataclass(frozen=True)
class Bandit:
    epsilon: Share  # share of requests that explore (epsilon-greedy)
    floor: Share  # the least share of requests each arm gets
    reward: Reward


def _check_arms(bandit: Bandit | None, info: ValidationInfo) -> Bandit | None:
    """Compares the fields that have to fit each other; this is the last of them."""
    if {"strategy", "arms"} <= info.data.keys():
        check_rules(_rules(info.data["strategy"], info.data["arms"], bandit))
    return bandit


@with_config(STRICT)
@dataclass(frozen=True)
class Release:
    model: Name
    generation: Annotated[int, Within(1, 2**53)]  # rises with each change
    strategy: Strategy
    arms: Annotated[tuple[Arm, ...], Field(min_length=1, max_length=MOST_ARMS)]
    guards: Guards
    bandit: Annotated[Bandit | None, AfterValidator(_check_arms)]
    fallback: Digest | None  # bundle digest of the previous champion
    default: Mapping[str, Any] | None  # the answer when everything else fails; none: an error
    provider: Provider
    salt: Name  # of the sticky hash: one for all steps of a rollout or experiment, another for the next
    opened_at: Annotated[AwareDatetime, Must("be a time with its zone")]

    @property
    def champion(self) -> Arm:
        return next(arm for arm in self.arms if arm.role is Role.CHAMPION)

    @property
    def shadow(self) -> Arm | None:
        return next((arm for arm in self.arms if arm.role is Role.SHADOW), None)

    @property
    def answering(self) -> tuple[Arm, ...]:
        """Every arm but the shadow."""
        return tuple(arm for arm in self.arms if arm.role is not Role.SHADOW)


_RELEASE = TypeAdapter(Release)


def to_json(release: Release) -> str:
    """The release as text, the same bytes each time. One that breaks the rules is refused."""
    where = f"release of {release.model}"
    try:
        body = asdict(release) | {"opened_at": release.opened_at.isoformat()}
        text = json.dumps(body, indent=2, sort_keys=True, allow_nan=False) + "\n"
    except (TypeError, ValueError, RecursionError) as err:
        raise ReleaseError(where, [f"cannot be written as JSON: {err}"]) from err
    from_json(text, where)
    return text


def from_json(text: str | bytes, where: str = "release") -> Release:
    """The release in a text."""
    try:
        return read_json(_RELEASE, text, where)
    except Refused as err:
        raise ReleaseError(where, list(err.problems)) from err


def read_release(path: Path) -> Release:
    """The release in a file; FileNotFoundError where there is none."""
    with path.open("rb") as stream:
        return from_json(stream.read(LARGEST + 1), str(path))


def write_release(path: Path, release: Release, *, over_broken: bool = False) -> bool:
    """Put the release in place between two reads; False where it is there already. The generation must rise.

    A file that cannot be read has no generation to compare with. It is replaced only when `over_broken` says
    that the caller knows the last generation from elsewhere, the ledger.
    """
    text = to_json(release)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _in_place(path, release, over_broken):
            return False
        replace_file(path, text.encode())
    return True


def _in_place(path: Path, release: Release, over_broken: bool) -> bool:
    """Is the file this release already? An error where it may not become it."""
    try:
        present = read_release(path)
    except FileNotFoundError:
        return False
    except ReleaseError as err:
        if over_broken:
            return False
        remedy = "replace it with `over_broken` and a generation above the ledger's last"
        raise ReleaseError(str(path), [*err.problems, remedy]) from err
    if present == release:
        return True
    if problems := list(_conflicts(present, release)):
        raise ReleaseError(str(path), problems)
    return False


def _conflicts(present: Release, new: Release) -> Iterator[str]:
    if present.model != new.model:
        yield f"belongs to {present.model}, the new release to {new.model}: use a file of its own"
    if present.generation >= new.generation:
        behind = f"holds generation {present.generation}, the new release is {new.generation}"
        yield f"{behind}: read the file again and write generation {present.generation + 1}"


def _rules(strategy: Strategy, arms: tuple[Arm, ...], bandit: Bandit | None) -> Iterator[str]:
    """What must hold between the fields."""
    names = [arm.name for arm in arms]
    yield from (f"arm {name} stands twice" for name in sorted({n for n in names if names.count(n) > 1}))
    for role in Role:
        low, high = _how_many(strategy, role)
        count = sum(arm.role is role for arm in arms)
        if not low <= count <= high:
            wanted = str(low) if low == high else f"{low} to {high}"
            yield f"strategy {strategy} takes {wanted} arms with role {role}, there are {count}"
    answering = [arm for arm in arms if arm.role is not Role.SHADOW]
    total = math.fsum(arm.weight for arm in answering)
    if abs(total - 1) > _ROUNDING:
        yield f"the weights of the arms that answer add up to {total:g}, not 1"
    if (bandit is not None) is not (strategy in BANDITS):
        yield f"strategy {strategy} {'needs' if bandit is None else 'takes no'} bandit"
    if bandit is not None and bandit.floor * len(answering) > 1 + _ROUNDING:
        yield f"bandit.floor {bandit.floor:g} for each of {len(answering)} arms is more than all the traffic"


def _how_many(strategy: Strategy, role: Role) -> tuple[int, int]:
    """The least and the most arms of a role. Any strategy may have a shadow beside it."""
    if role is Role.CHAMPION:
        return 1, 1
    if role is Role.SHADOW:
        return int(strategy is Strategy.SHADOW), 1
    if role is not _CHALLENGER.get(strategy):
        return 0, 0
    return 1, 1 if role is Role.CANARY else MOST_ARMS
