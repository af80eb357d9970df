"""Alerts of the pipeline: raised anywhere in a moment, sent by one sender in its own time.

`raise_` and `resolve` only write a file under a lock, so no run waits for a destination. `send` is called by a
sensor: what is in the outbox goes out, each message is marked as sent before the next one begins, and what fails
stays for later. A sender that is killed between a send and its mark sends that one message again; nothing is lost.
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

from mlops_assets.domain.alerts import alerting
from mlops_assets.domain.alerts.alerting import Alert, Event, Message, Notice, Open, Policy, Resolved, State
from mlops_assets.resources.alerts.destinations import Place, deliver, places
from mlops_assets.resources.lake.files import put_bytes

_WAIT = 30.0  # seconds for another process to finish its note
_STATE = TypeAdapter(State)


class AlertStateError(RuntimeError):
    """The file of what is open cannot be read."""


@dataclass(frozen=True)
class Sending:
    """What one round of sending did."""

    sent: int
    waiting: int  # notices that some destination was not told yet
    problems: Mapping[str, str]  # destination, masked → why it did not take it
    busy: bool = False  # another sender was at it


class Alerts(dg.ConfigurableResource["Alerts"]):
    """What is open and who was told. `destinations` are Apprise URLs, separated by white space."""

    folder: str
    destinations: str = ""  # an EnvVar, so that the UI shows its name and not the secrets
    dagster_url: str = ""
    repeat_hours: float = 24.0
    messages_an_hour: int = 20
    seconds: float = 10.0  # for one message; a destination that hangs is left after these
    patience: float = 25.0  # seconds for one round of sending

    def raise_(self, alert: Alert, *, now: datetime) -> tuple[Notice, ...]:
        """Open the alert, or note that it is still open. Both times are wall time."""
        return self.note(alert, now=now)

    def resolve(self, over: Resolved, *, now: datetime) -> tuple[Notice, ...]:
        """Close the alert, if it is open."""
        return self.note(over, now=now)

    def note(self, *events: Event, now: datetime) -> tuple[Notice, ...]:
        """Several events at once; the notices that they made."""
        made: list[Notice] = []

        def change(state: State) -> State:
            notices, state = alerting.note(state, events, now, self._policy)
            made.extend(notices)
            return state

        if events:
            self._change(change)
        return tuple(made)

    def open(self) -> tuple[Open, ...]:
        """What is not resolved, oldest first."""
        return tuple(sorted(self.state().open.values(), key=lambda each: each.since))

    def state(self) -> State:
        try:
            return _STATE.validate_python(json.loads(self._file.read_bytes()))
        except FileNotFoundError:
            return State()
        except (ValidationError, ValueError) as err:
            raise AlertStateError(
                f"{self._file} cannot be read: {err}. It holds which alerts are open and what was not sent yet: "
                "restore it from a backup, or move it away to begin anew."
            ) from err

    def run_url(self, run_id: str) -> str:
        return f"{self.dagster_url}/runs/{run_id}" if self.dagster_url else ""

    def send(self, *, clock: Callable[[], datetime]) -> Sending:
        """Tell every destination what it was not told yet, all of them side by side, within `patience`."""
        found = places(self._urls())
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(str(self._folder / "sending.lock"), timeout=0):
                sent = self._send(found, clock)
        except Timeout:
            return Sending(0, len(self.state().outbox), {}, busy=True)
        state = self.state()
        problems = {name: place.problem for name, place in state.destinations.items() if place.problem}
        return Sending(sent, len(state.outbox), problems)

    def _send(self, found: tuple[Place, ...], clock: Callable[[], datetime]) -> int:
        until = monotonic() + self.patience
        with ThreadPoolExecutor(max_workers=max(len(found), 1)) as senders:
            taken = sum(senders.map(lambda place: self._tell(place, clock, until), found))
        names = [place.name for place in found]
        self._change(lambda state: alerting.settled(state, names, clock(), self._policy))
        return taken

    def _tell(self, place: Place, clock: Callable[[], datetime], until: float) -> int:
        """All that waits for one destination, one after the other, up to the first failure; how many it took."""
        taken = 0
        for message in alerting.due(self.state(), place.name, clock(), self._policy):
            if monotonic() > until:
                break
            problem = deliver(place, message, seconds=self.seconds)
            self._mark(place.name, message, problem, clock())
            if problem:
                break
            taken += 1
        return taken

    def _mark(self, name: str, message: Message, problem: str, now: datetime) -> None:
        if problem:
            self._change(lambda state: alerting.failed(state, name, problem, now, self._policy))
        else:
            self._change(lambda state: alerting.sent(state, name, message, now, self._policy))

    def _change(self, change: Callable[[State], State]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with FileLock(str(self._folder / "state.lock"), timeout=_WAIT):
            before = self.state()
            after = change(before)
            if after != before:
                put_bytes(str(self._file), json.dumps(_STATE.dump_python(after, mode="json"), indent=1).encode())

    def _urls(self) -> str:
        given = self.destinations
        return (given.get_value() or "") if isinstance(given, dg.EnvVar) else given

    @property
    def _policy(self) -> Policy:
        return Policy(repeat=timedelta(hours=self.repeat_hours), limit=self.messages_an_hour)

    @property
    def _folder(self) -> Path:
        return Path(self.folder)

    @property
    def _file(self) -> Path:
        return self._folder / "state.json"
