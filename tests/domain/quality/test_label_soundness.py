"""What makes labels unsound, and which day speaks for quality."""

from dataclasses import replace

import pytest

from mlops_assets.domain.quality.label_soundness import judge_labels, judge_latest_fall
from mlops_assets.domain.verdict import Outcome
from tests.kit.watched_days import DAY, NOBODY
from tests.kit.watching import verdict


@pytest.mark.parametrize(
    ("changes", "outcome", "said"),
    [
        ({}, Outcome.PASS, "880 labels on 2013-07-01; odd: none"),
        ({"odd": {"repeated": 880}}, Outcome.PASS, "880 repeated"),
        ({"odd": {"contradicting": 8}}, Outcome.PASS, "8 contradicting"),
        ({"odd": {"contradicting": 9}}, Outcome.FAIL, "the first one counts"),
        ({"odd": {"for unknown requests": 9}}, Outcome.FAIL, "no answer has this id"),
        ({"odd": {"known before the answer": 9}}, Outcome.FAIL, "clocks"),
        ({"odd": {"from after now": 9}}, Outcome.FAIL, "a clock is ahead"),
        ({"odd": {"not understood": 9}}, Outcome.FAIL, "correct the reporter"),
        ({"labelled": 444}, Outcome.FAIL, "about 890 should be by now"),
        ({"labelled": 446}, Outcome.PASS, "446 labels"),
        ({"labelled": 0, "expected": 40}, Outcome.INCONCLUSIVE, "answers, but no labels yet"),
        ({"labelled": 0, "expected": 0, "rows": 0}, Outcome.INCONCLUSIVE, "no answers"),
    ],
)
def test_each_way_in_which_labels_can_be_wrong(changes, outcome, said):
    found = judge_labels([replace(DAY, **changes)])
    assert found.outcome is outcome
    assert said in found.reason


def test_the_latest_day_that_could_be_judged_speaks_for_quality():
    unknown = replace(NOBODY, fall=verdict(Outcome.INCONCLUSIVE, "realised", "not ripe."))
    fell = replace(DAY, fall=verdict(Outcome.FAIL, "realised", "it fell."))
    assert judge_latest_fall([DAY, fell, unknown]).outcome is Outcome.FAIL
    assert judge_latest_fall([fell, DAY]).outcome is Outcome.PASS
    young = judge_latest_fall([unknown])
    assert (young.name, young.outcome, young.reason) == (
        "quality_holds",
        Outcome.INCONCLUSIVE,
        "2013-07-03: not ripe.",
    )
