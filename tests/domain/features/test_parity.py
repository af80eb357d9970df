"""Offline against online: each outcome, and what the reason tells."""

import math

import pytest

from mlops_assets.domain.features.parity import compare_rows
from mlops_assets.domain.verdict import Outcome


@pytest.mark.parametrize(
    ("offline", "online", "outcome"),
    [
        ([1.5, "a"], [1.5, "a"], Outcome.PASS),
        ([None, math.nan], [math.nan, None], Outcome.PASS),
        ([0.0], [None], Outcome.FAIL),
        ([0.1], [0.1 + 1e-16 * 2], Outcome.FAIL),
        ([], [], Outcome.INCONCLUSIVE),
    ],
)
def test_each_outcome(offline, online, outcome) -> None:
    assert compare_rows({"x": offline}, {"x": online}).outcome is outcome


def test_the_reason_names_the_first_difference_in_full() -> None:
    verdict = compare_rows({"x": list(range(9))}, {"x": [0] * 9})
    assert "x in row 1: offline 1, online 0" in verdict.reason
    assert "and 3 more" in verdict.reason
    assert verdict.numbers["different"] == 8
