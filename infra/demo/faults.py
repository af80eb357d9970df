"""Plants faults one after the other and waits until the system catches each. What counts as caught is said here.

Trainings that start by themselves are paused meanwhile, as a person would with `flight_delay_pause`, so that one fault
at a time is seen; decisions are made and told all the same. Days without a fault come first. A day of autumn differs
from a year anyway, so a drift counts as caught only where a column that the fault touches drifts clearly more than on
any day without a fault.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.demo.replay import ORDINARY, Replay, Weather
from infra.demo.story import Story
from infra.demo.tally import table
from infra.demo.world import Flight
from infra.demo.worse import pushed
from infra.run.first_start import MODEL, RunFailed
from mlops_assets.domain.registry.ledger import LedgerAction
from mlops_assets.domain.verdict import Outcome

_CONTROL = 3  # days without a fault
_CLEARLY = 0.5  # of the way from the most that a column drifted on those to 1, which is all there is
_MOST_DAYS = 5  # for a fault to be caught
_MOST_TRIAL_DAYS = 12  # for a version on trial to be decided
_GONE = "UA"  # the carrier with the most flights
_FAHRENHEIT = ("temp", "dewp")
_HEAD = ("fault", "caught by", "after", "requests", "what it said")
_LONGEST = 90  # characters of what it said

Seen = Callable[[Story, str], str | None]  # what the system says of this day; None: nothing


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong in the world, and how the system would tell."""

    name: str
    weather: Weather
    by: str
    seen: Seen


def faults(replay: Replay, story: Story) -> str:
    """Every fault in turn; the table of what caught them."""
    rows = []
    try:
        _pause(replay, story, paused=True)
        story.say(f"\n{_CONTROL} days without a fault")
        control = replay.play(_CONTROL)
        _night(replay, story, ORDINARY)
        for fault in planted(_most(story, [f"{day.day}" for day in control])):
            rows.append(_caught(replay, story, fault))
        rows.append(_worse(replay, story))
    finally:
        _pause(replay, story, paused=False)
    return "\n" + table(_HEAD, rows)


def planted(ordinary: Mapping[str, float]) -> Iterator[Fault]:
    """The faults of the world. `ordinary`: how much each column drifts at most on days without a fault."""
    yield Fault("weather in degrees Celsius", Weather(celsius), "drift_report", drifts(_FAHRENHEIT, ordinary))
    yield Fault(f"no flight of {_GONE}", Weather(without_carrier), "drift_report", drifts(("carrier",), ordinary))
    yield Fault("no outcome arrives", Weather(outcomes=False), "performance", unlabelled)


def celsius(flight: Flight, row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Somebody else's weather service."""
    there = {name: row[name] for name in _FAHRENHEIT if row.get(name) is not None}
    return {**row, **{name: (value - 32) / 1.8 for name, value in there.items()}}


def without_carrier(flight: Flight, row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return None if flight.features["carrier"] == _GONE else row


def drifts(columns: Sequence[str], ordinary: Mapping[str, float]) -> Seen:
    """Caught where a column that the fault touches drifts more than it ever did without."""

    def seen(story: Story, day: str) -> str | None:
        found = drifted(story.drift_details(day))
        out = {name: found[name] for name in columns if found.get(name, 0.0) > clearly(ordinary.get(name, 0.0))}
        told = [
            f"{name} {distance:.2f}, before at most {ordinary.get(name, 0.0):.2f}" for name, distance in out.items()
        ]
        return "; ".join(told) or None

    return seen


def clearly(most: float) -> float:
    """The distance that stands out from days on which it was `most`; any does where the column did not drift then."""
    return most + _CLEARLY * (1 - most) if most else 0.0


def drifted(report: Mapping[str, Any] | None) -> dict[str, float]:
    """Of each feature that drifted on a day, the distance from training: KS of a number, Cramér's V of a category."""
    findings = report["window"]["findings"] if report else []
    failed = [each for each in findings if each["aspect"] == "feature" and each["verdict"]["outcome"] == Outcome.FAIL]
    numbers = {each["column"]: each["verdict"]["numbers"] for each in failed}
    return {name: max(told.get("ks", 0.0), told.get("cramers_v", 0.0)) for name, told in numbers.items()}


def unlabelled(story: Story, day: str) -> str | None:
    """Caught where quality is said to be unknown for want of outcomes."""
    told = story.performance(day).get(day)
    if told is None or told.labelled or told.fall.outcome is not Outcome.INCONCLUSIVE:
        return None
    return f"none of {told.rows} answers has an outcome; quality is {told.fall.outcome}"


def _caught(replay: Replay, story: Story, fault: Fault) -> list[str]:
    """Days with the fault until it is caught; then a day without it."""
    story.say(f"\nFault: {fault.name}")
    before, found, days = replay.asked, None, 0
    while not found and days < _MOST_DAYS:
        (played,) = replay.play(1, fault.weather)
        _night(replay, story, fault.weather)
        found, days = fault.seen(story, str(played.day)), days + 1
    row = [fault.name, fault.by if found else "nobody", _days(days), f"{replay.asked - before:,}", _short(found)]
    story.say(f"    {'caught' if found else 'NOT CAUGHT'} after {row[2]} and {row[3]} requests")
    replay.play(1)
    _night(replay, story, ORDINARY)
    return row


def _worse(replay: Replay, story: Story) -> list[str]:
    """A person registers a model that learnt the last days by heart, and releases it as a canary."""
    name = "a worse model, pushed by hand"
    story.say(f"\nFault: {name}. It learns the flights of the last days by heart; that takes a minute")
    number = pushed(replay.system, replay.airport, replay.next_day())
    before, first = replay.asked, replay.next_day()
    config = {"version": number, "strategy": "canary", "approver": "demo", "reason": "looks fine on the last days"}
    status, run = _launched(replay, "release", "releasing", config)
    if status != "SUCCESS":
        story.tell()
        return [name, "the trial before a release", "no day", "0", _short(f"release refused: {run}")]
    while replay.on_trial and (replay.next_day() - first).days < _MOST_TRIAL_DAYS:
        replay.play(1)
        replay.judged()
    days = _days((replay.next_day() - first).days)
    decided = [
        each for each in replay.system.entries() if each.action in (LedgerAction.ROLLBACK, LedgerAction.PROMOTED)
    ]
    last = decided[-1] if decided and not replay.on_trial else None
    gone = last is not None and last.action is LedgerAction.ROLLBACK
    asked = f"{replay.asked - before:,}"
    story.say(f"    {'rolled back by itself' if gone else 'NOT CAUGHT'} after {days} and {asked} requests")
    _night(replay, story, ORDINARY)
    return [name, "rollout sensor" if gone else "nobody", days, asked, _short(last.reason if last else None)]


def _night(replay: Replay, story: Story, weather: Weather) -> None:
    replay.night(weather)
    story.tell()


def _pause(replay: Replay, story: Story, *, paused: bool) -> None:
    config = {"paused": paused, "who": "demo", "why": "one fault at a time" if paused else "the faults are over"}
    status, run = _launched(replay, "pause", "pausing", config)
    if status != "SUCCESS":
        raise RunFailed(f"trainings could not be paused: {run}")
    story.say(f"Trainings that start by themselves {'are paused' if paused else 'go on'}: {run}")


def _launched(replay: Replay, job: str, op: str, config: Mapping[str, Any]) -> tuple[str, str]:
    """How a job of a person ended, and where that stands."""
    dagster = replay.system.dagster
    run_id = dagster.launch_with(f"{MODEL}_{job}", {"ops": {f"{MODEL}_{op}": {"config": dict(config)}}})
    return replay.system.wait_for(run_id), dagster.run_url(run_id)


def _most(story: Story, days: Sequence[str]) -> dict[str, float]:
    """The most that each column drifted on any of these days."""
    most: dict[str, float] = {}
    for day in days:
        for name, distance in drifted(story.drift_details(day)).items():
            most[name] = max(distance, most.get(name, 0.0))
    return most


def _days(count: int) -> str:
    return f"{count} day{'s' if count != 1 else ''}"


def _short(text: str | None) -> str:
    told = " ".join((text or "nothing").split())
    return told if len(told) <= _LONGEST else f"{told[:_LONGEST]}…"
