"""A rollout policy that cannot work is refused where it is made, with all its faults."""

from dataclasses import replace

import pytest

from tests.kit.specs import STANDARD


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"steps": (1.0,)}, "steps"),
        ({"steps": (0.5, 0.25, 1.0)}, "steps"),
        ({"steps": (0.0, 1.0)}, "steps"),
        ({"steps": (0.1, 0.5)}, "steps"),
        ({"alpha": 0.0}, "alpha"),
        ({"split_alpha": 0.9}, "split_alpha"),
        ({"error_margin": 0.0}, "error_margin"),
        ({"minimum_requests": 0}, "minimum_requests"),
        ({"slow_at_most": float("nan")}, "slow_at_most"),
    ],
)
def test_a_policy_that_cannot_work_is_refused(change, told):
    with pytest.raises(ValueError, match=f"rollout.{told}"):
        replace(STANDARD, **change)


def test_all_faults_of_a_policy_are_told_at_once():
    with pytest.raises(ValueError, match=r"rollout\.steps.*rollout\.alpha.*rollout\.metric_margin"):
        replace(STANDARD, steps=(), alpha=2, metric_margin=-1)
