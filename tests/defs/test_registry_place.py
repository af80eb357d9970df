"""Where MLflow's artefacts go: never into the folder that a process happens to run in."""

import pytest

from mlops_assets.defs.resources import resources


@pytest.mark.parametrize(
    ("uri", "under_home"),
    [(None, True), ("postgresql://mlflow@db/mlflow", True), ("sqlite:////srv/mlflow.db", True), ("https://ml", False)],
)
def test_a_database_without_a_server_keeps_artefacts_at_home(tmp_path, uri, under_home):
    named = {"MLFLOW_TRACKING_URI": uri} if uri else {}
    root = resources({"MLOPS_HOME": str(tmp_path), **named})["registry"].artifact_root
    assert root == (f"{tmp_path}/mlflow/artifacts" if under_home else "")
