"""A home with one release, that tests start a real endpoint on."""

import pytest

from tests.serving.reliability.traffic import Truth


@pytest.fixture
def truth(tmp_path) -> Truth:
    truth = Truth(tmp_path)
    truth.publish(1)
    return truth
