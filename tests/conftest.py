"""What every test may ask for, and what it runs under: telemetry off, few threads, skips with a reason."""

import os
import shutil
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
SHARED_DATA = Path(os.environ.get("MLOPS_SHARED_DATA", PROJECT.parent / "shared" / "data"))

for _line in (PROJECT / "infra" / "run" / "quiet.env").read_text().splitlines():
    if "=" in _line and not _line.startswith("#"):
        os.environ.setdefault(*_line.split("=", 1))
# Workers run side by side; a library that takes every core for itself slows all of them.
os.environ.setdefault("OMP_NUM_THREADS", "1")

_NEEDS = {
    "needs_redis": ("TEST_REDIS_URL names no Redis", lambda: "TEST_REDIS_URL" in os.environ),
    "needs_postgres": ("TEST_POSTGRES_URL names no PostgreSQL", lambda: "TEST_POSTGRES_URL" in os.environ),
    "needs_chromium": ("chromium is not on the path", lambda: shutil.which("chromium") is not None),
    "needs_prometheus": (
        "prometheus and promtool are not on the path",
        lambda: shutil.which("prometheus") is not None and shutil.which("promtool") is not None,
    ),
    "shared_data": (
        f"{SHARED_DATA} does not exist; MLOPS_SHARED_DATA names another place",
        SHARED_DATA.is_dir,
    ),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, what this machine cannot run."""
    absent = {marker: reason for marker, (reason, there) in _NEEDS.items() if not there()}
    for item in items:
        for marker in item.iter_markers():
            if marker.name in absent:
                item.add_marker(pytest.mark.skip(reason=absent[marker.name]))


@pytest.fixture(scope="session")
def project() -> Path:
    return PROJECT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets. Tests that use it bear the marker `shared_data`."""
    return SHARED_DATA


@pytest.fixture
def redis_url() -> str:
    return os.environ["TEST_REDIS_URL"]


@pytest.fixture
def postgres_url() -> str:
    return os.environ["TEST_POSTGRES_URL"]
