"""The A/B readout: each way it can end, and the numbers it ends with."""

from dataclasses import replace

import numpy as np
import pytest

from mlops_assets.domain.release.experiment import (
    ArmEvidence,
    Ending,
    ExperimentMetric,
    ExperimentPolicy,
    read_out,
)
from mlops_assets.domain.release.sequential import Sample

BOOKED = ExperimentMetric("booked", higher_is_better=True, worth=0.02)
WAITED = ExperimentMetric("waited", higher_is_better=False, worth=0.5)
POLICY = ExperimentPolicy(
    control="a",
    shares={"a": 0.5, "b": 0.5},
    metrics=(BOOKED, WAITED),
    alpha=0.05,
    split_alpha=0.001,
    minimum=500,
    longest=200_000,
)


def arm(people: int, booked: float, waited: float = 10.0) -> ArmEvidence:
    yes = round(people * booked)
    waits = Sample(people, people * waited, people * (waited**2 + 4.0))
    return ArmEvidence(people, {"booked": Sample(people, yes, yes), "waited": waits})


ENDINGS = {
    "too few people": ({"a": arm(400, 0.1), "b": arm(400, 0.4)}, Ending.RUNNING, None, "500 are needed"),
    "nothing proven yet": ({"a": arm(2000, 0.1), "b": arm(2000, 0.11)}, Ending.RUNNING, None, "b: booked"),
    "better": ({"a": arm(5000, 0.1), "b": arm(5000, 0.14)}, Ending.WINNER, "b", "(+40.0%)"),
    "better, but a guard is worse": (
        {"a": arm(5000, 0.1), "b": arm(5000, 0.14, 11.0)},
        Ending.RUNNING,
        None,
        "",
    ),
    "worse": ({"a": arm(5000, 0.14), "b": arm(5000, 0.1)}, Ending.RUNNING, None, "b: booked -0.04"),
    "no difference that matters": (
        {"a": arm(60_000, 0.1), "b": arm(60_000, 0.1)},
        Ending.NO_DIFFERENCE,
        None,
        "keep",
    ),
    "out of people": ({"a": arm(100_000, 0.5), "b": arm(100_000, 0.485)}, Ending.OUT_OF_PEOPLE, None, "keep"),
    "out of people, few of them measured": (
        {name: replace(arm(400, mean), people=100_000) for name, mean in (("a", 0.1), ("b", 0.4))},
        Ending.OUT_OF_PEOPLE,
        None,
        "keep",
    ),
    "a broken split": (
        {"a": arm(5000, 0.1), "b": arm(4000, 0.14)},
        Ending.SPLIT_BROKEN,
        None,
        "find out why",
    ),
    "nobody came": ({"a": arm(0, 0.0), "b": arm(0, 0.0)}, Ending.RUNNING, None, "500 are needed"),
    "nobody books": ({"a": arm(5000, 0.0), "b": arm(5000, 0.0)}, Ending.RUNNING, None, ""),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_each_ending(name):
    arms, ending, winner, words = ENDINGS[name]
    found = read_out(POLICY, arms)
    assert (found.ending, found.winner) == (ending, winner), found.reason
    assert words in found.reason
    assert found.may_stop is (ending is not Ending.RUNNING)


def test_a_comparison_tells_lift_interval_and_p():
    found = read_out(POLICY, {"a": arm(5000, 0.1), "b": arm(5000, 0.14)}).comparisons[0]
    assert found.lift == pytest.approx(0.4)
    assert 0 < found.low < 0.04 < found.high
    assert found.p < found.adjusted_p < 0.05
    assert (found.better, found.worse) == (True, False)


def test_of_a_metric_that_should_be_low_less_is_better():
    found = read_out(POLICY, {"a": arm(5000, 0.1, 10.0), "b": arm(5000, 0.1, 9.0)}).comparisons[1]
    assert (found.better, found.worse) == (True, False)


def test_the_best_of_several_variants_wins():
    policy = replace(POLICY, shares={"a": 0.4, "b": 0.3, "c": 0.3})
    arms = {"a": arm(8000, 0.1), "b": arm(6000, 0.15), "c": arm(6000, 0.2)}
    found = read_out(policy, arms)
    assert (found.ending, found.winner) == (Ending.WINNER, "c")
    assert len(found.comparisons) == 4


def test_without_a_control_mean_there_is_no_lift():
    found = read_out(POLICY, {"a": arm(5000, 0.0), "b": arm(5000, 0.14)}).comparisons[0]
    assert found.lift is None


def test_evidence_that_does_not_fit_is_refused_at_once():
    lacking = ArmEvidence(-1, {"booked": Sample(0, 0.0, 0.0)})
    with pytest.raises(ValueError, match=r"not those of the experiment.*lacks waited.*-1 people"):
        read_out(POLICY, {"a": arm(10, 0.1), "x": lacking})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"control": "z"}, "control"),
        ({"shares": {"a": 1.0}}, "shares"),
        ({"shares": {"a": 0.5, "b": 0.6}}, "shares"),
        ({"metrics": ()}, "metrics"),
        ({"metrics": (BOOKED, BOOKED)}, "metrics"),
        ({"metrics": (replace(BOOKED, worth=0.0),)}, r"metrics\.booked\.worth"),
        ({"alpha": 1.0}, "alpha"),
        ({"longest": 10}, "minimum"),
    ],
)
def test_a_policy_that_cannot_work_is_refused(change, told):
    with pytest.raises(ValueError, match=f"experiment.{told}"):
        replace(POLICY, **change)


def test_an_interval_is_that_of_the_whole_experiment():
    one = replace(POLICY, metrics=(BOOKED,))
    arms = {"a": arm(5000, 0.1), "b": arm(5000, 0.12)}
    widths = [
        np.ptp((c.low, c.high)) for c in (read_out(one, arms).comparisons[0], read_out(POLICY, arms).comparisons[0])
    ]
    assert widths[0] < widths[1]
