"""Every check says what it asks."""

import pytest

from mlops_assets.domain.check_texts import ASKS
from mlops_assets.domain.data.checks import RAW_CHECKS
from mlops_assets.domain.evaluation.gates import Gate


@pytest.mark.parametrize("name", [*RAW_CHECKS, *Gate])
def test_every_check_asks_a_question(name: str) -> None:
    assert ASKS[name].endswith("?")
