"""What a person sees in Dagster's UI, in a real browser: the example's pages load, say what they are, log no error."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.run.dagster_client import Dagster
from tests.project.test_make_run import free_port

_PATIENCE = 120
_QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1400,1000",
]

pytestmark = [pytest.mark.needs_chromium, pytest.mark.timeout(3 * _PATIENCE)]


@pytest.fixture(scope="module")
def ui(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Dagster's UI on the project's definitions, with nothing materialised."""
    home = tmp_path_factory.mktemp("home")
    (home / "dagster.yaml").symlink_to(project / "dagster.yaml")
    port = free_port()
    serve = f"{Path(sys.executable).parent}/dagster-webserver -w workspace.yaml -p {port}"
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "MLOPS_HOME": str(home / "state"),
        "PYTHONPATH": str(project),
    }
    with (home / "ui.log").open("w") as log:
        server = subprocess.Popen(serve.split(), cwd=project, env=environment, stdout=log, stderr=log)
    try:
        Dagster(f"http://127.0.0.1:{port}").wait(_PATIENCE)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def page(url: str, profile: Path) -> tuple[str, list[str]]:
    """The page as it stands once its scripts have run, and what they logged as errors."""
    browser = shutil.which("chromium") or "chromium"
    command = [browser, *_QUIET, f"--user-data-dir={profile}", "--enable-logging=stderr", "--dump-dom"]
    shown = subprocess.run(
        [*command, "--virtual-time-budget=20000", url], capture_output=True, text=True, timeout=_PATIENCE, check=True
    )
    errors = [line for line in shown.stderr.splitlines() if "CONSOLE" in line and ":ERROR:" in line.replace("(", ":")]
    return shown.stdout, errors


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("assets/flight_delay/evaluation", ["the verdict of every gate", "flight-operations", "flight_delay_train"]),
        ("assets/flight_delay/evaluation?view=checks", ["better_than_champion", "surely beat the simple models"]),
        ("jobs", ["flight_delay_data", "flight_delay_train", "flight_delay_promote"]),
    ],
)
def test_a_page_says_what_it_is_and_logs_no_error(ui: str, tmp_path: Path, path: str, expected: list[str]) -> None:
    text, errors = page(f"{ui}/{path}", tmp_path / "profile")

    assert [words for words in expected if words not in text] == []
    assert errors == []
