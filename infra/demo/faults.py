"""Plants faults one after the other, waits until the system catches each, and defines when a fault counts as caught.

Trainings that start by themselves are paused meanwhile, as a person would with `flight_delay_pause`, so that one fault
at a time is at work; decisions are still made and reported. Days without a fault come first. A day of autumn differs
from a year anyway, so a drift counts as caught only where a column that the fault touches drifts clearly more than on
any day without a fault.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.demo.replay import ORDINARY, DayConditions, Replay
from infra.demo.story import Story
from infra.demo.tally import format_table
from infra.demo.world import Flight
from infra.demo.worse import push_worse_model
from infra.run.first_start import MODEL, RunFailed
from mlops_assets.domain.registry.ledger import LedgerAction
from mlops_assets.domain.verdict import Outcome

_CONTROL = 3  # days without a fault
_CLEARLY = 0.5  # of the way from the most that a column drifted on those to 1, which is all there is
_MOST_DAYS = 5  # for a fault to be caught
_MOST_TRIAL_DAYS = 12  # for a version on trial to be decided
_GONE = "UA"  # the carrier with the most flights
_FAHRENHEIT = ("temp", "dewp")
_HEAD = ("fault", "caught by", "after", "requests", "finding")
_LONGEST = 90  # characters of a finding

Detector = Callable[[Story, str], str | None]  # the finding of the system about this day; None: it has none


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong outside the system, and how the system detects it."""

    name: str
    conditions: DayConditions
    by: str
    detect: Detector


def run_faults(replay: Replay, story: Story) -> str:
    """Every fault in turn; the table of what caught them."""
    rows = []
    try:
        _pause(replay, story, paused=True)
        story.say(f"\n{_CONTROL} days without a fault")
        control = replay.play(_CONTROL)
        _night(replay, story, ORDINARY)
        for fault in list_faults(_max_drift(story, [f"{day.day}" for day in control])):
            rows.append(_run_fault(replay, story, fault))
        rows.append(_release_worse_model(replay, story))
    finally:
        _pause(replay, story, paused=False)
    return "\n" + format_table(_HEAD, rows)


def list_faults(ordinary: Mapping[str, float]) -> Iterator[Fault]:
    """The faults of the world. `ordinary`: how much each column drifts at most on days without a fault."""
    yield Fault(
        "weather in degrees Celsius", DayConditions(celsius), "drift_report", detect_drift(_FAHRENHEIT, ordinary)
    )
    yield Fault(
        f"no flight of {_GONE}", DayConditions(without_carrier), "drift_report", detect_drift(("carrier",), ordinary)
    )
    yield Fault("no outcome arrives", DayConditions(outcomes=False), "performance", detect_missing_outcomes)


def celsius(flight: Flight, row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Somebody else's weather service."""
    there = {name: row[name] for name in _FAHRENHEIT if row.get(name) is not None}
    return {**row, **{name: (value - 32) / 1.8 for name, value in there.items()}}


def without_carrier(flight: Flight, row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return None if flight.features["carrier"] == _GONE else row


def detect_drift(columns: Sequence[str], ordinary: Mapping[str, float]) -> Detector:
    """Caught where a column that the fault touches drifts more than it ever did without."""

    def detect(story: Story, day: str) -> str | None:
        found = read_drift_distances(story.read_drift_details(day))
        most = {name: ordinary.get(name, 0.0) for name in columns}
        clear = {name: found[name] for name in columns if found.get(name, 0.0) > min_clear_distance(most[name])}
        return "; ".join(f"{name} {clear[name]:.2f}, before at most {most[name]:.2f}" for name in clear) or None

    return detect


def min_clear_distance(most: float) -> float:
    """The distance that stands out from days on which it was `most`; any does where the column did not drift then."""
    return most + _CLEARLY * (1 - most) if most else 0.0


def read_drift_distances(report: Mapping[str, Any] | None) -> dict[str, float]:
    """Of each feature that drifted on a day, the share of rows that moved, or the distance from all training rows."""
    findings = report["window"]["findings"] if report else []
    failed = [each for each in findings if each["aspect"] == "feature" and each["verdict"]["outcome"] == Outcome.FAIL]
    numbers = {each["column"]: each["verdict"]["numbers"] for each in failed}
    return {name: max(each.get(size, 0.0) for size in ("moved", "ks", "cramers_v")) for name, each in numbers.items()}


def detect_missing_outcomes(story: Story, day: str) -> str | None:
    """The fault is caught where the performance stage reports that quality is unknown for want of outcomes."""
    performance = story.read_performance_days(day).get(day)
    if performance is None or performance.labelled or performance.fall.outcome is not Outcome.INCONCLUSIVE:
        return None
    return f"none of {performance.rows} answers has an outcome; quality is {performance.fall.outcome}"


def _run_fault(replay: Replay, story: Story, fault: Fault) -> list[str]:
    """Days with the fault until it is caught; then a day without it."""
    story.say(f"\nFault: {fault.name}")
    before, found, days = replay.requests, None, 0
    while not found and days < _MOST_DAYS:
        (played,) = replay.play(1, fault.conditions)
        _night(replay, story, fault.conditions)
        found, days = fault.detect(story, str(played.day)), days + 1
    row = [fault.name, fault.by if found else "nobody", _days(days), f"{replay.requests - before:,}", _short(found)]
    story.say(f"    {'caught' if found else 'NOT CAUGHT'} after {row[2]} and {row[3]} requests")
    replay.play(1)
    _night(replay, story, ORDINARY)
    return row


def _release_worse_model(replay: Replay, story: Story) -> list[str]:
    """A person registers a model that learnt the last days by heart, and releases it as a canary."""
    name = "a worse model, pushed by hand"
    story.say(f"\nFault: {name}. It learns the flights of the last days by heart; that takes a minute")
    number = push_worse_model(replay.system, replay.airport, replay.next_day())
    before, first = replay.requests, replay.next_day()
    config = {"version": number, "strategy": "canary", "approver": "demo", "reason": "looks fine on the last days"}
    status, run = _launch_and_wait(replay, "release", "releasing", config)
    if status != "SUCCESS":
        story.report_news()
        return [name, "the trial before a release", "no day", "0", _short(f"release refused: {run}")]
    while replay.on_trial and (replay.next_day() - first).days < _MOST_TRIAL_DAYS:
        replay.play(1)
        replay.wait_for_trial_step()
    days = _days((replay.next_day() - first).days)
    decided = [
        each for each in replay.system.read_ledger() if each.action in (LedgerAction.ROLLBACK, LedgerAction.PROMOTED)
    ]
    last = decided[-1] if decided and not replay.on_trial else None
    gone = last is not None and last.action is LedgerAction.ROLLBACK
    requests = f"{replay.requests - before:,}"
    story.say(f"    {'rolled back by itself' if gone else 'NOT CAUGHT'} after {days} and {requests} requests")
    _night(replay, story, ORDINARY)
    return [name, "rollout sensor" if gone else "nobody", days, requests, _short(last.reason if last else None)]


def _night(replay: Replay, story: Story, conditions: DayConditions) -> None:
    replay.run_night(conditions)
    story.report_news()


def _pause(replay: Replay, story: Story, *, paused: bool) -> None:
    config = {"paused": paused, "who": "demo", "why": "one fault at a time" if paused else "the faults are over"}
    status, run = _launch_and_wait(replay, "pause", "pausing", config)
    if status != "SUCCESS":
        raise RunFailed(f"trainings could not be paused: {run}")
    story.say(f"Trainings that start by themselves {'are paused' if paused else 'go on'}: {run}")


def _launch_and_wait(replay: Replay, job: str, op: str, config: Mapping[str, Any]) -> tuple[str, str]:
    """Launch a job as a person does; return how its run ended, and the address of the run."""
    dagster = replay.system.dagster
    run_id = dagster.launch_with_config(f"{MODEL}_{job}", {"ops": {f"{MODEL}_{op}": {"config": dict(config)}}})
    return replay.system.wait_for_run(run_id), dagster.run_url(run_id)


def _max_drift(story: Story, days: Sequence[str]) -> dict[str, float]:
    """The most that each column drifted on any of these days."""
    most: dict[str, float] = {}
    for day in days:
        for name, distance in read_drift_distances(story.read_drift_details(day)).items():
            most[name] = max(distance, most.get(name, 0.0))
    return most


def _days(count: int) -> str:
    return f"{count} day{'s' if count != 1 else ''}"


def _short(text: str | None) -> str:
    line = " ".join((text or "nothing").split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
