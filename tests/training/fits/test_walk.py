"""The folds score rows that they have not learnt, the refit learns every row, and a kill costs no finished fold."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from mlops_assets.declaration.data import Kind
from mlops_assets.domain.evaluation.metrics import METRICS
from mlops_assets.domain.names import EVENT_TIME
from mlops_assets.domain.records import FoldScore
from mlops_assets.domain.training_set.folds import Fold, plan_walk_forward
from mlops_assets.training.fits.task import Declared
from mlops_assets.training.loop import answers_of
from mlops_assets.training.rows import on_device, pack
from mlops_assets.training.store import Trained, load_baselines, load_model, load_out_of_time
from mlops_assets.training.train import Progress, train
from tests.training.synthetic import DECLARED, INPUTS, NETWORK, SEARCH, TRAINING, table, training_set

ROWS = {"train": 300, "validation": 100, "test": 180, "rest": 20}
START = datetime(2024, 1, 1, tzinfo=UTC)
METRIC_OF = {Kind.BINARY: "auc", Kind.MULTICLASS: "accuracy", Kind.REGRESSION: "r2"}


def timed_tables(kind: Kind, renewed: int = 0) -> dict[str, pa.Table]:
    """Hourly rows; of the last ones every other has a new colour, which says yes. The rest lies before the test."""
    whole = table(kind, sum(ROWS.values()))
    whole = whole.append_column(EVENT_TIME, pa.array([START + timedelta(hours=i) for i in range(len(whole))]))
    if renewed:
        label = whole["label"].to_numpy().copy()
        label[-renewed::2], colour = 1, np.array(whole["colour"].to_pylist(), dtype=object)
        colour[-renewed::2] = "violet"
        whole = whole.set_column(whole.column_names.index("label"), "label", pa.array(label))
        whole = whole.set_column(whole.column_names.index("colour"), "colour", pa.array(colour, pa.string()))
    return {
        "train": whole.slice(0, 300),
        "validation": whole.slice(300, 100),
        "rest": whole.slice(400, 20),
        "test": whole.slice(420, 180),
    }


def planned(count: int = 3) -> tuple[Fold, ...]:
    rows = np.concatenate([np.arange(400), np.arange(420, 600), np.arange(400, 420)])
    return plan_walk_forward(rows, np.arange(400, 580), folds=count, gap=timedelta(0))


def walked(
    root: Path,
    kind: Kind = Kind.BINARY,
    progress: Progress | None = None,
    renewed: int = 0,
    declared: Declared = DECLARED,
) -> Trained:
    return train(
        training_set(kind),
        timed_tables(kind, renewed),
        declared,
        metric=METRICS[METRIC_OF[kind]],
        root=root,
        folds=planned(),
        progress=progress or Progress(),
    )


@pytest.mark.parametrize("kind", list(Kind))
def test_every_test_row_is_answered_by_a_fold(tmp_path: Path, kind: Kind) -> None:
    told: list[tuple[int, FoldScore]] = []

    trained = walked(tmp_path, kind, Progress(on_fold=lambda number, fold: told.append((number, fold))))

    found = load_out_of_time(trained.folder)
    assert found is not None
    answers, fold = found
    assert np.bincount(fold).tolist() == [0, 60, 60, 60]
    assert len(answers) == 180
    assert np.isfinite(answers).all()
    assert tuple(each for _, each in told) == trained.folds
    assert [each.learnt for each in trained.folds] == [420, 480, 540]
    assert trained.folds[0].learnt_until == START + timedelta(hours=419)
    assert (trained.folds[-1].first, trained.folds[-1].last) == (
        START + timedelta(hours=540),
        START + timedelta(599 / 24),
    )
    scores = {len(answers) for answers in load_baselines(trained.folder).values()}
    assert scores == {180}


def test_the_refit_has_learnt_the_newest_rows(tmp_path: Path) -> None:
    """A colour appears within the last stretch: only the refit can know what it says."""
    slow = Declared(NETWORK, TRAINING.with_changes(epochs=20, patience=20), SEARCH, "none")
    trained = walked(tmp_path, renewed=60, declared=slow)
    newest = pack(timed_tables(Kind.BINARY, 60)["test"].slice(120), INPUTS)
    model = load_model(trained.folder)
    found = load_out_of_time(trained.folder)
    assert found is not None

    refit = METRICS["auc"](newest.labels, answers_of(model, on_device(newest, model.layout, torch.device("cpu"))))

    last_fold = METRICS["auc"](newest.labels, found[0][120:])
    assert last_fold == trained.folds[-1].score
    assert refit > last_fold + 0.1


def test_other_folds_are_another_training(tmp_path: Path) -> None:
    first = walked(tmp_path)
    oldest = train(training_set(Kind.BINARY), timed_tables(Kind.BINARY), DECLARED, metric=METRICS["auc"], root=tmp_path)
    other = train(
        training_set(Kind.BINARY), timed_tables(Kind.BINARY), DECLARED,
        metric=METRICS["auc"], root=tmp_path, folds=planned(2),
    )  # fmt: skip

    assert len({first.folder, oldest.folder, other.folder}) == 3
    assert len({first.digest, oldest.digest, other.digest}) == 3
    assert (oldest.folds, load_out_of_time(oldest.folder)) == ((), None)
    assert len(other.folds) == 2


def test_no_label_of_a_stretch_is_known_to_its_fold(tmp_path: Path) -> None:
    """Other labels in the last stretch change no answer of the folds; calibration knows them as little as training."""
    tables = timed_tables(Kind.BINARY)
    label = tables["test"]["label"].to_numpy().copy()
    label[120:] = 1 - label[120:]
    other = tables["test"].set_column(tables["test"].column_names.index("label"), "label", pa.array(label))
    answers = []
    for name, test in {"as it was": tables["test"], "turned round": other}.items():
        trained = train(
            training_set(Kind.BINARY), {**tables, "test": test}, DECLARED,
            metric=METRICS["auc"], root=tmp_path / name, folds=planned(),
        )  # fmt: skip
        found = load_out_of_time(trained.folder)
        assert found is not None
        answers.append(found[0])

    assert np.array_equal(*answers)


KILLED = """
import os, signal, sys
from pathlib import Path
from mlops_assets.declaration.data import Kind
from mlops_assets.training.train import Progress
from tests.training.fits.test_walk import walked
def die(number, fold):
    if number == 2: os.kill(os.getpid(), signal.SIGKILL)
walked(Path(sys.argv[1]), Kind.BINARY, Progress(on_fold=die))
"""


def test_a_killed_walk_trains_no_finished_fold_again(tmp_path: Path, project: Path) -> None:
    path = os.pathsep.join([str(project), os.environ.get("PYTHONPATH", "")])
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "killed")], env={**os.environ, "PYTHONPATH": path}, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    (folder,) = (tmp_path / "killed").iterdir()
    kept = {path.name: path.stat().st_mtime_ns for path in (folder / "folds").iterdir()}
    assert set(kept) == {"1.npz", "2.npz"}
    seen: list[dict[str, int]] = []

    resumed = walked(
        tmp_path / "killed",
        progress=Progress(
            on_fold=lambda number, fold: seen.append(
                {path.name: path.stat().st_mtime_ns for path in (folder / "folds").iterdir()}
            )
        ),
    )

    assert all(each.items() >= kept.items() for each in seen)
    whole = walked(tmp_path / "whole")
    assert (resumed.digest, resumed.folds) == (whole.digest, whole.folds)
    assert {path.name for path in folder.iterdir()} == {
        "weights.npz", "layout.json", "parameters.json", "result.json", "baselines", "out_of_time.npz",
    }  # fmt: skip
