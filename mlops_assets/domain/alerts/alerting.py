"""Alerts: what is open, what is told to whom and when. Pure: sends nothing, touches no files.

An alert is open from the first event that raises it to the event that resolves it. While it is open the same alert
raised again says nothing new, until the reminder is due. Events may come twice or in the wrong order: each carries
its time, and one that is older than what is known about its alert changes nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class AlertKind(StrEnum):
    """What an alert is about. Each has a section in the runbook."""

    RUN_FAILED = "run-failed"
    GATE_FAILED = "gate-failed"
    ROLLBACK = "rollback"
    DRIFT = "drift"
    QUALITY = "quality"
    STALENESS = "staleness"
    RETRAIN = "retrain"
    ENDPOINT = "endpoint"


class What(StrEnum):
    """What a notice tells about its alert."""

    OPENED = "opened"
    REMINDER = "still open"
    RESOLVED = "resolved"


@dataclass(frozen=True)
class Alert:
    """Something a person should know. `kind`, `model` and `key` say which incident it is."""

    kind: AlertKind
    model: str  # empty: not about one model
    key: str
    severity: Severity
    cause: str
    next_step: str
    at: datetime  # wall time of the event
    runbook: str = ""  # section of infra/docs/runbook.md; empty: that of the kind
    link: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        return f"{self.kind}:{self.model}:{self.key}"


@dataclass(frozen=True)
class Resolved:
    """The incident is over. Changes nothing where it was not open."""

    kind: AlertKind
    model: str
    key: str
    cause: str
    at: datetime
    link: str = ""

    @property
    def identity(self) -> str:
        return f"{self.kind}:{self.model}:{self.key}"


Event = Alert | Resolved


@dataclass(frozen=True)
class Policy:
    """How often people are told."""

    repeat: timedelta = timedelta(hours=24)  # until an open alert that is raised again is told again
    window: timedelta = timedelta(hours=1)
    limit: int = 20  # messages to one destination in a window; what is above is told together, in one
    keep: timedelta = timedelta(days=7)  # a notice that no one could be told; what is known of a resolved alert
    most: int = 1_000  # notices that wait
    first_pause: timedelta = timedelta(minutes=1)  # after a failed send; doubles
    longest_pause: timedelta = timedelta(hours=1)


@dataclass(frozen=True)
class Open:
    alert: Alert  # as last raised
    since: datetime
    told: datetime
    times: int  # it was raised


@dataclass(frozen=True)
class Notice:
    """One thing to tell. `told` are the destinations that know it."""

    number: int
    what: What
    alert: Alert
    cause: str
    at: datetime
    told: tuple[str, ...] = ()


@dataclass(frozen=True)
class Destination:
    """What is known of one place to tell."""

    sent: tuple[datetime, ...] = ()  # messages in the window
    failures: int = 0  # in a row
    again: datetime | None = None  # not before
    problem: str = ""


@dataclass(frozen=True)
class State:
    """Everything that is remembered."""

    next_number: int = 1
    dropped: int = 0  # notices that nobody was told, as too many waited or waited too long
    open: Mapping[str, Open] = field(default_factory=dict)
    resolved: Mapping[str, datetime] = field(default_factory=dict)
    outbox: tuple[Notice, ...] = ()
    destinations: Mapping[str, Destination] = field(default_factory=dict)


@dataclass(frozen=True)
class Message:
    """What is sent at once: one notice, or several where the limit does not allow one each."""

    notices: tuple[Notice, ...]

    @property
    def severity(self) -> Severity | None:
        """Of the worst that is told; None where all is resolved."""
        still = [notice.alert.severity for notice in self.notices if notice.what is not What.RESOLVED]
        return max(still, key=_rank, default=None)


def note(state: State, events: Iterable[Event], now: datetime, policy: Policy) -> tuple[tuple[Notice, ...], State]:
    """The notices that these events make, and the state with them in its outbox."""
    before = state.next_number
    for event in events:
        state = _raised(state, event, now, policy) if isinstance(event, Alert) else _resolved(state, event, now)
    state = _within_bounds(state, now, policy)
    return tuple(notice for notice in state.outbox if notice.number >= before), state


def _raised(state: State, alert: Alert, now: datetime, policy: Policy) -> State:
    known = state.open.get(alert.identity)
    if known is None:
        over = state.resolved.get(alert.identity)
        if over is not None and alert.at <= over:
            return state
        state = _with_open(state, Open(alert, since=alert.at, told=now, times=1))
        return _with_notice(state, What.OPENED, alert, alert.cause, now)
    if alert.at <= known.alert.at:
        return state
    due = now - known.told >= policy.repeat or _rank(alert.severity) > _rank(known.alert.severity)
    state = _with_open(state, Open(alert, known.since, now if due else known.told, known.times + 1))
    return _with_notice(state, What.REMINDER, alert, alert.cause, now) if due else state


def _rank(severity: Severity) -> int:
    return list(Severity).index(severity)


def _resolved(state: State, event: Resolved, now: datetime) -> State:
    latest = max(event.at, state.resolved.get(event.identity, event.at))
    known = state.open.get(event.identity)
    if known is None:
        return replace(state, resolved={**state.resolved, event.identity: latest})
    if event.at < known.alert.at:
        return state
    still = {name: each for name, each in state.open.items() if name != event.identity}
    state = replace(state, open=still, resolved={**state.resolved, event.identity: latest})
    alert = replace(known.alert, link=event.link or known.alert.link)
    return _with_notice(state, What.RESOLVED, alert, event.cause, now)


def _with_open(state: State, opened: Open) -> State:
    return replace(state, open={**state.open, opened.alert.identity: opened})


def _with_notice(state: State, what: What, alert: Alert, cause: str, now: datetime) -> State:
    notice = Notice(state.next_number, what, alert, cause, now)
    return replace(state, next_number=state.next_number + 1, outbox=(*state.outbox, notice))


def _within_bounds(state: State, now: datetime, policy: Policy) -> State:
    """A destination that is dead for long must not fill the disk: what was dropped is counted."""
    fresh = [notice for notice in state.outbox if now - notice.at < policy.keep][-policy.most :]
    resolved = {name: at for name, at in state.resolved.items() if now - at < policy.keep}
    dropped = state.dropped + len(state.outbox) - len(fresh)
    return replace(state, outbox=tuple(fresh), resolved=resolved, dropped=dropped)


def due(state: State, destination: str, now: datetime, policy: Policy) -> tuple[Message, ...]:
    """What to send there now. The most severe first; what is above the limit goes together, as the last message."""
    place = state.destinations.get(destination, Destination())
    if place.again is not None and now < place.again:
        return ()
    waiting = [notice for notice in state.outbox if destination not in notice.told]
    free = policy.limit - len(_recent(place, now, policy))
    if not waiting or free <= 0:
        return ()
    if len(waiting) <= free:
        return tuple(Message((notice,)) for notice in waiting)
    urgent = sorted(waiting, key=lambda notice: -_rank(notice.alert.severity))[: free - 1]
    rest = tuple(notice for notice in waiting if notice not in urgent)
    return (*(Message((notice,)) for notice in sorted(urgent, key=lambda each: each.number)), Message(rest))


def _recent(place: Destination, now: datetime, policy: Policy) -> tuple[datetime, ...]:
    return tuple(moment for moment in place.sent if now - moment < policy.window)


def sent(state: State, destination: str, message: Message, now: datetime, policy: Policy) -> State:
    """The state once the destination took the message."""
    place = state.destinations.get(destination, Destination())
    told = {notice.number for notice in message.notices}
    outbox = tuple(
        replace(notice, told=(*notice.told, destination)) if notice.number in told else notice
        for notice in state.outbox
    )
    place = Destination(sent=(*_recent(place, now, policy), now))
    return replace(state, outbox=outbox, destinations={**state.destinations, destination: place})


def failed(state: State, destination: str, problem: str, now: datetime, policy: Policy) -> State:
    """The state once the destination did not: it is asked again later, and later each time."""
    place = state.destinations.get(destination, Destination())
    pause = min(policy.first_pause * 2 ** min(place.failures, 20), policy.longest_pause)
    place = replace(place, failures=place.failures + 1, again=now + pause, problem=problem)
    return replace(state, destinations={**state.destinations, destination: place})


def settled(state: State, destinations: Sequence[str], now: datetime, policy: Policy) -> State:
    """Without the notices that everybody was told, and without destinations that are no more."""
    outbox = tuple(notice for notice in state.outbox if not set(destinations) <= set(notice.told))
    places = {name: place for name, place in state.destinations.items() if name in destinations}
    return _within_bounds(replace(state, outbox=outbox, destinations=places), now, policy)
