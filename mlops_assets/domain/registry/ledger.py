"""The ledger's rules: what an entry is, how entries are chained, what the chain proves. Touches no files.

Each entry carries the hash of the one before, so a change to any of them shows in all that follow. Cutting
whole entries off the end leaves a valid chain: `check_chain` finds it only against heads that were noted elsewhere.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

START = "0" * 64  # what the first entry gives as the hash before it


class LedgerAction(StrEnum):
    """What happened."""

    REGISTERED = "registered"
    PROMOTED = "promoted"
    REJECTED = "rejected"
    RELEASE = "release"
    ROLLBACK = "rollback"
    OVERRIDE = "override"
    ERASURE = "erasure"
    REPAIR = "repair"  # a half-written line was cut off the end of the file


@dataclass(frozen=True)
class Draft:
    """An entry before it has its place in the chain."""

    action: LedgerAction
    subject: str  # version number; bundle digest of what never became a version
    actor: str  # who or what decided
    reason: str
    numbers: Mapping[str, float]  # what the decision stands on
    details: Mapping[str, str]  # what it pins: semantic version, bundle, features, data, code, provider
    cause: str  # the same cause is entered once


@dataclass(frozen=True)
class Entry:
    """One line of a model's ledger."""

    sequence: int
    time: datetime
    model: str
    action: LedgerAction
    subject: str
    actor: str
    reason: str
    numbers: Mapping[str, float]
    details: Mapping[str, str]
    cause: str
    previous: str
    hash: str


@dataclass(frozen=True)
class LedgerProblem:
    """Something wrong with a ledger, with the line of the file it is on (from 1)."""

    line: int
    what: str


def seal(draft: Draft, *, model: str, now: datetime, before: Entry | None) -> Entry:
    """The draft as the entry after `before`. Time never runs backwards: a clock that is behind is noted."""
    if now.tzinfo is None:
        raise ValueError(f"ledger of {model}: the time {now} has no time zone")
    now, details = now.astimezone(UTC), dict(draft.details)
    if before is not None and now < before.time:
        details["clock"] = now.isoformat()
        now = before.time
    body: dict[str, Any] = {
        **asdict(draft),
        "numbers": {name: float(value) for name, value in draft.numbers.items()},
        "details": details,
        "sequence": 1 if before is None else before.sequence + 1,
        "time": now,
        "model": model,
        "previous": START if before is None else before.hash,
    }
    return Entry(**body, hash=_digest(body))


def to_line(entry: Entry) -> str:
    """The entry as one line of JSON, without the line's end."""
    return _canonical(vars(entry))


def from_line(line: str) -> Entry:
    """The entry on a line; ValueError where it is none."""
    try:
        body = json.loads(line)
        body["time"] = datetime.fromisoformat(body["time"])
        body["action"] = LedgerAction(body["action"])
        body["numbers"] = {name: float(value) for name, value in body["numbers"].items()}
        return Entry(**body)
    except (KeyError, TypeError, AttributeError) as err:
        raise ValueError(f"not a ledger entry: {err!r}") from err


def check_chain(lines: Sequence[str], *, heads: Mapping[int, str] | None = None) -> list[LedgerProblem]:
    """Every break of the chain, and every head (sequence → hash) noted elsewhere that it lacks."""
    problems = list(_chain_problems(lines))
    hashes = {entry.sequence: entry.hash for entry in _readable(lines)}
    for sequence, digest in sorted((heads or {}).items()):
        if hashes.get(sequence) != digest:
            state = "is another one" if sequence in hashes else "is missing"
            problems.append(
                LedgerProblem(sequence, f"entry {sequence} with hash {digest[:12]} was noted elsewhere and {state}")
            )
    return problems


def _chain_problems(lines: Sequence[str]) -> Iterator[LedgerProblem]:
    expected, previous, earlier = 1, START, None
    for number, line in enumerate(lines, start=1):
        try:
            entry = from_line(line)
        except ValueError as err:
            yield LedgerProblem(number, f"cannot be read: {err}")
            expected, previous = expected + 1, ""
            continue
        if entry.sequence != expected:
            yield LedgerProblem(number, f"has sequence {entry.sequence}, expected {expected}")
        if previous and entry.previous != previous:
            yield LedgerProblem(number, f"follows {entry.previous[:12]}, but the line before it is {previous[:12]}")
        if to_line(entry) != line or _digest(_body(entry)) != entry.hash:
            yield LedgerProblem(number, "was changed: its content does not give its hash")
        if earlier is not None and entry.time < earlier:
            yield LedgerProblem(number, f"is dated {entry.time}, before the line above it")
        expected, previous, earlier = entry.sequence + 1, entry.hash, entry.time


def _readable(lines: Iterable[str]) -> Iterator[Entry]:
    for line in lines:
        try:
            yield from_line(line)
        except ValueError:
            continue


def _body(entry: Entry) -> dict[str, Any]:
    body = dict(vars(entry))
    del body["hash"]
    return body


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(body).encode()).hexdigest()


def _canonical(value: Mapping[str, Any]) -> str:
    """One spelling for one content: sorted names, no spaces, ISO times."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_plain)


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"a ledger entry cannot hold {type(value).__name__}: {value!r}")
