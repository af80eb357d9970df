"""The small daily model, made once for all tests."""

import pytest

from tests.kit.daily import Shop, shop_of


@pytest.fixture(scope="session")
def shop(tmp_path_factory) -> Shop:
    return shop_of(tmp_path_factory)
