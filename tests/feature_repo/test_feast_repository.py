"""The repository as Feast's own command line sees it, and views made from columns."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from feast.repo_config import FeastConfigError, load_repo_config

from feature_repo.transforms.tabular import column_view

REPO = Path(__file__).parents[2] / "feature_repo"
DECLARATION = {
    "model": "shops",
    "service": "shops_v1",
    "columns": {"sales": "double", "nr.staff": "int64"},
    "keys": {"shop": "string"},
    "ttl": 3600.0,
    "online": True,
}


def test_feast_apply_finds_written_and_declared_services(tmp_path) -> None:
    declared = tmp_path / "feast" / "declared"
    declared.mkdir(parents=True)
    (declared / "shops_v1.json").write_text(json.dumps(DECLARATION))
    done = subprocess.run(
        [sys.executable, "-m", "feast.cli.cli", "apply"],
        cwd=REPO,
        env={**os.environ, "PYTHONPATH": str(REPO.parent), "MLOPS_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    for line in ("feature service flight_delay_v1", "feature service shops_v1", "feature view shops_v1"):
        assert f"Created {line}" in done.stdout
    assert (tmp_path / "feast" / "online.db").exists()


def test_without_a_home_feast_says_which_variable_is_missing(monkeypatch) -> None:
    monkeypatch.delenv("MLOPS_HOME", raising=False)
    with pytest.raises(FeastConfigError, match="Set MLOPS_HOME"):
        load_repo_config(REPO, REPO / "feature_store.yaml")


START = datetime(2024, 1, 1, tzinfo=UTC)
FRAME = pd.DataFrame(
    {
        "shop": ["a", "b", "c", "d"],
        "sales": [1.0, 2.0, 3.0, 4.0],
        "at": [START + timedelta(hours=hour) for hour in (3, 1, 2, 30)],
        "came": [START + timedelta(hours=9), None, START + timedelta(hours=2), None],
    }
)


def test_columns_become_rows_at_their_time_known_when_they_came() -> None:
    view = column_view("shops", keys=["shop"], columns=["sales"], time="at", arrived="came")
    rows = view.function({"shops": FRAME}, START, START + timedelta(days=1))
    assert not view.static
    assert list(rows["shop"]) == ["b", "c", "a"]
    hours = (rows["created_timestamp"] - START) / timedelta(hours=1)
    assert list(hours) == [1, 2, 9]  # without an arrival: known at its own time


def test_columns_without_time_are_one_snapshot() -> None:
    view = column_view("shops", keys=["shop"], columns=["sales"], time=None, arrived=None)
    rows = view.function({"shops": FRAME}, START, START)
    assert view.static
    assert len(rows) == 4
    assert set(rows["event_timestamp"]) == {pd.Timestamp(0, tz="UTC")}


def test_columns_that_are_not_there_are_all_named() -> None:
    view = column_view("shops", keys=["shop"], columns=["size", "age"], time="at", arrived=None)
    with pytest.raises(KeyError, match="no column size, age; it has shop, sales"):
        view.function({"shops": FRAME}, START, START)
