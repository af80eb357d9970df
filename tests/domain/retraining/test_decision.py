"""Yes or no, its cause and its reason: one row of the truth table each."""

from datetime import timedelta

import pytest

from mlops_assets.declaration.monitoring import Cause
from mlops_assets.domain.retraining.decision import decide
from mlops_assets.domain.verdict import Outcome
from tests.kit.watching import NOW, RETRAIN, evidence, verdict

FELL, ALARM, BELIEVED = (verdict(Outcome.FAIL, "realised"), verdict(Outcome.FAIL), verdict(Outcome.PASS, "trust"))
UNSURE = verdict(Outcome.INCONCLUSIVE)
LOW = verdict(Outcome.FAIL, "estimated")
DAYS = [timedelta(days=n) for n in range(400)]


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"realised": FELL}, Cause.QUALITY),
        ({"drift": ALARM, "estimated": LOW}, Cause.DRIFT),
        ({"drift": ALARM, "realised": FELL}, Cause.QUALITY),  # the most telling cause is named
        ({"drift": ALARM, "new_rows": 10_000}, Cause.DRIFT),
        ({"new_rows": 10_000}, Cause.DATA_VOLUME),
        ({"trained_at": NOW - DAYS[60]}, Cause.STALENESS),
        ({"due": True}, Cause.SCHEDULE),
        ({"person": "ana"}, Cause.PERSON),
        ({"person": "ana", "realised": FELL, "due": True}, Cause.PERSON),
        # bad evidence stops neither a person nor the schedule
        ({"due": True, "problems": ("no traffic",)}, Cause.SCHEDULE),
        ({"due": True, "champion": None, "trained_at": None}, Cause.SCHEDULE),
        ({"person": "ana", "trained_at": NOW + DAYS[1]}, Cause.PERSON),
        # a person is not held back either
        ({"person": "ana", "paused": True, "runs": (NOW - DAYS[1],) * 9}, Cause.PERSON),
    ],
)
def test_yes(changes, cause):
    decision = decide(RETRAIN, evidence(**changes), NOW)
    assert (decision.yes, decision.cause, decision.outcome) == (True, cause, Outcome.PASS)
    assert decision.run_key
    assert decision.run_key.startswith(f"retrain:shop:{cause}:")
    assert decision.reason.startswith("Yes: ")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "nobody asks"),
        ({"drift": ALARM}, "drift alone is not enough"),
        ({"drift": ALARM, "estimated": LOW, "trust": None}, "drift alone is not enough"),
        ({"drift": ALARM, "estimated": LOW, "trust": verdict(Outcome.FAIL, "trust")}, "drift alone is not enough"),
        ({"drift": ALARM, "new_rows": 9_999}, "drift alone is not enough"),
        ({"estimated": LOW}, "nobody asks"),  # an estimate alone moves nothing
        ({"realised": FELL, "new_rows": 999}, "only 999 labelled rows are new"),
        ({"drift": ALARM, "estimated": LOW, "new_rows": 999}, "only 999 labelled rows are new"),
        ({"trained_at": NOW - DAYS[60], "new_rows": 0}, "only 0 labelled rows are new"),
        ({"trained_at": NOW - DAYS[30]}, "30 days old, which is a warning"),
    ],
)
def test_a_clear_no(changes, said):
    decision = decide(RETRAIN, evidence(**changes), NOW)
    assert (decision.yes, decision.cause, decision.run_key, decision.outcome) == (False, None, None, Outcome.FAIL)
    assert said in decision.reason


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"running": True}, "a training is running"),
        ({"running": True, "person": "ana", "realised": verdict(Outcome.PASS)}, "a training is running"),
        ({"paused": True}, "retraining is paused"),
        ({"on_trial": "1.0.3"}, "version 1.0.3 is on trial"),
        ({"runs": (NOW - DAYS[6],)}, "the cooldown is 7 days"),
        ({"runs": tuple(NOW - DAYS[n] for n in (8, 15, 22, 29))}, "4 runs began within 30 days, 4 are allowed"),
    ],
)
def test_what_holds_a_run_back_is_named_with_its_cause(changes, said):
    decision = decide(RETRAIN, evidence(**{"realised": FELL, **changes}), NOW)
    assert (decision.yes, decision.run_key, decision.outcome) == (False, None, Outcome.FAIL)
    assert decision.cause is (Cause.PERSON if "person" in changes else Cause.QUALITY)
    assert said in decision.reason


def test_the_cost_of_a_run_is_weighed_before_it_is_spent():
    tight = RETRAIN.with_changes(cost_at_most=2.0)
    assert decide(tight, evidence(realised=FELL, spent=1.5, cost=0.5), NOW).yes
    decision = decide(tight, evidence(realised=FELL, spent=1.5, cost=0.6), NOW)
    assert not decision.yes
    assert "2.1 hours within 30 days, 2 are allowed" in decision.reason


def test_all_that_holds_a_run_back_is_told_at_once():
    decision = decide(RETRAIN, evidence(realised=FELL, paused=True, runs=(NOW - DAYS[1],)), NOW)
    assert "paused and the last run began 1 days ago" in decision.reason


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"problems": ("no traffic in the last 3 windows",)}, "no traffic"),
        ({"problems": ("the window has one row",), "realised": FELL}, "one row"),
        ({"problems": ("the bundle's profile has format 1",), "drift": ALARM, "new_rows": 99_999}, "format 1"),
        ({"problems": ("window 2013-07-01 is half written",), "trained_at": NOW - DAYS[99]}, "half written"),
        ({"realised": None}, "realised quality is not known"),
        ({"realised": UNSURE}, "as seen"),
        ({"drift": None}, "drift is not known"),
        ({"drift": UNSURE}, "no drift alarm"),
        ({"new_rows": None}, "new labelled rows is not known"),
        ({"realised": FELL, "new_rows": None}, "new labelled rows is not known"),
        ({"trained_at": None}, "age is not known"),
        ({"champion": None, "realised": FELL}, "no champion"),
        ({"trained_at": NOW + DAYS[1], "realised": FELL, "due": True}, "but the champion was trained"),
        ({"runs": (NOW + timedelta(hours=1),), "realised": FELL}, "but a run began"),
    ],
)
def test_what_cannot_be_judged_is_inconclusive_and_never_a_yes(changes, said):
    decision = decide(RETRAIN, evidence(**changes), NOW)
    assert (decision.yes, decision.run_key, decision.outcome) == (False, None, Outcome.INCONCLUSIVE)
    assert said in decision.reason


def test_an_undeclared_cause_starts_nothing():
    quiet = RETRAIN.with_changes(causes=())
    assert not decide(quiet, evidence(realised=FELL, drift=ALARM, new_rows=99_999, due=True), NOW).yes
    assert decide(quiet, evidence(person="ana"), NOW).yes


def test_the_run_key_names_champion_window_and_cause():
    def key(**changes) -> str | None:
        return decide(RETRAIN, evidence(**{"realised": FELL, **changes}), NOW).run_key

    assert key() == key(new_rows=9_000, spent=2.0)
    others = [key(champion="8"), key(window="2013-07-02"), key(realised=verdict(Outcome.PASS), due=True)]
    assert len({key(), *others}) == 4
    assert key(person="ana, 10:00") != key(person="ana, 11:00")


def test_the_numbers_are_told_with_a_no_too():
    seen = evidence(drift=verdict(Outcome.PASS, drifted=1.0))
    numbers = decide(RETRAIN, seen, NOW).numbers
    assert numbers["new_rows"] == 4_000
    assert numbers["age_days"] == numbers["days_since_run"] == 10
    assert numbers["drift.drifted"] == 1
