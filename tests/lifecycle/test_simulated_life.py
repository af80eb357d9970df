"""Lives of ninety days and of whole years, on the code that decides. `-s` prints the counts.

What is held: nothing is trained where nothing changes; a real change is learnt from soon; a worse version never gets
everybody and is soon gone; one cause is one run, whatever daemons and clocks do; and the ledger knows who answered.
"""

import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.declaration.monitoring import Cause
from mlops_assets.domain.retraining.records import RetrainDecision
from mlops_assets.domain.verdict import Outcome
from serving.contract.arms import Strategy
from tests.kit.specs import ROLLOUT, model_spec
from tests.lifecycle.simulator.life import MODEL, Life, with_policies
from tests.lifecycle.simulator.parts import START, Faults
from tests.lifecycle.simulator.world import Recorded, Shift, Synthetic, World

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(600)]

COOLDOWN = 7  # days, of the policy in force
ROLLED_BACK_WITHIN = 5_000  # requests that the worse version answered
STEPS = ROLLOUT.with_changes(steps=(0.25, 0.5, 1.0), patience=timedelta(days=14))
DECLARED = model_spec(model=MODEL, replay=START, rollout=STEPS)
WATCHING = with_policies(DECLARED, causes=(Cause.QUALITY, Cause.DRIFT))  # causes that may be false

Begin = Callable[..., Life]


def say(text: str) -> None:
    sys.stdout.write(f"  {text}\n")


@pytest.fixture
def begin(tmp_path) -> Iterator[Begin]:
    """Begins lives; in the end every request of each has to have its one answer in the ledger."""
    lives: list[Life] = []

    def made(world: World, *, seed: int = 0, spec: ModelSpec = WATCHING, faults: Faults | None = None) -> Life:
        lives.append(Life(Path(tmp_path) / str(len(lives)), world, spec, seed, faults))
        return lives[-1]

    yield made
    asked, wrong = sum(life.requests for life in lives), sum(life.misrouted for life in lives)
    unknown = sum(life.unanswered for life in lives)
    say(f"  {len(lives)} lives, {asked:,} requests: {wrong} that the ledger tells wrong, {unknown} moments it lacks")
    assert asked == sum(len(rows) for life in lives for rows in life.rows.values())
    assert (wrong, unknown) == (0, 0)


def decisions_of(life: Life) -> list[RetrainDecision]:
    return [event.record.decision for event in life.instance.decisions]


def causes(life: Life) -> list[str]:
    return [run.run_key.split(":")[2] for run in life.instance.runs if run.job == "train"]


# --- nothing changes ---


def test_years_in_which_nothing_changes_train_nothing(begin):
    years = 2
    lives = [begin(Synthetic(seed, requests=600), seed=seed).run(365) for seed in range(years)]
    false = sum(len(life.started) for life in lives)
    drifted = sum(day.verdict.outcome is Outcome.FAIL for life in lives for day in life.watch.drift_days)
    fell = sum(day.fall.outcome is Outcome.FAIL for life in lives for day in life.watch.quality_days)
    say(f"no change, {years} years of 600 requests a day: {false} trainings (at most {years}), {drifted} days drifted,")
    say(f"  on {fell} quality fell, {sum(len(life.instance.decisions) for life in lives)} decisions")
    assert false <= years


def test_bad_days_are_inconclusive_and_train_nothing(begin):
    """Nobody asks, labels stop, records are half written, clocks jump: all of it in ninety days without a change."""
    faults = Faults(
        unreadable=frozenset({41, 42}),
        jumps={50: timedelta(hours=36), 60: timedelta(hours=-36), 61: timedelta(days=-20)},
    )
    world = Synthetic(7, requests=800, silent=range(20, 26), unlabelled=range(30, 40))
    life = begin(world, seed=7, faults=faults).run(90)
    told = [made.reason for made in decisions_of(life) if made.outcome is Outcome.INCONCLUSIVE]
    say(f"bad days: {len(life.started)} trainings (0), {len(told)} of {len(life.instance.decisions)} inconclusive")
    assert life.started == []
    for what in ("ended 4 days ago", "half written", "no label has ripened"):
        assert any(what in reason for reason in told)


# --- something changes ---


def test_a_real_change_is_trained_on_within_three_windows(begin):
    day, lives = 20, 6
    late, learnt = [], 0
    for seed in range(lives):
        life = begin(Synthetic(seed, requests=1_500, shift=Shift(day)), seed=seed).run(day + 16)
        late.append(min(life.started, default=999) - day)
        learnt += life.champion.number != "1"
    say(f"a change on day {day}: trained after {late} windows (at most 3 in each), {learnt} of {lives} learnt it")
    assert all(0 < windows <= 3 for windows in late)
    assert learnt == lives


def test_drift_alone_alarms_and_waits_for_new_rows(begin):
    spec = with_policies(WATCHING, new_rows=30_000)
    life = begin(Synthetic(3, requests=1_000, shift=Shift(10, turned=False)), seed=3, spec=spec).run(24)
    alarms = sum(day.alarm.outcome is Outcome.FAIL for day in life.watch.drift_days)
    alone = sum("drift alone is not enough" in made.reason for made in decisions_of(life))
    say(f"inputs move, quality holds: {alarms} days of alarm, {alone} times drift alone was not enough, "
        f"{len(life.started)} trainings (0)")  # fmt: skip
    assert alarms > 10
    assert life.started == []


# --- a worse version ---


@pytest.mark.parametrize(("what", "harm"), [("worse answers", {"damage": 1.0}), ("3 % errors", {"errors": 0.03})])
def test_a_worse_version_never_gets_everybody_and_is_soon_gone(begin, what, harm):
    lives, taken = 6, []
    for seed in range(lives):
        life = begin(Synthetic(seed, requests=2_000), seed=seed).run(2)
        number = life.push(Strategy.CANARY, **harm)
        most = 0.0
        while life.day < 22 and life.state and life.state.challenger:
            life.live()
            most = max(most, next((arm.weight for arm in life.state.arms if arm.number == number), 0.0))
        assert life.champion.number == "1"
        assert most < 1
        taken += [requests for version, requests in life.rollbacks if version == number]
    say(f"{what}: {len(taken)} of {lives} rolled back (all), after {sorted(taken)} of its requests "
        f"(at most {ROLLED_BACK_WITHIN:,})")  # fmt: skip
    assert len(taken) == lives
    assert max(taken) <= ROLLED_BACK_WITHIN


def test_only_a_worse_champion_is_rolled_back(begin):
    lives, days, wrong = 4, [], 0
    for seed in range(lives):
        life = begin(Synthetic(seed, requests=1_500), seed=seed, spec=with_policies(DECLARED, causes=())).run(5)
        life.push(Strategy.BLUE_GREEN, damage=1.0)
        while life.day < 19 and life.champion.number != "1":
            life.live()
        days.append(life.day - 5)
        assert life.champion.number == "1"
        assert life.entries[-1].actor == "monitoring"
        equal = begin(Synthetic(seed + 50, requests=1_500), seed=seed, spec=with_policies(DECLARED, causes=())).run(5)
        equal.push(Strategy.BLUE_GREEN)
        wrong += equal.run(15).champion.number == "1"
    say(f"pushed to everybody: a worse one taken back after {days} days (at most 4), an equal one {wrong} times (0)")
    assert max(days) <= 4
    assert wrong == 0


# --- one cause, one run ---


def test_one_cause_is_one_run_whatever_daemons_and_clocks_do(begin):
    off = timedelta(hours=36)
    jumps = dict.fromkeys(range(22, 90, 7), -off) | dict.fromkeys(range(25, 90, 7), off)
    faults = Faults(daemons=2, repeats=3, forgets=0.3, dies=0.3, undecided=0.3, jumps=jumps)
    world, starts, repeated = Synthetic(5, requests=1_200, shift=Shift(20)), [], 0
    skewed = 0
    for seed in range(3):
        life = begin(world, seed=seed, faults=faults).run(90)
        keys = [run.run_key for run in life.instance.runs]
        assert len(keys) == len(set(keys))
        skewed += sum("the clock shows" in made.reason for made in decisions_of(life))
        trainings = [key for key in life.instance.repeated if key.startswith("retrain:")]
        repeated += len(trainings)
        starts.append(life.started)
        assert all(
            later - earlier >= COOLDOWN - 2 for earlier, later in zip(life.started, life.started[1:], strict=False)
        )
        assert 0 < life.started[0] - 20 <= 4
    say(f"two daemons, three ticks each, forgetting, dying, jumping clocks: trainings on days {starts}, "
        f"{repeated} asked for twice (0)")  # fmt: skip
    say(f"  {skewed} decisions saw a clock that was behind")
    assert repeated == 0
    assert skewed > 0


def test_every_cause_may_speak_in_ninety_days(begin):
    """All causes on: new rows, age and the schedule's place among them; what they start stays within the budget."""
    spec = with_policies(DECLARED, new_rows=20_000)
    life = begin(Synthetic(9, requests=1_200, shift=Shift(45)), seed=9, spec=spec).run(90)
    say(f"all causes: {causes(life)} on days {life.started}, champion {life.champion.version}")
    assert set(causes(life)) >= {"data_volume"}
    assert all(sum(day - 30 < each <= day for each in life.started) <= 4 for day in life.started)


# --- real data ---

CENSUS = ["AGEP", "SCHL", "MAR", "RELP", "DIS", "ESP", "CIT", "MIG", "MIL", "ANC", "NATIVITY", "DEAR", "DEYE", "DREM"]


@pytest.mark.shared_data
def test_a_census_that_did_not_change_trains_at_most_once_a_year(begin, shared_data):
    """Three years of people as one year of 570 a day, in random order within their year."""
    folder = shared_data / "acs_employment_ma"
    before, after, outcome = (
        pd.read_parquet(folder / f"employment_MA_{part}.pq") for part in ("reference", "analysis", "analysis_target")
    )
    people = pd.concat([before, after.merge(outcome, on="id")]).sample(frac=1, random_state=1)
    people = people.sort_values("year", kind="stable").astype(dict.fromkeys(CENSUS[1:], str))
    world = Recorded(pd.DataFrame(people[CENSUS]), people["employed"].to_numpy(int), len(before), 570)
    life = begin(world).run(365)
    alarms = sum(day.alarm.outcome is Outcome.FAIL for day in life.watch.drift_days)
    say(
        f"acs_employment_ma, 365 windows of 570 rows: {len(life.started)} trainings (at most 1), {alarms} days of alarm"
    )
    assert len(life.started) <= 1


@pytest.mark.shared_data
def test_a_crisis_is_trained_on_within_three_windows(begin, shared_data):
    """Trained on the first third, before calls went to mobile phones and interest rates fell."""
    frame = pd.read_csv(shared_data / "bank_marketing" / "bank-additional-full.csv.gz", sep=";")
    target = (frame["y"] == "yes").to_numpy(int)
    life = begin(Recorded(frame.drop(columns=["duration", "y"]), target, len(frame) // 3, 4_000)).run(6)
    say(f"bank_marketing, windows of 4,000 rows: trained after {life.started} windows ({causes(life)}, at most 3)")
    assert 0 < life.started[0] <= 3
