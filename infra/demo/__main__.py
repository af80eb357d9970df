"""`make demo`: a scenario against a running `make run`, reported line by line.

year     the days that follow the model's clock, as they were in 2013. Nothing is scripted.
faults   the same days with faults list_faults one after the other; ends with what caught them, and when.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

from infra.demo.callers import Callers
from infra.demo.faults import run_faults
from infra.demo.replay import Pace, Replay
from infra.demo.story import Story, format_release
from infra.demo.system import System, SystemNotReady
from infra.demo.world import Airport
from infra.run.dagster_client import DagsterRefused
from infra.run.first_start import MODEL, RunFailed

_END = datetime(2014, 1, 1, tzinfo=UTC)  # the last flights of the example left on the day before


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    options = _parser().parse_args(arguments)
    say = partial(print, flush=True)
    try:
        pace = Pace(options.step, options.trial_step, options.pace, options.share, options.by_keys)
        system = System(environment)
        version = system.require_live()
        say(f"{MODEL} {version} is live. The model's clock is at {system.now():%Y-%m-%d %H:%M} UTC.")
        return _play(options, system, pace, say)
    except (SystemNotReady, RunFailed, DagsterRefused, ConnectionError, TimeoutError, ValueError) as err:
        say(f"{err}")
        return 1


def _play(options: argparse.Namespace, system: System, pace: Pace, say: "partial[None]") -> int:
    callers = Callers(system.endpoint.url, MODEL)
    story = Story(system, say)
    try:
        replay = Replay(system, callers, Airport(), pace, say)
        story.skip_past()
        if options.scenario == "faults":
            say(run_faults(replay, story))
        else:
            year(replay, story, min(options.until, _END))
        say(f"\n{story.summary(replay.requests)}")
    except KeyboardInterrupt:
        say(f"\nStopped; the model's clock is at {system.now():%Y-%m-%d %H:%M}. `make demo` goes on from there.")
        say(f"In force: {format_release(system.read_release())}")
    finally:
        callers.close()
    return 0


def year(replay: Replay, story: Story, until: datetime) -> None:
    """Days as they were. More looks while a version is on trial; data and watching at the end of each step."""
    if not replay.days_left(until):
        replay.say(f"No day is left to replay before {until:%Y-%m-%d}: start anew with another MLOPS_HOME.")
    while left := replay.days_left(until):
        waiting = replay.pace.step - len(replay.unwatched)
        replay.play(min(replay.pace.trial if replay.on_trial else replay.pace.step, waiting, left))
        if replay.on_trial:
            replay.wait_for_trial_step()
        if len(replay.unwatched) >= replay.pace.step or not replay.days_left(until):
            replay.run_night()
        story.report_news()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("make demo", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("scenario", nargs="?", choices=["year", "faults"], default="year")
    add("--pace", type=float, default=0.0, metavar="SECONDS", help="the least that a day takes (default: no wait)")
    add("--step", type=int, default=7, metavar="DAYS", help="days until data comes in and is watched (default: 7)")
    add("--trial-step", type=int, default=2, metavar="DAYS", help="days between looks at a trial (default: 2)")
    add("--share", type=float, default=1.0, help="part of the flights that callers request (default: 1)")
    add("--by-keys", type=float, default=0.02, help="part of the requests that bring keys only (default: 0.02)")
    add("--until", type=_day, default=_END, metavar="DAY", help="the day to stop before, e.g. 2013-11-15")
    return parser


def _day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
