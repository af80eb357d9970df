"""Which decision is launched: the truth table."""

import pytest

from mlops_assets.domain.retraining.launching import Decided, launch

NO = Decided(1, 1.0, False, "none", "", "", "No: nobody asks.")
QUALITY = Decided(2, 2.0, True, "quality", "retrain:m:quality:1", "", "Yes: it fell.")
DRIFT = Decided(3, 3.0, True, "drift", "retrain:m:drift:1", "", "Yes: it drifted.")
PERSON = Decided(4, 4.0, True, "person", "retrain:m:person:1", "", "Yes: ada.")


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
    found = launch(decisions, launched, last_run)
    assert found.decided == chosen
    assert found.reason
