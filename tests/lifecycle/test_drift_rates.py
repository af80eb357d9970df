"""How often drift is seen where there is none, and missed where there is, on the code that decides. `-s` prints."""

import sys
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mlops_assets.domain.drift.alarm import judge_alarm
from mlops_assets.domain.drift.distances import Aspect
from mlops_assets.domain.drift.reference import Reference
from mlops_assets.domain.drift.sketch import Sketch
from mlops_assets.domain.drift.window import WindowDrift, judge_window
from mlops_assets.domain.retraining.false_alarms import draw_sketch, redraw_reference
from mlops_assets.domain.verdict import Outcome
from tests.kit.watching import DRIFT, reference_of, table_of

DAYS = 365
WORDS = {size: np.array([f"v{i}" for i in range(size)], dtype=object) for size in (3, 30, 500)}


def say(text: str) -> None:
    sys.stdout.write(f"  {text}\n")


def batch(draw: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
    """20 columns as they are met: bell-shaped, skewed, mostly zero, few values, with gaps, categories few and many."""
    found = {f"normal{i}": draw.normal(size=rows) for i in range(6)}
    found |= {f"skewed{i}": draw.lognormal(0, 2, rows) for i in range(4)}
    found |= {f"zeros{i}": np.where(draw.random(rows) < 0.7, 0.0, draw.exponential(1, rows)) for i in range(3)}
    found |= {f"few{i}": draw.binomial(4, 0.3, rows).astype(float) for i in range(2)}
    found |= {f"gaps{i}": np.where(draw.random(rows) < 0.2, np.nan, draw.normal(size=rows)) for i in range(2)}
    found |= {f"of{size}": draw.choice(words, rows, p=_zipf(size)) for size, words in WORDS.items()}
    return found


def _zipf(size: int) -> np.ndarray:
    weights = 1 / np.arange(1, size + 1)
    return weights / weights.sum()


def trained(draw: np.random.Generator, rows: int) -> Reference:
    found = batch(draw, rows)
    words = {name: values for name, values in found.items() if values.dtype == object}
    return reference_of({name: v for name, v in found.items() if name not in words}, words).features


def judged(reference: Reference, live: Sketch) -> WindowDrift:
    return judge_window("simulated", {Aspect.FEATURE: (reference, live)}, DRIFT)


def alarms(windows: list[WindowDrift]) -> int:
    """Alarms that begin: one that goes on is the same."""
    raised = [judge_alarm(windows[: day + 1], DRIFT).outcome is Outcome.FAIL for day in range(len(windows))]
    return sum(now and not before for now, before in zip(raised, [False, *raised], strict=False))


@pytest.mark.simulation
@pytest.mark.parametrize(("rows", "trained_on", "years"), [(500, 2_000, 8), (1_000, 20_000, 4), (5_000, 50_000, 2)])
def test_windows_of_rows_that_never_change_hardly_ever_alarm(rows, trained_on, years):
    raised = drifted = 0
    for year in range(years):
        draw = np.random.default_rng(year)
        reference = trained(draw, trained_on)
        windows = [judged(reference, Sketch.of(table_of(batch(draw, rows)), reference)) for _ in range(DAYS)]
        drifted += sum(window.outcome is Outcome.FAIL for window in windows)
        raised += alarms(windows)
    say(
        f"no drift, 20 columns, {rows:,} rows a day, {trained_on:,} trained on, {years} years of days: "
        f"{drifted} of {years * DAYS:,} windows drifted, {raised} alarms (limit 1 a year)"
    )
    assert raised <= years


@pytest.mark.simulation
@pytest.mark.parametrize("rows", [500, 2_000, 100_000])
def test_windows_drawn_from_the_profile_hardly_ever_alarm(rows):
    draw, years = np.random.default_rng(rows), 10
    known = trained(draw, 20_000)
    raised = drifted = 0
    for _ in range(years):
        reference = redraw_reference(known, draw)
        windows = [judged(reference, draw_sketch(known, rows, draw)) for _ in range(DAYS // 5)]
        drifted += sum(window.outcome is Outcome.FAIL for window in windows)
        raised += alarms(windows)
    say(f"no drift, drawn from the profile, {rows:,} rows: {drifted} of {years * (DAYS // 5)} windows, {raised} alarms")
    assert raised <= years / 5


@pytest.mark.simulation
def test_the_textbook_rule_is_what_it_is_said_to_be():
    """Any of 20 columns with p < 0.05: what the policy is there to avoid."""
    draw = np.random.default_rng(3)
    reference = reference_of({f"x{i}": draw.normal(size=20_000) for i in range(20)}).features
    live = [table_of({f"x{i}": draw.normal(size=2_000) for i in range(20)}) for _ in range(200)]
    windows = [judged(reference, Sketch.of(rows, reference)) for rows in live]
    lowest = [min(each.verdict.numbers["p"] for each in w.findings if each.aspect is Aspect.FEATURE) for w in windows]
    rate = np.mean(np.array(lowest) < 0.05)
    say(
        f"any of 20 columns with KS p < 0.05: {rate:.0%} of windows alarm where nothing changed; here: "
        f"{sum(w.outcome is Outcome.FAIL for w in windows)} of {len(windows)} drift"
    )
    assert rate > 0.4
    assert all(window.outcome is Outcome.PASS for window in windows)


SHIFTS = {
    "a mean by 0.4 standard deviations": lambda rows, draw: rows | {"normal0": rows["normal0"] + 0.4},
    "a unit (x 1.8 + 32)": lambda rows, draw: rows | {"normal0": rows["normal0"] * 1.8 + 32},
    "a scale by 1.6": lambda rows, draw: rows | {"normal0": rows["normal0"] * 1.6},
    "zeros of 20 % of rows": lambda rows, draw: (
        rows | {"normal0": np.where(draw.random(len(rows["normal0"])) < 0.2, 0.0, rows["normal0"])}
    ),
    "10 % missing": lambda rows, draw: (
        rows | {"skewed0": np.where(draw.random(len(rows["skewed0"])) < 0.1, np.nan, rows["skewed0"])}
    ),
    "a value that vanishes": lambda rows, draw: rows | {"of3": np.where(rows["of3"] == "v1", "v0", rows["of3"])},
    "5 % of a value never seen": lambda rows, draw: (
        rows | {"of30": np.where(draw.random(len(rows["of30"])) < 0.05, "new", rows["of30"])}
    ),
}


@pytest.mark.simulation
@pytest.mark.parametrize("rows", [1_000, 5_000])
@pytest.mark.parametrize("what", SHIFTS)
def test_a_real_shift_is_an_alarm_within_three_windows(what, rows):
    draw, runs, caught = np.random.default_rng(5), 20, 0
    reference = trained(draw, 20_000)
    for _ in range(runs):
        shifted = [SHIFTS[what](batch(draw, rows), draw) for _ in range(3)]
        windows = [judged(reference, Sketch.of(table_of(live), reference)) for live in shifted]
        caught += alarms(windows) > 0
    say(f"{what}, {rows:,} rows a window: {caught} of {runs} alarms within 3 windows (at least 19)")
    assert caught >= 19


# --- real data ---


def framed(frame: pd.DataFrame, columns: list[str]) -> Reference:
    numbers = {c: frame[c].to_numpy(float) for c in columns if frame[c].dtype.kind in "if"}
    words = {c: frame[c].astype(str).to_numpy(object) for c in columns if c not in numbers}
    return reference_of(numbers, words).features


def through(reference: Reference, frame: pd.DataFrame, rows: int) -> Iterator[WindowDrift]:
    text = {c: frame[c].astype(str) for c in reference if frame[c].dtype.kind not in "if"}
    table = pa.Table.from_pandas(frame[list(reference)].assign(**text), preserve_index=False)
    for start in range(0, len(table) - rows + 1, rows):
        yield judged(reference, Sketch.of(table.slice(start, rows), reference))


CENSUS = ["AGEP", "SCHL", "MAR", "RELP", "DIS", "ESP", "CIT", "MIG", "MIL", "ANC", "NATIVITY", "DEAR", "DEYE", "DREM"]


@pytest.mark.shared_data
@pytest.mark.parametrize("rows", [500, 570, 5_000])
def test_three_years_of_an_unchanged_census_give_no_alarm(rows, shared_data):
    """People in random order within their year: the files of 2017 and 2018 put everyone in institutions together."""
    folder = shared_data / "acs_employment_ma"
    before = pd.read_parquet(folder / "employment_MA_reference.pq")
    after = pd.read_parquet(folder / "employment_MA_analysis.pq").sample(frac=1, random_state=1)
    windows = list(through(framed(before, CENSUS), after.sort_values("year", kind="stable"), rows))
    drifted = [window for window in windows if window.outcome is Outcome.FAIL]
    say(f"acs_employment_ma, {len(windows)} windows of {rows:,} rows: {len(drifted)} drifted, {alarms(windows)} alarms")
    assert alarms(windows) == 0


@pytest.mark.shared_data
def test_a_census_in_file_order_shows_its_assembly(shared_data):
    folder = shared_data / "acs_employment_ma"
    before, after = (pd.read_parquet(folder / f"employment_MA_{part}.pq") for part in ("reference", "analysis"))
    year = list(through(framed(before, CENSUS), after.query("year == 2016"), 5_000))
    assert [window.outcome for window in year] == [Outcome.PASS] * len(year)
    windows = list(through(framed(before, CENSUS), after, 5_000))
    say(f"acs_employment_ma in file order: {alarms(windows)} alarms, first: {windows[-1].reason}")
    assert alarms(windows) == 1
    assert windows[-1].columns == ("RELP",)


@pytest.mark.shared_data
def test_a_crisis_is_an_alarm_within_three_windows(shared_data):
    frame = pd.read_csv(shared_data / "bank_marketing" / "bank-additional-full.csv.gz", sep=";")
    known = [name for name in frame.columns if name not in ("duration", "y")]
    third = len(frame) // 3
    reference = framed(frame.iloc[:third], known)
    windows = list(through(reference, frame.iloc[2 * third :], 1_000))[:3]
    say(f"bank_marketing: {windows[0].reason}")
    assert alarms(windows) == 1
    assert {"euribor3m", "emp.var.rate", "contact"} <= set(windows[-1].columns)
