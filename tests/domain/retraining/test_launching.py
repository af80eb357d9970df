"""Which decision is launched: the truth table."""

import pytest

from mlops_assets.declaration.monitoring import Cause
from mlops_assets.domain.retraining.launching import DecisionEvent, choose_launch
from mlops_assets.domain.retraining.records import DecisionRecord, RetrainDecision
from mlops_assets.domain.verdict import Outcome
from tests.kit.watching import CALM, NOW


def event(position: int, cause: Cause | None, reason: str) -> DecisionEvent:
    """The decisions come a second apart."""
    key, outcome = (f"retrain:m:{cause}:1", Outcome.PASS) if cause else (None, Outcome.FAIL)
    decision = RetrainDecision(cause is not None, cause, key, reason, {}, outcome, ())
    return DecisionEvent(position, float(position), DecisionRecord(decision, CALM, (), (), "", NOW))


NO = event(1, None, "No: nobody asks.")
QUALITY = event(2, Cause.QUALITY, "Yes: it fell.")
DRIFT = event(3, Cause.DRIFT, "Yes: it drifted.")
PERSON = event(4, Cause.PERSON, "Yes: ada.")


@pytest.mark.parametrize(
    ("decisions", "launched", "last_run", "chosen"),
    [
        ([], (), None, None),
        ([NO], (), None, None),
        ([NO, QUALITY], (), None, QUALITY),
        ([QUALITY, NO], (), None, QUALITY),  # a later no does not take a yes back
        ([QUALITY, QUALITY], (), None, QUALITY),
        ([DRIFT, QUALITY, PERSON], (), None, PERSON),
        ([DRIFT, QUALITY], (), None, QUALITY),
        ([QUALITY], (QUALITY.run_key,), 2.5, None),
        ([QUALITY, DRIFT], (QUALITY.run_key,), 2.5, DRIFT),  # decided after that run began, so it knew
        ([QUALITY, DRIFT], (QUALITY.run_key,), 3.5, None),
        ([QUALITY], (), 1.5, QUALITY),
        ([QUALITY], (), 2.5, None),  # somebody launched a training by hand meanwhile
    ],
)
def test_one_is_launched_and_none_that_did_not_know(decisions, launched, last_run, chosen):
    found = choose_launch(decisions, launched, last_run)
    assert found.event == chosen
    assert found.reason
