"""The alerts of the pipeline: any process records an event at once, and one sender delivers the notifications later.

`record_events` only writes a file under a lock, so no run waits for a destination. A sensor calls `send_waiting`,
which marks each message as sent before it begins the next one and keeps every failed message for later. A sender that
is killed between a send and its mark sends that one message again; nothing is lost.
"""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic

import dagster as dg
from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from mlops_assets.domain.alerts import alerting, delivery
from mlops_assets.domain.alerts.alerting import (
    AlertEvent,
    AlertMessage,
    AlertPolicy,
    Notification,
    OpenAlert,
    OutboxState,
)
from mlops_assets.resources.alerts.destinations import Destination, deliver, parse_destinations
from mlops_assets.resources.lake.files import put_bytes

_LOCK_TIMEOUT = 30.0  # seconds for another process to finish its change of the state
_STATE = TypeAdapter(OutboxState)


class AlertStateError(RuntimeError):
    """The file of open alerts and waiting notifications cannot be read."""


@dataclass(frozen=True)
class SendReport:
    """The result of one round of sending."""

    sent: int
    waiting: int  # notifications that some destination has not received yet
    problems: Mapping[str, str]  # masked destination → why its last send failed
    busy: bool = False  # another sender was at work


class Alerts(dg.ConfigurableResource["Alerts"]):
    """The open alerts and their notifications. `destinations` are Apprise URLs, separated by white space."""

    folder: str
    destinations: str = ""  # an EnvVar, so that the UI shows its name and not the secrets
    dagster_url: str = ""
    repeat_hours: float = 24.0
    messages_an_hour: int = 20
    seconds: float = 10.0  # for one message; the sender gives up on a destination that takes longer
    patience: float = 25.0  # seconds for one round of sending

    def record_events(self, *events: AlertEvent, now: datetime) -> tuple[Notification, ...]:
        """Open, remind of or resolve alerts; return the notifications that this makes. All times are wall time."""
        made: list[Notification] = []

        def change(state: OutboxState) -> OutboxState:
            notifications, state = alerting.apply_events(state, events, now, self._policy)
            made.extend(notifications)
            return state

        if events:
            self._change_state(change)
        return tuple(made)

    def list_open(self) -> tuple[OpenAlert, ...]:
        """List the open alerts, oldest first."""
        return tuple(sorted(self.read_state().open.values(), key=lambda each: each.since))

    def read_state(self) -> OutboxState:
        try:
            return _STATE.validate_python(json.loads(self._file.read_bytes()))
        except FileNotFoundError:
            return OutboxState()
        except (ValidationError, ValueError) as err:
            raise AlertStateError(
                f"{self._file} cannot be read: {err}. It holds the open alerts and the notifications that wait: "
                "restore it from a backup, or move it away to begin anew."
            ) from err

    def run_url(self, run_id: str) -> str:
        return f"{self.dagster_url}/runs/{run_id}" if self.dagster_url else ""

    def send_waiting(self, *, clock: Callable[[], datetime]) -> SendReport:
        """Send every destination the notifications it lacks, all destinations in parallel, within `patience`."""
        destinations = parse_destinations(self._read_urls())
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(str(self._folder / "sending.lock"), timeout=0):
                sent = self._send_to_all(destinations, clock)
        except Timeout:
            return SendReport(0, len(self.read_state().outbox), {}, busy=True)
        state = self.read_state()
        problems = {name: history.problem for name, history in state.destinations.items() if history.problem}
        return SendReport(sent, len(state.outbox), problems)

    def _send_to_all(self, destinations: tuple[Destination, ...], clock: Callable[[], datetime]) -> int:
        deadline = monotonic() + self.patience
        with ThreadPoolExecutor(max_workers=max(len(destinations), 1)) as senders:
            sent = sum(senders.map(lambda each: self._send_to(each, clock, deadline), destinations))
        names = [each.name for each in destinations]
        self._change_state(lambda state: delivery.drop_delivered(state, names, clock(), self._policy))
        return sent

    def _send_to(self, destination: Destination, clock: Callable[[], datetime], deadline: float) -> int:
        """Send the waiting messages one after the other up to the first failure; return how many were accepted."""
        sent = 0
        for message in delivery.select_messages(self.read_state(), destination.name, clock(), self._policy):
            if monotonic() > deadline:
                break
            problem = deliver(destination, message, seconds=self.seconds)
            self._record_send(destination.name, message, problem, clock())
            if problem:
                break
            sent += 1
        return sent

    def _record_send(self, name: str, message: AlertMessage, problem: str, now: datetime) -> None:
        def change(state: OutboxState) -> OutboxState:
            if problem:
                return delivery.record_failure(state, name, problem, now=now, policy=self._policy)
            return delivery.record_delivery(state, name, message, now=now, policy=self._policy)

        self._change_state(change)

    def _change_state(self, change: Callable[[OutboxState], OutboxState]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with FileLock(str(self._folder / "state.lock"), timeout=_LOCK_TIMEOUT):
            before = self.read_state()
            after = change(before)
            if after != before:
                content = _STATE.dump_python(after, mode="json", by_alias=True)
                put_bytes(str(self._file), json.dumps(content, indent=1).encode())

    def _read_urls(self) -> str:
        urls = self.destinations
        return (urls.get_value() or "") if isinstance(urls, dg.EnvVar) else urls

    @property
    def _policy(self) -> AlertPolicy:
        return AlertPolicy(repeat=timedelta(hours=self.repeat_hours), limit=self.messages_an_hour)

    @property
    def _folder(self) -> Path:
        return Path(self.folder)

    @property
    def _file(self) -> Path:
        return self._folder / "state.json"
