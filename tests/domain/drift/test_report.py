"""How days become windows and windows an alarm, and what is told of them."""

from dataclasses import replace

import pytest

from mlops_assets.domain.drift.distances import Aspect
from mlops_assets.domain.drift.report import (
    DriftReport,
    find_open_days,
    judge_day_alarm,
    judge_input_quality,
)
from mlops_assets.domain.drift.window import DriftFinding, WindowDrift
from mlops_assets.domain.verdict import Outcome, Verdict
from tests.kit.watching import DRIFT, verdict


def finding(outcome: Outcome, aspect: Aspect = Aspect.FEATURE, column: str = "price", **numbers: float) -> DriftFinding:
    return DriftFinding(aspect, column, Verdict(column, outcome, "as seen.", numbers))


def window(name: str, outcome: Outcome, *findings: DriftFinding) -> WindowDrift:
    told = findings or ((finding(Outcome.FAIL),) if outcome is Outcome.FAIL else ())
    return WindowDrift(name, 900, outcome, "as seen.", told)


def report(day: int, outcome: Outcome, *, since: int = 0, bundle: str = "b", is_open: bool = False) -> DriftReport:
    name = f"2024-01-{day:02d}"
    return DriftReport(
        day=name,
        since=f"2024-01-{since or day:02d}",
        version="1.0.0",
        bundle=bundle,
        window=window(name, outcome),
        alarm=verdict(Outcome.PASS),
        quality=verdict(Outcome.PASS),
        is_open=is_open,
        sample=0,
        training_sample=0,
        labels=0,
        notes=(),
        event=None,
        compared_with="",
    )


F, P, U, E = Outcome.FAIL, Outcome.PASS, Outcome.INCONCLUSIVE, Outcome.ERROR
TODAY = {"day": "2024-01-10", "since": "2024-01-10", "bundle": "b"}


def alarm(earlier: list[DriftReport], outcome: Outcome, **changes: str) -> Outcome:
    return judge_day_alarm(window("today", outcome), earlier, DRIFT, **(TODAY | changes))[0].outcome


@pytest.mark.parametrize(
    ("before", "today", "expected"),
    [
        ([P, F], F, F),
        ([F, P], F, F),
        ([P, P], F, P),
        ([F, F], P, P),
        ([F, F], U, U),
        ([F, F], E, U),
        ([F, E], F, F),
    ],
)
def test_the_alarm_needs_so_many_windows_and_the_latest(before, today, expected):
    assert alarm([report(8, before[0]), report(9, before[1])], today) is expected


def test_days_of_another_version_do_not_count():
    earlier = [report(8, F, bundle="older"), report(9, F, bundle="older")]
    assert alarm(earlier, F) is P
    assert alarm(earlier, F, bundle="older") is F


def test_days_that_a_later_window_took_in_count_once():
    earlier = [report(5, F), report(6, U, is_open=True), report(7, U, since=6, is_open=True), report(8, P, since=6)]
    assert alarm([*earlier, report(9, U, is_open=True)], F, since="2024-01-09") is F  # 5, 6-8, 9-10


def test_days_of_long_ago_do_not_count():
    old = replace(report(1, F), day="2023-11-01", since="2023-11-01")
    assert alarm([old], F) is P


@pytest.mark.parametrize(
    ("earlier", "expected"),
    [
        ([report(9, U, is_open=True)], ["2024-01-09"]),
        ([report(8, U, is_open=True), report(9, U, is_open=True, bundle="")], ["2024-01-08", "2024-01-09"]),
        ([report(8, U, is_open=True), report(9, P)], []),
        ([report(8, U, is_open=True)], []),  # the day between was never judged
        ([report(9, U, is_open=True, bundle="older")], []),
        ([report(9, U)], []),
    ],
)
def test_only_days_just_before_with_too_few_rows_are_taken_in(earlier, expected):
    assert find_open_days("2024-01-10", earlier, "b") == expected


def test_input_quality_looks_at_the_input_only():
    bad_answer = finding(F, Aspect.RANGE, "prediction")
    moved = finding(F, Aspect.FEATURE)
    assert judge_input_quality(window("w", F, bad_answer, moved), ["price"]).outcome is P
    lost = judge_input_quality(window("w", F, finding(F, Aspect.MISSING)), ["price"])
    assert lost.outcome is F
    assert "price (missing values)" in lost.reason
    gone = finding(F, Aspect.SCHEMA, "age")
    assert judge_input_quality(window("w", U, gone), []).outcome is F
    assert judge_input_quality(window("w", U), ["price"]).outcome is U
    assert judge_input_quality(window("w", E), ["price"]).outcome is E
