"""Evidently's page, and that the link to it opens on a real MLflow server."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pyarrow as pa
import pytest

from mlops_assets.resources.plots.drift_page import ROWS, build_drift_page
from mlops_assets.resources.registry.model_registry import Registry
from tests.kit.watching import DRIFT
from tests.project.test_make_run import free_port

NUMBERS, CATEGORIES = ["price", "age", "nothing", "wild"], ["region"]
_PATIENCE = 120


def rows(count: int, shift: float = 0.0) -> pa.Table:
    draw = np.random.default_rng(count)
    return pa.table(
        {
            "price": draw.normal(shift, 1, count),
            "age": draw.normal(0, 1, count),
            "nothing": np.full(count, np.nan),
            "wild": np.where(draw.random(count) < 0.1, np.inf, draw.normal(0, 1, count)),
            "region": draw.choice(["north", "south", ""], count),
        }
    )


def page(reference: pa.Table, live: pa.Table, heading: str = "shop") -> str:
    made = build_drift_page(
        reference, live, numbers=NUMBERS, categories=CATEGORIES, policy=DRIFT, heading=heading, lines=["Decided: pass."]
    )
    assert made is not None
    return made.decode()


def test_the_page_starts_with_the_decision_and_names_omissions():
    shown = page(rows(900), rows(700, 1.5), "shop <b>live</b>")
    assert "shop &lt;b&gt;live&lt;/b&gt;" in shown
    assert "Decided: pass." in shown
    assert "Not shown, as one side has no values: nothing." in shown
    assert os.environ["DO_NOT_TRACK"] == "1"


def test_one_drifted_column_is_drift_and_the_others_are_not():
    assert "Dataset Drift is detected. Dataset drift detection threshold is 0.25" in page(rows(900), rows(700, 1.5))
    assert "Dataset Drift is NOT detected" in page(rows(2_900), rows(2_700))


def test_nothing_to_show_is_no_page():
    empty = pa.table({"price": pa.nulls(600, pa.float64())})
    given = {"numbers": ["price"], "categories": [], "policy": DRIFT, "heading": "", "lines": []}
    assert build_drift_page(empty, empty, **given) is None
    assert build_drift_page(empty, empty.slice(0, 0), **given) is None


def test_the_page_does_not_grow_with_the_rows():
    small, large = page(rows(ROWS), rows(ROWS)), page(rows(20 * ROWS), rows(20 * ROWS))
    assert len(large) < 1.1 * len(small)


@pytest.mark.needs_chromium
def test_a_browser_draws_it(tmp_path):
    file = tmp_path / "page.html"
    file.write_text(page(rows(900), rows(700, 1.5)))
    browser = [shutil.which("chromium") or "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    command = [*browser, "--disable-background-networking", "--disable-dev-shm-usage", f"--user-data-dir={tmp_path}/p"]
    told = subprocess.run(
        [*command, "--virtual-time-budget=15000", "--dump-dom", file.as_uri()], capture_output=True, timeout=_PATIENCE
    )
    assert "Share of Drifted Columns" in re.sub(r"<script.*?</script>", "", told.stdout.decode(), flags=re.DOTALL)


@pytest.fixture
def mlflow(tmp_path: Path) -> Iterator[Registry]:
    """A registry whose UI is a real server on the same store, as `make run` starts it."""
    port, store = free_port(), f"sqlite:///{tmp_path}/mlflow.db"
    registry = Registry(
        tracking_uri=store,
        artifact_root=str(tmp_path / "artifacts"),
        lock_folder=str(tmp_path / "locks"),
        ui_url=f"http://127.0.0.1:{port}",
        dagster_url="",
    )
    registry.versions("shop")  # makes the database, before the server does
    serve = [str(Path(sys.executable).parent / "mlflow"), "server", "--backend-store-uri", store, "--port", str(port)]
    serve += ["--default-artifact-root", str(tmp_path / "artifacts"), "--no-serve-artifacts", "--workers", "1"]
    quiet = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (tmp_path / "server.log").open("w") as log:
        server = subprocess.Popen(serve, env=quiet, stdout=log, stderr=log, cwd=tmp_path)
    try:
        _wait(f"{registry.ui_url}/health")
        yield registry
    finally:
        server.terminate()
        server.wait(30)


def _wait(url: str) -> None:
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            with urlopen(url, timeout=5):
                return
        except (URLError, ConnectionError, TimeoutError):
            if time.monotonic() > until:
                raise
            time.sleep(0.3)


def test_the_link_opens_on_a_real_server(mlflow):
    content = page(rows(900), rows(700, 1.5), "shop on a day")
    with mlflow.run("shop-monitoring", "drift 2024-01-09", key="drift:shop:2024-01-09") as run:
        run.text("drift.html", content)
    link = f"{run.url}/artifacts/drift.html"
    with urlopen(link, timeout=30) as answer:  # MLflow's UI, which then asks for the two below
        assert (answer.status, answer.headers.get_content_type()) == (200, "text/html")
    root = f"{mlflow.ui_url}/ajax-api/2.0/mlflow/artifacts/list?run_id={run.run_id}"
    with urlopen(root, timeout=30) as answer:
        assert [file["path"] for file in json.load(answer)["files"]] == ["drift.html"]
    with urlopen(f"{mlflow.ui_url}/get-artifact?path=drift.html&run_uuid={run.run_id}", timeout=30) as answer:
        assert answer.read().decode() == content
