"""Training as an asset: killed and gone on with, alone for its model, the same again for the same inputs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient

from mlops_assets.domain.names import Stage
from mlops_assets.domain.records import TrainedModel
from mlops_assets.training.store import CHECKPOINT
from tests.kit.daily import MODEL, Shop, attributes, materialized
from tests.kit.declared import Bench, record, run_errors

EPOCHS = 24
LONG = {**attributes(Path())["training"], "epochs": EPOCHS, "patience": EPOCHS}
NO_SEARCH = {"training": LONG, "search": {"trials": 0}}
IN_A_PROCESS = """
import json, sys
from pathlib import Path
from mlops_assets.domain.names import Stage
from tests.kit.daily import bench
home, source, instead = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
bench(home, source, **instead).materialize(Stage.TRAINED_MODEL)
"""


def epochs_told(made: Bench, run_id: str) -> list[int]:
    """The numbers of the epochs that a run trained, from its log."""
    messages = [entry.user_message for entry in made.instance.all_logs(run_id)]
    return [int(text.split()[1]) for text in messages if text.startswith("epoch ")]


def killed_in_the_middle(made: Bench, source: Path) -> None:
    """Train in a process of its own and kill it when the first epochs are done."""
    arguments = [sys.executable, "-c", IN_A_PROCESS, str(made.home), str(source), json.dumps(NO_SEARCH)]
    root = Path(__file__).parents[3]
    process = subprocess.Popen(
        arguments, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 120
        while not list(made.home.glob(f"work/{MODEL}/training/*/{CHECKPOINT}")) and process.poll() is None:
            assert time.monotonic() < until, "no checkpoint came"
            time.sleep(0.002)
        assert process.poll() is None, "it was over before it could be killed"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_a_killed_training_resumes_to_the_same_weights(shop: Shop, tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    whole = shop.copy(shop.with_data, tmp_path / "one", **NO_SEARCH)
    killed = shop.copy(shop.with_data, tmp_path / "other", **NO_SEARCH)
    for made in (whole, killed):
        assert made.materialize(Stage.TRAINING_SET).success
    killed_in_the_middle(killed, shop.source)
    epochs = []
    for made in (whole, killed):
        result = made.materialize(Stage.TRAINED_MODEL)
        assert result.success, run_errors(result)
        epochs.append(epochs_told(made, result.run_id))
    assert epochs[0] == list(range(1, EPOCHS + 1))
    assert epochs[1][0] > 1
    assert epochs[1] == list(range(epochs[1][0], EPOCHS + 1))
    before, after = (record(made, Stage.TRAINED_MODEL, TrainedModel) for made in (whole, killed))
    assert after.digest == before.digest
    assert after.validation_score == before.validation_score
    assert len(tracked_runs(killed)) == 1  # the same MLflow run went on


def tracked_runs(made: Bench) -> list[str]:
    client = MlflowClient(made.resources["registry"].tracking_uri)
    experiments = [each.experiment_id for each in client.search_experiments() if each.name != "Default"]
    return [run.info.run_id for run in client.search_runs(experiments)]


def test_two_trainings_of_a_model_at_once_are_refused_by_name(shop: Shop, tmp_path):
    made = shop.copy(shop.registered, tmp_path)
    with made.resources["workspace"].alone(MODEL, "training", "run-of-somebody-else"):
        result = made.materialize(Stage.TRAINED_MODEL)
    assert not result.success
    assert "AlreadyRunningError" in run_errors(result)
    assert f"Dagster run run-of-somebody-else, process {os.getpid()}" in run_errors(result)
    assert not any(event.is_step_up_for_retry for event in result.all_events)
    assert made.materialize(Stage.TRAINED_MODEL).success


def test_the_same_inputs_again_train_nothing(shop: Shop, tmp_path):
    made = shop.copy(shop.registered, tmp_path)
    before = record(made, Stage.TRAINED_MODEL, TrainedModel)
    result = made.materialize(Stage.TRAINED_MODEL)
    assert materialized(result, Stage.TRAINED_MODEL)
    assert epochs_told(made, result.run_id) == []
    assert record(made, Stage.TRAINED_MODEL, TrainedModel) == before


def test_without_a_training_set_it_says_what_to_launch(shop: Shop, tmp_path):
    made = shop.copy(shop.with_data, tmp_path)
    result = made.materialize(Stage.TRAINED_MODEL)
    assert not result.success
    assert "training_set has no record" in run_errors(result)
    assert "materialise it first" in run_errors(result)


@pytest.mark.parametrize("device", ["cuda"])
def test_a_gpu_that_was_asked_for_and_is_absent_is_an_error(shop: Shop, tmp_path, device):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    made = shop.copy(shop.registered, tmp_path, training={**LONG, "device": device})
    result = made.materialize(Stage.TRAINED_MODEL)
    assert not result.success
    assert "training.device" in run_errors(result)
