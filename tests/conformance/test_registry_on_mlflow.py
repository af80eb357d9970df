"""What only the real store shows: links, artefacts, interrupted registrations, loading by MLflow."""

import os
import subprocess
import sys

import mlflow.pyfunc
import pandas as pd
import pytest
from mlflow.onnx import load_model

from mlops_assets.resources.registry.model_registry import Registry
from mlops_assets.resources.registry.tags import Tag
from tests.conformance.conftest import card
from tests.kit.bundles import tiny_bundle
from tests.kit.samples import candidate, made_of


@pytest.fixture
def registry(store):
    return store


def test_run_and_version_point_to_each_other(add, registry, model):
    version = add()
    run = registry._client.get_run(version.run_id)
    assert (run.data.tags[Tag.VERSION], run.data.tags[Tag.BUNDLE]) == ("1", version.bundle)
    assert len(run.outputs.model_outputs) == 1
    found = registry._client.get_model_version(model, "1")
    assert found.run_id == version.run_id
    assert found.source == f"models:/{run.outputs.model_outputs[0].model_id}"
    assert found.description == "# 1.0.0 after nothing\n"


def test_everything_a_run_was_told_is_there(registry, model):
    with registry.run(model, "training", key="parent", dagster_run="d1", commit="abc") as parent:
        parent.params({f"p{i}": i for i in range(150)} | {"api_key": "hunter2"})
        parent.text("environment.txt", "torch==2.13.0\n")
        parent.figure("plots/roc.png", b"\x89PNG")
        parent.dataset(name="training_set", digest="d" * 64, context="training", source={"path": "x"})
        for epoch in range(3):
            parent.metrics({"loss": 1.0 / (epoch + 1), "auc": 0.7}, step=epoch)
        with registry.run(model, "trial 0", key="trial", parent=parent.run_id) as trial:
            trial.metrics({"auc": 0.6})
    run = registry._client.get_run(parent.run_id)
    assert (run.info.status, len(run.data.params)) == ("FINISHED", 151)
    assert run.data.params["api_key"] == "***"
    assert run.data.tags["mlflow.source.git.commit"] == "abc"
    assert run.data.tags["dagster.run_url"] == "http://localhost:3000/runs/d1"
    assert run.inputs.dataset_inputs[0].dataset.name == "training_set"
    assert [m.step for m in registry._client.get_metric_history(parent.run_id, "loss")] == [0, 1, 2]
    assert registry._client.get_run(trial.run_id).data.tags["mlflow.parentRunId"] == parent.run_id
    assert [f.path for f in registry._client.list_artifacts(parent.run_id, "plots")] == ["plots/roc.png"]


@pytest.mark.parametrize(("end", "status"), [(RuntimeError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_a_run_that_does_not_end_well_says_so(registry, model, end, status):
    begun = []

    def broken() -> None:
        with registry.run(model, "training", key="k") as run:
            begun.append(run.run_id)
            raise end

    with pytest.raises(end):
        broken()
    assert registry._client.get_run(begun[0]).info.status == status


def test_a_resumed_run_holds_each_epoch_once(registry, model):
    with registry.run(model, "training", key="k") as run:
        run.metrics({"loss": 1.0}, step=0)
        run.metrics({"loss": 0.5}, step=1)
    with registry.run(model, "training", key="k") as run:
        for epoch in range(1, 4):
            run.metrics({"loss": 0.5 / epoch}, step=epoch)
    history = registry._client.get_metric_history(run.run_id, "loss")
    assert [point.step for point in history] == [0, 1, 2, 3]
    assert registry._client.get_run(run.run_id).info.status == "FINISHED"


@pytest.mark.parametrize(
    "stop_at", ["log_model_artifacts", "finalize_logged_model", "create_model_version", "log_batch"]
)
def test_a_registration_that_was_cut_off_is_completed(registry, model, tmp_path, stop_at):
    bundle = tiny_bundle(tmp_path, "one")
    with registry.run(model, "training", key="k") as run:
        pass
    asked = candidate(model, bundle.name, run.run_id), bundle, made_of(bundle.name), card
    with pytest.raises(Cut):
        Interrupted(**registry.model_dump(), stop_at=stop_at).register(*asked)
    version = registry.register(*asked)
    assert (version.number, version.semantic) == ("1", "1.0.0")
    assert len(registry.versions(model)) == 1
    (logged,) = registry._client.search_logged_models([registry._experiment(model)])
    assert logged.status == "READY"
    assert registry.fetch_bundle(model, "1", tmp_path / "cache").name == version.bundle
    assert registry._client.get_run(version.run_id).data.tags[Tag.VERSION] == "1"


def test_mlflow_answers_named_fields(add, registry, model):
    add()
    loaded = mlflow.pyfunc.load_model(f"models:/{model}/1")
    frame = pd.DataFrame({"distance": [3.0, None], "carrier": ["AA", None]})
    answers = loaded.predict(frame)["probability"].tolist()
    assert answers == [3.0, 0.0]
    assert loaded.predict(frame[["distance"]])["probability"].tolist() == answers
    assert loaded.metadata.signature.inputs.input_names() == ["distance", "carrier"]
    assert load_model(f"models:/{model}/1").graph.output[0].name == "probability"


def test_the_model_brings_its_own_code(add, registry, model, tmp_path):
    """A machine that has the packages and not the project answers all the same."""
    version = add()
    folder = registry._client.get_model_version_download_uri(model, version.number)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", ELSEWHERE, folder],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["3.0", "True"], done.stderr


def test_an_absent_server_is_an_error_without_its_password(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    away = Registry(
        tracking_uri="http://me:hunter2@127.0.0.1:9",
        artifact_root="",
        lock_folder=str(tmp_path),
        ui_url="",
        dagster_url="",
    )
    with pytest.raises(ConnectionError, match="Check the tracking URI") as told:
        away.versions("m")
    assert "hunter2" not in str(told.value)


def test_a_version_made_by_hand_is_told(registry, model):
    registry._client.create_registered_model(model)
    registry._client.create_model_version(model, source="somewhere")
    with pytest.raises(LookupError, match="was not registered by this project"):
        registry.versions(model)


ELSEWHERE = """
import sys
import mlflow.pyfunc, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
print(model.predict(pandas.DataFrame({"distance": [3.0]}))["probability"][0])
print(sys.modules["serving"].__file__.startswith(sys.argv[1]))
"""


class Cut(BaseException):
    """Stands for a kill: nothing catches it."""


class Interrupted(Registry):
    """A registry whose process ends at one call to MLflow."""

    stop_at: str

    @property
    def _client(self):
        return Stopping(super()._client, self.stop_at)


class Stopping:
    """A client that ends the process before one call."""

    def __init__(self, client, at: str) -> None:
        self._client, self._at = client, at

    def __getattr__(self, name: str):
        return self._die if name == self._at else getattr(self._client, name)

    def _die(self, *args, **kwargs):
        raise Cut
