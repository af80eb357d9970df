"""Decides which alerts are open and which notifications their changes make. Sends nothing and touches no files.

An alert is open from the first event that raises it to the event that resolves it. Raising an open alert again makes
no notification until the reminder is due. Events may arrive twice or out of order: each carries its time, and an event
older than the last one known of its alert changes nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class AlertKind(StrEnum):
    """The kind of incident. Each kind has a section in the runbook."""

    RUN_FAILED = "run-failed"
    GATE_FAILED = "gate-failed"
    ROLLBACK = "rollback"
    DRIFT = "drift"
    QUALITY = "quality"
    STALENESS = "staleness"
    RETRAIN = "retrain"
    ENDPOINT = "endpoint"


class NotificationKind(StrEnum):
    OPENED = "opened"
    REMINDER = "still open"
    RESOLVED = "resolved"


@dataclass(frozen=True)
class AlertSubject:
    """The incident that an event belongs to."""

    kind: AlertKind
    model: str  # empty: the incident does not belong to one model
    key: str

    @property
    def identity(self) -> str:
        return f"{self.kind}:{self.model}:{self.key}"


@dataclass(frozen=True)
class Alert(AlertSubject):
    """An incident that a person should know about, with its cause and the next step."""

    severity: Severity
    cause: str
    next_step: str
    at: datetime  # wall time of the event
    runbook: str = ""  # section of infra/docs/runbook.md; empty: the section of the kind
    link: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)
    is_news: bool = True  # False: what is open already is not notified again


@dataclass(frozen=True)
class AlertResolution(AlertSubject):
    """The incident is over. A resolution of an alert that is not open makes no notification."""

    cause: str
    at: datetime
    link: str = ""


AlertEvent = Alert | AlertResolution


@dataclass(frozen=True)
class AlertPolicy:
    """Limits on how often notifications are sent, and on how many are kept."""

    repeat: timedelta = timedelta(hours=24)  # between reminders of an open alert that is raised again
    window: timedelta = timedelta(hours=1)
    limit: int = 20  # messages to one destination in a window; the last message carries every further notification
    keep: timedelta = timedelta(days=7)  # for an undelivered notification, and for the time of a resolution
    max_waiting: int = 1_000  # notifications
    first_pause: timedelta = timedelta(minutes=1)  # after a failed send; doubles with each further failure
    longest_pause: timedelta = timedelta(hours=1)


def _file_keys(**keys: str) -> dict[str, Callable[[str], str]]:
    """Name the keys of a record in `state.json` that differ from its fields; pydantic reads this off the record."""
    return {"alias_generator": lambda name: keys.get(name, name)}


@dataclass(frozen=True)
class OpenAlert:
    alert: Alert  # as it was last raised
    since: datetime
    notified_at: datetime
    times_raised: int

    __pydantic_config__ = _file_keys(notified_at="told", times_raised="times")


@dataclass(frozen=True)
class Notification:
    """One change of one alert, and the destinations that have received it."""

    number: int
    kind: NotificationKind
    alert: Alert
    cause: str
    at: datetime
    delivered_to: tuple[str, ...] = ()

    __pydantic_config__ = _file_keys(kind="what", delivered_to="told")


@dataclass(frozen=True)
class DestinationState:
    """The sending history of one destination."""

    sent: tuple[datetime, ...] = ()  # times of the messages in the window
    failures: int = 0  # in a row
    retry_at: datetime | None = None
    problem: str = ""

    __pydantic_config__ = _file_keys(retry_at="again")


@dataclass(frozen=True)
class OutboxState:
    """The content of `state.json`."""

    next_number: int = 1
    dropped: int = 0  # notifications that were given up because too many waited or they waited too long
    open: Mapping[str, OpenAlert] = field(default_factory=dict)
    resolved: Mapping[str, datetime] = field(default_factory=dict)
    outbox: tuple[Notification, ...] = ()
    destinations: Mapping[str, DestinationState] = field(default_factory=dict)


@dataclass(frozen=True)
class AlertMessage:
    """The notifications of one send: a single one, or several where the limit does not allow one message each."""

    notifications: tuple[Notification, ...]

    @property
    def severity(self) -> Severity | None:
        """The highest severity among the alerts that are still open; None where all are resolved."""
        still_open = (each for each in self.notifications if each.kind is not NotificationKind.RESOLVED)
        return max((each.alert.severity for each in still_open), key=rank_severity, default=None)


def apply_events(
    state: OutboxState, events: Iterable[AlertEvent], now: datetime, policy: AlertPolicy
) -> tuple[tuple[Notification, ...], OutboxState]:
    """Return the notifications that the events make, and the state with them in its outbox."""
    first_new = state.next_number
    for event in events:
        state = _raise_alert(state, event, now, policy) if isinstance(event, Alert) else _resolve(state, event, now)
    state = drop_excess(state, now, policy)
    return tuple(each for each in state.outbox if each.number >= first_new), state


def _raise_alert(state: OutboxState, alert: Alert, now: datetime, policy: AlertPolicy) -> OutboxState:
    known = state.open.get(alert.identity)
    if known is None:
        resolved_at = state.resolved.get(alert.identity)
        if resolved_at is not None and alert.at <= resolved_at:
            return state
        state = _put_open(state, OpenAlert(alert, since=alert.at, notified_at=now, times_raised=1))
        return _queue(state, NotificationKind.OPENED, alert, alert.cause, now=now)
    if alert.at <= known.alert.at:
        return state
    worse = rank_severity(alert.severity) > rank_severity(known.alert.severity)
    due = worse or (alert.is_news and now - known.notified_at >= policy.repeat)
    state = _put_open(state, OpenAlert(alert, known.since, now if due else known.notified_at, known.times_raised + 1))
    return _queue(state, NotificationKind.REMINDER, alert, alert.cause, now=now) if due else state


def rank_severity(severity: Severity) -> int:
    return list(Severity).index(severity)


def _resolve(state: OutboxState, event: AlertResolution, now: datetime) -> OutboxState:
    known = state.open.get(event.identity)
    if known is not None and event.at < known.alert.at:
        return state
    latest = max(event.at, state.resolved.get(event.identity, event.at))
    state = replace(state, resolved={**state.resolved, event.identity: latest})
    if known is None:
        return state
    state = replace(state, open={name: each for name, each in state.open.items() if name != event.identity})
    alert = replace(known.alert, link=event.link or known.alert.link)
    return _queue(state, NotificationKind.RESOLVED, alert, event.cause, now=now)


def _put_open(state: OutboxState, opened: OpenAlert) -> OutboxState:
    return replace(state, open={**state.open, opened.alert.identity: opened})


def _queue(state: OutboxState, kind: NotificationKind, alert: Alert, cause: str, *, now: datetime) -> OutboxState:
    notification = Notification(state.next_number, kind, alert, cause, now)
    return replace(state, next_number=state.next_number + 1, outbox=(*state.outbox, notification))


def drop_excess(state: OutboxState, now: datetime, policy: AlertPolicy) -> OutboxState:
    """Bound the outbox, so that a destination that fails for long does not fill the disk. Counts what it drops."""
    kept = [each for each in state.outbox if now - each.at < policy.keep][-policy.max_waiting :]
    resolved = {name: at for name, at in state.resolved.items() if now - at < policy.keep}
    dropped = state.dropped + len(state.outbox) - len(kept)
    return replace(state, outbox=tuple(kept), resolved=resolved, dropped=dropped)
