"""2 of the last 3 windows, the latest among them: each row of the truth table."""

import pytest

from mlops_assets.domain.drift.alarm import judge_alarm
from mlops_assets.domain.drift.window import WindowDrift
from mlops_assets.domain.verdict import Outcome
from tests.kit.watching import DRIFT

OUTCOMES = {"d": Outcome.FAIL, "-": Outcome.PASS, "?": Outcome.INCONCLUSIVE}


def windows(said: str) -> list[WindowDrift]:
    return [WindowDrift(f"w{i}", 900, OUTCOMES[each], "as seen.", ()) for i, each in enumerate(said)]


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ("", "?"),
        ("-", "-"),
        ("d", "-"),
        ("dd", "d"),
        ("d-d", "d"),
        ("-dd", "d"),
        ("dd-", "-"),  # the latest has not drifted
        ("d--", "-"),
        ("--d", "-"),
        ("d--d", "-"),  # too long ago
        ("dddd", "d"),
        ("d?d", "d"),
        ("??d", "-"),
        ("dd?", "?"),  # nothing is known of the latest
        ("?", "?"),
    ],
)
def test_when_windows_add_up_to_an_alarm(said, outcome):
    verdict = judge_alarm(windows(said), DRIFT)
    assert verdict.outcome is OUTCOMES[outcome]
    assert verdict.reason
