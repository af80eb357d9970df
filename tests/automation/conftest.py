"""The small daily model, made once for all tests, and the same once it is released."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.fakes.daemon import Daemon
from tests.kit.daily import BEFORE, MODEL, Shop, definitions_of, shop_of
from tests.kit.declared import Bench

DAY = f"{BEFORE:%Y-%m-%d}"
NEXT = BEFORE + timedelta(days=1, hours=2)


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return shop_of(tmp_path_factory)


@pytest.fixture
def made(shop: Shop, tmp_path: Path) -> Bench:
    """Version 1 answers since the turn; the next day has begun."""
    made = shop.copy(shop.registered, tmp_path, retraining={"new_rows": 500, "least_rows": 10})
    made.resources["clock"].move(made.spec, NEXT)
    return made


@pytest.fixture
def daemon(made: Bench) -> Daemon:
    return Daemon(definitions_of(made), made.instance, made.resources)


def sensor(name: str) -> str:
    """The name of a sensor or job of the model."""
    return f"{MODEL}_{name}"
