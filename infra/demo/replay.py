"""Plays days of the airport against the running system: time, requests, outcomes, then data and watching. No faults.

Half an hour at a time: the clock goes to its end, the flights scheduled within it are asked about, those that have
landed get their outcome reported. A step of days ends with a night: data comes in, the days are watched, and the world
stands still while a version is trained or released: that takes a minute, and would take weeks of the replay.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.demo.callers import Callers
from infra.demo.system import System
from infra.demo.tally import Day, Quality, format_day
from infra.demo.world import Airport, Flight, take_share
from infra.run.first_start import MODEL, RunFailed, range_tags
from mlops_assets.domain.names import retrain_sensor

_TICK = timedelta(minutes=30)  # the shortest flight takes longer: nothing is answered after it landed
_DAY = timedelta(days=1)
_CLOCK_PAUSE = 0.06  # seconds until the endpoint has looked at the clock again
_LOG_PAUSE = 2.0  # seconds until the endpoint has written its log
_WATCH, _DATA = f"{MODEL}_watch", f"{MODEL}_data"

RequestChange = Callable[[Flight, Mapping[str, Any]], Mapping[str, Any] | None]  # of a request; None: nobody asks


@dataclass(frozen=True)
class Pace:
    """How fast, and how much of it."""

    step: int  # days between two looks
    trial: int  # days between two looks while a version is on trial
    seconds: float  # the least that a day takes
    share: float  # of the flights
    by_keys: float  # part of the requests that bring keys only

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise ValueError("; ".join(problems))

    def _problems(self) -> Iterator[str]:
        if min(self.step, self.trial) < 1:
            yield "a step takes at least one day"
        if self.seconds < 0:
            yield f"a day cannot take {self.seconds:g} seconds"
        if not 0 < self.share <= 1:
            yield f"the share of the flights is above 0 and at most 1, not {self.share:g}"
        if not 0 <= self.by_keys <= 1:
            yield f"the share of requests by key lies between 0 and 1, not {self.by_keys:g}"


@dataclass(frozen=True)
class DayConditions:
    """The differences from an ordinary day; by default there are none."""

    change: RequestChange = lambda flight, row: row
    outcomes: bool = True  # reach the endpoint, and the data


ORDINARY = DayConditions()


@dataclass
class Replay:
    """The world, its callers and the system, one day after the other."""

    system: System
    callers: Callers
    airport: Airport
    pace: Pace
    say: Callable[[str], None]
    sleep: Callable[[float], None] = time.sleep
    quality: Quality = field(default_factory=Quality)
    unwatched: list[Day] = field(default_factory=list)
    untaken: list[Day] = field(default_factory=list)  # days whose data is still outside
    requests: int = 0  # in all

    def days_left(self, until: datetime) -> int:
        return max((until - self.next_day()) // _DAY, 0)

    def next_day(self) -> datetime:
        """The first day that has not begun."""
        now = self.system.now()
        midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight if midnight == now else midnight + _DAY

    def play(self, days: int, conditions: DayConditions = ORDINARY) -> list[Day]:
        """Play that many days of traffic and outcomes, and print a line about each."""
        played = []
        for _ in range(days):
            self.system.wait_until_idle(but=_WATCH)
            began = time.monotonic()
            day = self._day(self.next_day(), conditions)
            self.quality.add(day.landed)
            self.say(format_day(day, self.quality))
            for refusal, count in day.refusals.most_common(2):
                self.say(f"    {count} times {refusal}")
            played.append(day)
            self.sleep(max(self.pace.seconds - (time.monotonic() - began), 0))
        self.unwatched += played
        self.untaken += played
        return played

    def run_night(self, conditions: DayConditions = ORDINARY) -> None:
        """End a step: take data in, watch the days, and train where the decision is to train.

        The sensor that watches days looks once a minute and has watched some; asking for the others keeps the pace.
        """
        self.sleep(_LOG_PAUSE)
        if conditions.outcomes:
            self._run(_DATA, self.untaken)
            self.untaken = []
        self.system.wait_until_idle()
        watched = self.system.list_watched_days()
        self._run(_WATCH, [day for day in self.unwatched if f"{day.day}" not in watched])
        self.unwatched = []
        last = self.system.read_last_decision()
        if last is not None and last.decision.yes:
            self.system.wait_for_tick(retrain_sensor(MODEL))

    @property
    def on_trial(self) -> bool:
        """Has a version a part of the traffic that is not the champion?"""
        state = self.system.read_release()
        return state is not None and state.challenger is not None

    def wait_for_trial_step(self) -> None:
        """Let the rollout's sensor look at the version on trial, and its run take the step that is due."""
        self.sleep(_LOG_PAUSE)
        self.system.wait_for_tick(f"{MODEL}_rollout")

    def _day(self, start: datetime, conditions: DayConditions) -> Day:
        flights = take_share(self.airport.day(start), self.pace.share)
        day, place = Day(start.date()), 0
        rows = {flight.id: conditions.change(flight, row) for flight, row in self._rows(flights)}
        for end in _ticks(start):
            due = place
            while due < len(flights) and flights[due].requested_at < end:
                due += 1
            self._tick(
                day,
                end,
                [each for each in flights[place:due] if rows[each.id] is not None],
                rows=rows,
                conditions=conditions,
            )
            place = due
        return day

    def _tick(
        self, day: Day, end: datetime, due: Sequence[Flight], rows: Mapping[str, Any], *, conditions: DayConditions
    ) -> None:
        self.system.move_clock(end)
        if due:
            self.sleep(_CLOCK_PAUSE)
            day.answers += self.callers.predict(due, [rows[flight.id] for flight in due])
            self.requests += len(due)
        day.landed += self.callers.report_outcomes(end) if conditions.outcomes else self.callers.pop_landed(end)

    def _rows(self, flights: Sequence[Flight]) -> Iterator[tuple[Flight, Mapping[str, Any]]]:
        """Most bring every field; a few bring keys, and the endpoint looks the rest up."""
        by_keys = {flight.id for flight in take_share(flights, self.pace.by_keys)} if self.pace.by_keys else set()
        for flight in flights:
            yield flight, flight.keys if flight.id in by_keys else flight.features

    def _run(self, job: str, days: Sequence[Day]) -> None:
        """One run over a range of days."""
        if not days:
            return
        self.system.wait_until_idle()
        run_id = self.system.dagster.launch(job, range_tags([f"{day.day}" for day in days]))
        status = self.system.wait_for_run(run_id)
        if status != "SUCCESS":
            raise RunFailed(f"{job} ended as {status}: {self.system.dagster.run_url(run_id)}")


def _ticks(start: datetime) -> list[datetime]:
    return [start + step * _TICK for step in range(1, _DAY // _TICK + 1)]
