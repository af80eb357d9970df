"""One row of each gate's truth table."""

from dataclasses import replace
from typing import Any

import pytest

from mlops_assets.declaration.evaluation import GateSpec
from mlops_assets.domain.evaluation.evidence import (
    Disparity,
    Evidence,
    FairnessReport,
    GuardSlice,
    Interval,
    Measured,
    RefitEvidence,
    Rival,
    Robustness,
    Stress,
)
from mlops_assets.domain.evaluation.gates import Gate, judge
from mlops_assets.domain.verdict import Outcome, Verdict, worst

PASS, FAIL, OPEN, ERROR = Outcome.PASS, Outcome.FAIL, Outcome.INCONCLUSIVE, Outcome.ERROR
NAN = float("nan")
NOBODY = Rival(None, None, "")


def around(low: float, high: float) -> Interval:
    return Interval((low + high) / 2, low, high, 0.95, "delta")


def against(low: float, high: float) -> Rival:
    return Rival("7", around(low, high), "")


def guard(low: float, high: float, rows: int = 1000, name: str = "origin: EWR") -> GuardSlice:
    return GuardSlice(name, rows, 500, around(low, high), "")


def stressed(loss: float | None, broken: int = 0) -> Robustness:
    stress = Stress("a tenth of the cells missing", None if loss is None else 0.7 - loss, loss, broken)
    return Robustness(1000, 0.7, (stress,), (Stress("distance", 0.5, 0.2, 0),))


def apart(low: float, high: float) -> FairnessReport:
    return FairnessReport((), (Disparity("sex", "demographic parity", around(low, high), 0.1, "f", "m", ()),), ())


POLICY = GateSpec(
    metric="auc",
    confidence=0.975,
    guard_loss=0.02,
    baselines=("linear",),
    baseline_margin=0.01,
    anchor="first",
    anchor_loss=0.02,
    floor=0.65,
    ceiling=0.75,
    calibration=0.05,
    robustness=0.05,
    minimum_rows=1000,
)
GOOD = Evidence(
    metric="auc",
    higher_is_better=True,
    rows=5000,
    score=around(0.68, 0.72),
    champion=against(0.01, 0.03),
    anchor=against(0.01, 0.03),
    baselines={"linear": around(0.02, 0.04)},
    guards=(guard(0.0, 0.02),),
    calibration=around(0.01, 0.03),
    fairness=FairnessReport((), (), ()),
    robustness=stressed(0.02),
    latency=Measured(2.0, 10.0, "one row"),
    refit=RefitEvidence(900, around(0, 0.03), "", finite=True, error_gain=around(0, 0.1), shift=0.01, shift_before=0.0),
    parity=(Measured(1e-7, 1e-4, "all rows"),),
)


def verdict(gate: Gate, policy: dict[str, Any] | None = None, **found: Any) -> Verdict:
    verdicts = judge(POLICY.with_changes(**(policy or {})), replace(GOOD, **found))
    return {v.name: v for v in verdicts}[gate]


def test_good_evidence_passes_every_gate_in_order() -> None:
    verdicts = judge(POLICY, GOOD)
    assert [v.name for v in verdicts] == list(Gate)
    assert worst(verdicts) is PASS


@pytest.mark.parametrize(
    ("gate", "found", "outcome", "told"),
    [
        (Gate.ROWS, {"rows": 1000}, PASS, "1000 test rows"),
        (Gate.ROWS, {"rows": 999}, OPEN, "gates.minimum_rows asks for 1000"),
        (Gate.FLOOR, {"score": around(0.66, 0.7)}, PASS, "floor 0.65"),
        (Gate.FLOOR, {"score": around(0.64, 0.7)}, OPEN, "times the rows"),
        (Gate.FLOOR, {"score": around(0.60, 0.64)}, FAIL, "better features"),
        (Gate.FLOOR, {"score": around(NAN, NAN)}, ERROR, "not a number"),
        (Gate.CEILING, {"score": around(0.74, 0.76)}, PASS, "ceiling 0.75"),
        (Gate.CEILING, {"score": around(0.74, 0.77)}, FAIL, "knows the label"),
        (Gate.CHAMPION, {"champion": against(0.001, 0.02)}, PASS, "champion version 7"),
        (Gate.CHAMPION, {"champion": against(-0.001, 0.02)}, OPEN, "times the rows"),
        (Gate.CHAMPION, {"champion": against(-0.02, 0.001)}, OPEN, "unlikely"),
        (Gate.CHAMPION, {"champion": against(0.0, 0.0)}, OPEN, "no difference at all"),
        (Gate.CHAMPION, {"champion": against(-0.02, -0.001)}, FAIL, "keep the champion"),
        (Gate.CHAMPION, {"champion": NOBODY}, PASS, "No champion yet"),
        (Gate.CHAMPION, {"champion": Rival("7", None, "bundle is gone")}, ERROR, "bundle is gone"),
        (Gate.ANCHOR, {"anchor": against(-0.019, 0.0)}, PASS, "anchor version 7"),
        (Gate.ANCHOR, {"anchor": against(-0.021, 0.0)}, OPEN, "not shown"),
        (Gate.ANCHOR, {"anchor": against(-0.05, -0.021)}, FAIL, "added up"),
        (Gate.ANCHOR, {"anchor": NOBODY}, PASS, "No anchor yet"),
        (Gate.ANCHOR, {"anchor": Rival("7", None, "")}, ERROR, "no gain"),
        (Gate.BASELINES, {"baselines": {"linear": around(0.011, 0.02)}}, PASS, "linear"),
        (Gate.BASELINES, {"baselines": {"linear": around(0.009, 0.02)}}, OPEN, "linear"),
        (Gate.BASELINES, {"baselines": {"linear": around(-0.01, 0.009)}}, FAIL, "simpler model"),
        (Gate.BASELINES, {"baselines": {}}, ERROR, "linear is declared"),
        (Gate.CALIBRATION, {"calibration": around(0.0, 0.049)}, PASS, "limit 0.05"),
        (Gate.CALIBRATION, {"calibration": around(0.04, 0.059)}, PASS, "cannot prove"),
        (Gate.CALIBRATION, {"calibration": around(0.042, 0.06)}, OPEN, "gates.calibration"),
        (Gate.CALIBRATION, {"calibration": around(0.051, 0.07)}, FAIL, "training.calibrate"),
        (Gate.CALIBRATION, {"calibration": None}, ERROR, "was not measured"),
        (Gate.FAIRNESS, {"fairness": apart(0.01, 0.09)}, PASS, "within its limit"),
        (Gate.FAIRNESS, {"fairness": apart(0.05, 0.12)}, OPEN, "sex"),
        (Gate.FAIRNESS, {"fairness": apart(0.11, 0.2)}, FAIL, "f and m are furthest apart"),
        (Gate.FAIRNESS, {"fairness": FairnessReport((), (), ("no column sex",))}, ERROR, "no column sex"),
        (Gate.ROBUSTNESS, {"robustness": stressed(0.05)}, PASS, "limit 0.05"),
        (Gate.ROBUSTNESS, {"robustness": stressed(0.06)}, FAIL, "a tenth of the cells missing: 0.06"),
        (Gate.ROBUSTNESS, {"robustness": stressed(None, broken=3)}, FAIL, "3 answers are not numbers"),
        (Gate.ROBUSTNESS, {"robustness": None}, ERROR, "was not measured"),
        (Gate.LATENCY, {"latency": Measured(11.0, 10.0, "one row")}, FAIL, "one row: 11, limit 10"),
        (Gate.LATENCY, {"latency": Measured(NAN, 10.0, "one row")}, ERROR, "measure again"),
        (Gate.LATENCY, {"latency": None}, ERROR, "was not measured"),
        (Gate.PARITY, {"parity": (Measured(0, 1, "all"), Measured(2, 1, "JFK"))}, FAIL, "JFK: 2"),
        (Gate.PARITY, {"parity": (Measured(0, 1, "all"), Measured(NAN, 1, "JFK"))}, ERROR, "JFK: nan"),
        (Gate.PARITY, {"parity": ()}, ERROR, "was not measured"),
    ],
)  # fmt: skip
def test_truth_table(gate: Gate, found: dict[str, Any], outcome: Outcome, told: str) -> None:
    judged = verdict(gate, **found)
    assert (judged.outcome, told in judged.reason) == (outcome, True), judged.reason


@pytest.mark.parametrize(
    ("guards", "outcome", "told"),
    [
        ((guard(-0.01, 0.01),), PASS, "no slice lost more than 0.02"),
        ((guard(-0.012, 0.012), guard(-0.005, 0.005)), PASS, "no slice lost"),
        ((guard(-0.023, -0.002),), OPEN, "origin: EWR"),
        ((guard(-0.05, -0.021),), FAIL, "look at these 1000 rows"),
        ((guard(-0.05, -0.021, name="a"), guard(-0.04, -0.03, name="b")), FAIL, "b: gain"),
        ((guard(-0.01, 0.01), guard(-0.05, 0.05)), PASS, "1 of 2 slices have too few rows"),
        ((guard(-0.9, -0.1, rows=499),), PASS, "No slice binds"),
        ((guard(-0.15, -0.03),), FAIL, "origin: EWR"),
        ((GuardSlice("origin: EWR", 900, 500, None, "one class"),), PASS, "No slice binds"),
        ((), PASS, "no slices declared"),
    ],
    ids=[
        "safe", "two-safe", "open", "harmed", "all-reasons-told", "cannot-decide", "under-the-minimum",
        "proven-harm-on-few-rows", "unmeasured", "none",
    ],
)  # fmt: skip
def test_slices(guards: tuple[GuardSlice, ...], outcome: Outcome, told: str) -> None:
    judged = verdict(Gate.SLICES, guards=guards)
    assert (judged.outcome, told in judged.reason) == (outcome, True), judged.reason


def test_slices_have_nothing_to_guard_without_a_champion() -> None:
    assert verdict(Gate.SLICES, champion=NOBODY, guards=(guard(-0.9, -0.8),)).outcome is PASS


@pytest.mark.parametrize(
    ("gate", "policy"),
    [
        (Gate.FLOOR, {"floor": None}),
        (Gate.CEILING, {"ceiling": None}),
        (Gate.BASELINES, {"baselines": ()}),
        (Gate.CALIBRATION, {"calibration": None}),
        (Gate.ROBUSTNESS, {"robustness": None}),
    ],
)
def test_what_is_not_declared_passes_and_says_so(gate: Gate, policy: dict[str, Any]) -> None:
    judged = verdict(gate, policy)
    assert (judged.outcome, "Nothing declared" in judged.reason) == (PASS, True)


def test_answers_that_are_no_numbers_always_fail() -> None:
    assert verdict(Gate.ROBUSTNESS, {"robustness": None}, robustness=stressed(None, broken=1)).outcome is FAIL


@pytest.mark.parametrize(
    ("low", "high", "floor", "ceiling"),
    [(0.3, 0.4, PASS, PASS), (0.55, 0.65, OPEN, PASS), (0.7, 0.8, FAIL, PASS), (0.1, 0.15, PASS, FAIL)],
)
def test_floor_and_ceiling_of_a_loss_are_turned_round(
    low: float, high: float, floor: Outcome, ceiling: Outcome
) -> None:
    found = {"higher_is_better": False, "score": around(low, high)}
    assert verdict(Gate.FLOOR, {"floor": 0.6}, **found).outcome is floor
    assert verdict(Gate.CEILING, {"ceiling": 0.2}, **found).outcome is ceiling


def test_every_verdict_carries_its_numbers() -> None:
    judged = verdict(Gate.CHAMPION, champion=against(-0.02, -0.01))
    assert judged.numbers == pytest.approx({"estimate": -0.015, "low": -0.02, "high": -0.01, "limit": 0.0})


@pytest.mark.parametrize(
    ("name", "gain", "outcome", "told"),
    [
        ("constant", around(0.001, 0.02), PASS, "shown"),
        ("constant", around(-0.001, 0.02), OPEN, "not shown either way"),
        ("linear", around(-0.01, 0.02), PASS, "neither is shown to be ahead"),
        ("linear", around(0.0, 0.0), PASS, "the simpler model"),
        ("linear", around(-0.02, -0.001), FAIL, "what linear does is enough"),
    ],
)
def test_without_a_margin_no_baseline_may_be_ahead(name, gain, outcome, told) -> None:
    judged = verdict(Gate.BASELINES, {"baselines": (name,), "baseline_margin": None}, baselines={name: gain})
    assert (judged.outcome, told in judged.reason) == (outcome, True), judged.reason
