"""Answers of the folds and of the refit mean what they say, though models that stop early stop at any scale."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mlops_assets.declaration.data import Kind
from mlops_assets.domain.evaluation.metrics import METRICS
from mlops_assets.domain.records import Inputs
from mlops_assets.domain.training_set.folds import plan_walk_forward
from mlops_assets.training.fits.task import Declared
from mlops_assets.training.store import load_out_of_time
from mlops_assets.training.train import train
from tests.training.synthetic import NETWORK, SEARCH, TRAINING, training_set

ROWS = {"train": 5_000, "validation": 1_500, "test": 2_400, "rest": 300}
INPUTS = Inputs(numbers=("a", "b", "c", "d"), categories=())


def rare_outcomes(rows: int, seed: int) -> pa.Table:
    """One in eight, and hardly to be told."""
    draw = np.random.default_rng(seed)
    inputs = {name: draw.normal(size=rows) for name in INPUTS.numbers}
    chance = 1 / (1 + np.exp(2.3 - inputs["a"] - 0.5 * inputs["b"]))
    return pa.table({**inputs, "label": (draw.random(rows) < chance).astype(np.int64)})


@pytest.mark.simulation
def test_folds_answer_with_probabilities_that_hold(tmp_path: Path) -> None:
    first = ROWS["train"] + ROWS["validation"]
    order = np.concatenate(
        [
            np.arange(first),
            np.arange(first, first + ROWS["test"]) + ROWS["rest"],
            np.arange(first, first + ROWS["rest"]),
        ]
    )
    folds = plan_walk_forward(order, np.arange(first, first + ROWS["test"]), folds=3, gap=timedelta(0))
    network = NETWORK.with_changes(width=96, depth=3, dropout=0.0, bins=32)
    off, losses = [], []
    for seed in (0, 2, 4):
        tables = {name: rare_outcomes(size, 10 * seed + place) for place, (name, size) in enumerate(ROWS.items())}
        training = TRAINING.with_changes(seed=seed, learning_rate=5e-3, epochs=12, patience=4, batch_size=512)
        root = tmp_path / str(seed)
        train(
            training_set(Kind.BINARY, INPUTS), tables, Declared(network, training, SEARCH, "none"),
            metric=METRICS["auc"], root=root, folds=folds,
        )  # fmt: skip
        scored = load_out_of_time(next(root.iterdir()))
        assert scored is not None
        answers, labels = scored[0], tables["test"]["label"].to_numpy()
        off.append(float(answers.mean() - labels.mean()))
        prior = labels.mean()
        losses.append(METRICS["log_loss"](labels, answers) / METRICS["log_loss"](labels, np.full(len(labels), prior)))
    assert max(map(abs, off)) < 0.025  # with the scale of the model that stopped early: 0.033
    assert max(losses) < 0.97
