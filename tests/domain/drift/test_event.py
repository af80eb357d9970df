"""A shift is announced when it begins and when it grows, and is over when no window drifts any more."""

import pytest

from mlops_assets.domain.drift.distances import Aspect
from mlops_assets.domain.drift.event import DriftEvent, follow_event
from mlops_assets.domain.drift.window import DriftFinding, WindowDrift
from mlops_assets.domain.verdict import Outcome, Verdict
from tests.kit.watching import DRIFT


def window(day: int, found: str, columns: str = "x") -> WindowDrift:
    """`found`: `-` nothing, `?` not known, or the strength of the drift."""
    name = f"2024-01-{day:02d}"
    if found in "-?":
        outcome = Outcome.PASS if found == "-" else Outcome.INCONCLUSIVE
        return WindowDrift(name, 900, outcome, "as found.", ())
    moved = {"moved": float(found) * DRIFT.moved}
    failed = (DriftFinding(Aspect.FEATURE, c, Verdict(c, Outcome.FAIL, "moved.", moved)) for c in columns)
    return WindowDrift(name, 900, Outcome.FAIL, "drifted.", tuple(failed))


def follow(windows: list[WindowDrift]) -> list[tuple[Verdict, DriftEvent | None]]:
    found, event = [], None
    for day, latest in enumerate(windows):
        verdict, event = follow_event(latest.window, windows[: day + 1], event, DRIFT)
        found.append((verdict, event))
    return found


@pytest.mark.parametrize(
    ("days", "outcomes", "announced"),
    [
        ("-2-2", "---F", [4]),
        ("-2222", "--FFF", [3]),  # announced once
        ("-22-2", "--FFF", [3]),  # one day without it is not its end
        ("22---", "-FFF-", [2]),  # three are
        ("22---22", "-FFF--F", [2, 7]),  # and it may come back
        ("22?2", "-F?F", [2]),
        ("2222244", "-FFFFFF", [2, 7]),  # twice as strong, on two days
        ("2222242", "-FFFFFF", [2]),  # on one day only
        ("--2--", "-----", []),
    ],
)
def test_a_shift_is_announced_once(days, outcomes, announced):
    found = follow([window(day, strength) for day, strength in enumerate(days, 1)])
    marks = {Outcome.PASS: "-", Outcome.FAIL: "F", Outcome.INCONCLUSIVE: "?"}
    assert "".join(marks[verdict.outcome] for verdict, _ in found) == outcomes
    news = [day for day, (verdict, _) in enumerate(found, 1) if verdict.numbers.get("announced")]
    assert news == announced


def test_another_column_is_news():
    days = [window(1, "2"), window(2, "2"), window(3, "2", "xy"), window(4, "2", "xy"), window(5, "2", "xy")]
    *_, third, fourth, fifth = follow(days)
    assert not third[0].numbers["announced"]
    assert "has grown (new: y)" in fourth[0].reason
    assert "announced on 2024-01-04" in fifth[0].reason
    assert fifth[1] == DriftEvent("2024-01-01", "2024-01-04", 2.0, ("x", "y"))


def test_what_goes_on_says_since_when():
    verdict, _ = follow([window(day, "2") for day in (1, 2, 3)])[-1]
    assert "Known since 2024-01-01, announced on 2024-01-02" in verdict.reason
