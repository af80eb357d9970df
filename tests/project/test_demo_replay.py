"""A replay on fakes: what is asked when, what is told when, and what a step ends with."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from infra.demo.__main__ import year
from infra.demo.callers import FlightAnswer, LandedFlight
from infra.demo.replay import DayConditions, Pace, Replay
from infra.demo.world import Flight
from infra.run.first_start import RunFailed

START = datetime(2013, 10, 1, tzinfo=UTC)
DAY = timedelta(days=1)


class World:
    """Four flights a day: one lands the next morning, one never."""

    def day(self, start: datetime) -> list[Flight]:
        hours = {"morning": (6, 8), "noon": (12, 15), "night": (23, 26), "cancelled": (14, None)}
        flights = [
            Flight(
                f"{start:%m%d}-{name}",
                start + timedelta(hours=at, minutes=10),
                {"carrier": name},
                {"keys": name},
                start + timedelta(hours=landed) if landed else None,
                False if landed else None,
            )
            for name, (at, landed) in hours.items()
        ]
        return sorted(flights, key=lambda flight: flight.requested_at)


class Callers:
    """Notes at which moment of the clock something was asked or told."""

    def __init__(self, system: "System") -> None:
        self.system = system
        self.asked: list[tuple[datetime, Flight, Mapping[str, Any]]] = []
        self.told: list[tuple[datetime, str]] = []
        self.waiting: list[LandedFlight] = []

    def predict(self, flights: Sequence[Flight], rows: Sequence[Mapping[str, Any]]) -> list[FlightAnswer]:
        self.asked += [(self.system.moment, flight, row) for flight, row in zip(flights, rows, strict=True)]
        answers = [FlightAnswer(flight, flight.id, "1.0.0", False, 0.5, "") for flight in flights]
        self.waiting += [LandedFlight(each, bool(each.flight.late)) for each in answers if each.flight.landed_at]
        return answers

    def report_outcomes(self, now: datetime) -> list[LandedFlight]:
        landed = self.pop_landed(now)
        self.told += [(now, each.answer.flight.id) for each in landed]
        return landed

    def pop_landed(self, now: datetime) -> list[LandedFlight]:
        found = [each for each in self.waiting if (each.answer.flight.landed_at or now) <= now]
        self.waiting = [each for each in self.waiting if each not in found]
        return found


class System:
    """A clock, a Dagster that does what it is told, and a release."""

    def __init__(self, *, status: str = "SUCCESS", decides: bool = False, on_trial: int = 0) -> None:
        self.moment, self.status, self.decides, self.looks = START, status, decides, on_trial
        self.launched: list[tuple[str, ...]] = []
        self.ticked: list[str] = []
        self.known: frozenset[str] = frozenset()
        self.dagster = SimpleNamespace(launch=self._launch, run_url=lambda run: f"http://ui/runs/{run}")

    def now(self) -> datetime:
        return self.moment

    def move_clock(self, moment: datetime) -> None:
        assert moment > self.moment
        self.moment = moment

    def wait_until_idle(self, *, but: str = "") -> None: ...

    def wait_for_run(self, run_id: str) -> str:
        return self.status

    def list_watched_days(self) -> frozenset[str]:
        return self.known

    def read_last_decision(self) -> Any:
        return SimpleNamespace(decision=SimpleNamespace(yes=self.decides))

    def read_release(self) -> Any:
        return SimpleNamespace(challenger="canary" if self.looks else None)

    def wait_for_tick(self, sensor: str) -> None:
        self.ticked.append(sensor)
        self.looks -= sensor.endswith("_rollout")

    def _launch(self, job: str, tags: Mapping[str, str]) -> str:
        self.launched.append((job, *tags.values()))
        return job


class Story:
    def __init__(self) -> None:
        self.times = 0

    def report_news(self) -> None:
        self.times += 1


def no_wait(seconds: float) -> None:
    """There is no endpoint to wait for."""


def replay(system: System, *, share: float = 1.0, by_keys: float = 0.0, step: int = 3) -> Replay:
    pace = Pace(step=step, trial=1, seconds=0.0, share=share, by_keys=by_keys)
    return Replay(system, Callers(system), World(), pace, lambda text: None, no_wait)  # type: ignore[arg-type]


def test_flights_are_requested_at_departure():
    made = replay(System())
    made.play(2)
    callers: Any = made.callers
    assert len(callers.asked) == made.requests == 8
    assert all(timedelta(0) < at - flight.requested_at <= timedelta(minutes=30) for at, flight, _ in callers.asked)
    landed = {flight.id: flight.landed_at for _, flight, _ in callers.asked}
    assert all(timedelta(0) <= at - landed[name] < timedelta(minutes=30) for at, name in callers.told)
    assert [name for _, name in callers.told] == [
        "1001-morning",
        "1001-noon",
        "1001-night",
        "1002-morning",
        "1002-noon",
    ]
    assert made.system.now() == START + 2 * DAY


def test_it_goes_on_with_the_next_whole_day():
    system = System()
    made = replay(system)
    assert made.next_day() == START
    system.move_clock(START + timedelta(hours=5))
    assert made.next_day() == START + DAY
    assert made.days_left(START + 3 * DAY) == 2
    assert made.days_left(START) == 0


def test_a_part_of_the_requests_brings_keys_only():
    made = replay(System(), by_keys=0.25)
    made.play(1)
    rows = [row for _, _, row in made.callers.asked]  # type: ignore[attr-defined]
    assert sum("keys" in row for row in rows) == 1
    assert sum("carrier" in row for row in rows) == 3


def test_a_night_ingests_data_and_watches_past_days():
    system = System()
    made = replay(system)
    made.play(2)
    system.known = frozenset({"2013-10-01"})
    made.run_night()
    assert system.launched == [
        ("flight_delay_data", "2013-10-01", "2013-10-02"),
        ("flight_delay_watch", "2013-10-02", "2013-10-02"),
    ]
    assert not system.ticked
    made.run_night()
    assert len(system.launched) == 2


def test_a_yes_is_waited_for_until_its_training_is_over():
    system = System(decides=True)
    made = replay(system)
    made.play(1)
    made.run_night()
    assert system.ticked == ["flight_delay_retrain"]


def test_a_run_that_fails_is_told_with_its_address():
    made = replay(System(status="FAILURE"))
    made.play(1)
    with pytest.raises(RunFailed, match="flight_delay_data ended as FAILURE: http://ui/runs/flight_delay_data"):
        made.run_night()


def test_stopped_outcomes_reach_neither_endpoint_nor_data():
    system = System()
    made = replay(system)
    stopped = DayConditions(outcomes=False)
    made.play(1, stopped)
    made.run_night(stopped)
    assert not made.callers.told  # type: ignore[attr-defined]
    assert [job for job, *_ in system.launched] == ["flight_delay_watch"]
    made.play(1)
    made.run_night()
    assert ("flight_delay_data", "2013-10-01", "2013-10-02") in system.launched


def test_who_does_not_ask_is_no_request():
    made = replay(System())
    made.play(1, DayConditions(change=lambda flight, row: None if flight.features["carrier"] == "noon" else row))
    assert made.requests == 3


def test_the_year_ends_where_it_is_told_to_with_a_last_night():
    system, story = System(), Story()
    year(replay(system), story, START + 4 * DAY)  # type: ignore[arg-type]
    assert system.launched == [
        ("flight_delay_data", "2013-10-01", "2013-10-03"),
        ("flight_delay_watch", "2013-10-01", "2013-10-03"),
        ("flight_delay_data", "2013-10-04", "2013-10-04"),
        ("flight_delay_watch", "2013-10-04", "2013-10-04"),
    ]
    assert story.times == 2


def test_a_trial_ticks_the_rollout_sensor_more_often():
    system, story = System(on_trial=2), Story()
    year(replay(system), story, START + 3 * DAY)  # type: ignore[arg-type]
    assert system.ticked == ["flight_delay_rollout"] * 2
    assert [job for job, *_ in system.launched] == ["flight_delay_data", "flight_delay_watch"]


def test_a_year_that_is_over_says_so():
    said: list[str] = []
    system = System()
    made = Replay(system, Callers(system), World(), Pace(1, 1, 0.0, 1.0, 0.0), said.append, no_wait)  # type: ignore[arg-type]
    year(made, Story(), START)  # type: ignore[arg-type]
    assert "No day is left to replay before 2013-10-01" in said[0]
