"""Training as a whole: it learns, it repeats itself bit for bit, and a kill costs one epoch."""

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from mlops_assets.declaration.data import Kind
from mlops_assets.domain.evaluation.metrics import METRICS
from mlops_assets.domain.records import Inputs
from mlops_assets.training.fits.task import Declared
from mlops_assets.training.loop import answers_of, batch_size
from mlops_assets.training.network import build
from mlops_assets.training.rows import on_device, pack
from mlops_assets.training.steps import autocast_type, device_of
from mlops_assets.training.store import Trained, load_baselines, load_model
from mlops_assets.training.train import Progress, train
from tests.training.synthetic import DECLARED, INPUTS, NETWORK, TRAINING, tables, training_set

METRIC_OF = {Kind.BINARY: "auc", Kind.MULTICLASS: "accuracy", Kind.REGRESSION: "r2"}


def run(root: Path, kind: Kind = Kind.BINARY, declared: Declared = DECLARED, **more) -> Trained:
    return train(training_set(kind), tables(kind), declared, metric=METRICS[METRIC_OF[kind]], root=root, **more)


def with_training(**changes) -> Declared:
    return dataclasses.replace(DECLARED, training=TRAINING.with_changes(**changes))


@pytest.mark.parametrize(("kind", "reached"), [(Kind.BINARY, 0.9), (Kind.MULTICLASS, 0.7), (Kind.REGRESSION, 0.45)])
def test_it_learns(tmp_path: Path, kind: Kind, reached: float) -> None:
    declared = dataclasses.replace(with_training(epochs=12), transform="log1p" if kind is Kind.REGRESSION else "none")
    trained = run(tmp_path, kind, declared)

    assert trained.score > reached
    assert trained.history[trained.best_epoch - 1][trained.metric] == trained.score
    labels = pack(tables(kind)["test"], INPUTS).labels
    scores = {name: METRICS[METRIC_OF[kind]](labels, a) for name, a in load_baselines(trained.folder).items()}
    assert set(scores) == {"constant", "linear", "gradient_boosting"}
    assert scores["linear"] > scores["constant"]
    assert scores["gradient_boosting"] > reached - 0.1


def test_the_same_inputs_give_the_same_weights(tmp_path: Path) -> None:
    first, again, other = (
        run(tmp_path / "1"),
        run(tmp_path / "2"),
        run(tmp_path / "3", declared=with_training(seed=1)),
    )

    assert first.digest == again.digest
    assert first.digest != other.digest
    assert first.folder.name == again.folder.name != other.folder.name


def test_a_finished_run_is_found_again(tmp_path: Path) -> None:
    epochs: list[int] = []
    first = run(tmp_path, progress=Progress(on_epoch=lambda epoch, metrics: epochs.append(epoch)))
    again = run(tmp_path, progress=Progress(on_epoch=lambda epoch, metrics: epochs.append(epoch)))

    assert epochs == [1, 2, 3]
    assert first == again
    assert {path.name for path in first.folder.iterdir()} == {
        "weights.npz", "layout.json", "parameters.json", "result.json", "baselines",
    }  # fmt: skip


def test_generator_and_settings_of_the_caller_are_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    threads = torch.get_num_threads()
    torch.manual_seed(5)
    run(tmp_path)

    assert torch.rand(1) == expected
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_weights_do_not_depend_on_the_number_of_cores(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = run(tmp_path / "1").digest
        torch.set_num_threads(4)
        assert run(tmp_path / "4").digest == one
    finally:
        torch.set_num_threads(threads)


KILLED = """
import os, signal, sys
from pathlib import Path
from mlops_assets.declaration.data import Kind
from mlops_assets.training.train import Progress
from tests.training.test_train import run, searching
def die(epoch, metrics):
    if epoch == 2: os.kill(os.getpid(), signal.SIGKILL)
run(Path(sys.argv[1]), declared=searching(), progress=Progress(on_epoch=die))
"""


def searching() -> Declared:
    search = DECLARED.search.with_changes(trials=3)
    return dataclasses.replace(with_training(epochs=4), search=search)


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path: Path, project: Path) -> None:
    path = os.pathsep.join([str(project), os.environ.get("PYTHONPATH", "")])
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "killed")],
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    epochs: list[int] = []
    trials: list[int] = []

    resumed = run(
        tmp_path / "killed",
        declared=searching(),
        progress=Progress(
            on_epoch=lambda epoch, metrics: epochs.append(epoch), on_trial=lambda trial: trials.append(trial.number)
        ),
    )
    whole = run(tmp_path / "whole", declared=searching())

    assert epochs == [3, 4]
    assert trials == []
    assert resumed.digest == whole.digest
    assert resumed.history == whole.history
    assert resumed.trials == whole.trials


def test_early_stopping_keeps_the_best_epoch(tmp_path: Path) -> None:
    trained = run(tmp_path, declared=with_training(epochs=40, patience=2, learning_rate=0.05))
    best = max(entry["auc"] for entry in trained.history)

    assert len(trained.history) == trained.best_epoch + 2 < 40
    assert trained.score == best


def test_a_metric_where_less_is_better_is_minimised(tmp_path: Path) -> None:
    kind = Kind.REGRESSION
    trained = train(training_set(kind), tables(kind), DECLARED, metric=METRICS["rmse"], root=tmp_path)

    assert trained.score == min(entry["rmse"] for entry in trained.history)


def test_divergence_is_said(tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match=r"diverged in epoch 1.*training\.learning_rate"):
        run(tmp_path, Kind.REGRESSION, with_training(learning_rate=1e30))


def one_in_seven(table: pa.Table) -> pa.Table:
    """The same with few rows of the second class."""
    keep = np.random.default_rng(0).random(table.num_rows) < 0.15
    return table.filter(pa.array((table["label"].to_numpy() == 0) | keep))


def test_calibration_undoes_the_lift_of_class_weights(tmp_path: Path) -> None:
    rare = {part: one_in_seven(table) for part, table in tables(Kind.BINARY).items()}
    rows = pack(rare["validation"], INPUTS)

    def mean_answer(**changes) -> float:
        declared = with_training(epochs=8, **changes)
        trained = train(training_set(Kind.BINARY), rare, declared, metric=METRICS["auc"], root=tmp_path)
        model = load_model(trained.folder)
        return float(answers_of(model, on_device(rows, model.layout, torch.device("cpu"))).mean())

    plain = mean_answer(class_weights=False, calibrate=False)

    assert mean_answer(class_weights=True, calibrate=False) > plain + 0.03
    assert mean_answer(class_weights=True, calibrate=True) == pytest.approx(rows.labels.mean(), abs=0.02)


def test_a_network_of_ones_own(tmp_path: Path) -> None:
    own = NETWORK.with_changes(type="tests.training.own_network.Wide", options={"hidden": 8})
    trained = run(tmp_path, declared=dataclasses.replace(DECLARED, network=own))

    assert trained.parameters["network.options.hidden"] == 8
    assert type(load_model(trained.folder).network).__name__ == "Wide"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("tabluar", "neither 'tabular' nor the dotted name"),
        ("tests.training.absent.Net", "neither 'tabular' nor the dotted name"),
        ("tests.training.own_network.Absent", "neither 'tabular' nor the dotted name"),
        ("tests.training.synthetic.tables", "is not a class derived from torch.nn.Module"),
    ],
)
def test_a_network_that_does_not_exist(tmp_path: Path, name: str, problem: str) -> None:
    with pytest.raises((ValueError, TypeError), match=problem):
        run(tmp_path, declared=dataclasses.replace(DECLARED, network=NETWORK.with_changes(type=name)))


@pytest.mark.parametrize("inputs", [Inputs(("size", "count"), ()), Inputs((), ("colour", "code"))])
def test_inputs_of_one_kind_are_enough(tmp_path: Path, inputs: Inputs) -> None:
    trained = train(
        training_set(Kind.BINARY, inputs), tables(Kind.BINARY), DECLARED, metric=METRICS["auc"], root=tmp_path
    )

    assert trained.score > 0.5


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_an_absent_gpu_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"training\.device is cuda, but"):
        run(tmp_path, declared=with_training(device="cuda"))
    assert device_of("auto").type == "cpu"


@pytest.mark.parametrize(
    ("asked", "device", "found"),
    [
        ("auto", "cpu", None),
        ("auto", "cuda", torch.bfloat16),
        ("fp32", "cuda", None),
        ("bf16", "cpu", torch.bfloat16),
    ],
)
def test_arithmetic(asked: str, device: str, found: torch.dtype | None) -> None:
    assert autocast_type(asked, torch.device(device)) is found


def test_unknown_devices_and_precisions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"training\.device is 'gpu'"):
        device_of("gpu")
    with pytest.raises(ValueError, match=r"training\.precision is 'fp8'"):
        autocast_type("fp8", torch.device("cpu"))


def test_bf16_trains_too(tmp_path: Path) -> None:
    assert run(tmp_path, declared=with_training(precision="bf16", epochs=8)).score > 0.8


@pytest.mark.parametrize(("rows", "size"), [(100, 64), (50_000, 500), (10_000_000, 2048)])
def test_small_data_gets_smaller_batches(rows: int, size: int) -> None:
    assert batch_size(TRAINING.with_changes(batch_size=2048), rows) == size


def test_hidden_inputs_teach_missing_and_unknown(tmp_path: Path) -> None:
    layout = load_model(run(tmp_path).folder).layout
    model = build(layout, NETWORK).train()
    torch.manual_seed(0)

    numbers, codes = model._hide(torch.zeros(5_000, 4, dtype=torch.float64), torch.zeros(5_000, 3, dtype=torch.int64))

    assert 0.005 < torch.isnan(numbers).double().mean() < 0.02
    assert {int(code) for code in codes[:, 1].unique()} == {0, layout.offsets[1], layout.offsets[1] + 1}


def test_a_search_ends_in_time(tmp_path: Path) -> None:
    ticks = iter(range(0, 10_000, 60))
    declared = searching()
    search = declared.search.with_changes(trials=50, timeout=timedelta(minutes=2))
    seen: list[Mapping] = []
    trained = run(
        tmp_path,
        declared=dataclasses.replace(declared, search=search),
        clock=lambda: float(next(ticks)),
        progress=Progress(on_trial=lambda trial: seen.append(trial.values)),
    )

    assert 1 <= len(trained.trials) < 5
    assert len(seen) == len(trained.trials)
