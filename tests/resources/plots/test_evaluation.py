"""Every picture is a PNG of the right width, small, and drawn for awkward data too."""

import struct

import numpy as np
import pytest

from mlops_assets.declaration.data import Kind
from mlops_assets.domain.evaluation.calibration import reliability
from mlops_assets.domain.evaluation.evidence import Interval
from mlops_assets.domain.evaluation.importance import Importance
from mlops_assets.domain.evaluation.slices import SliceScore
from mlops_assets.resources.plots import evaluation as plots

RNG = np.random.default_rng(0)
LABELS = (RNG.random(3000) < 0.3).astype(int)
SCORES = {
    name: 1 / (1 + np.exp(-(edge * LABELS + RNG.normal(size=3000)))) for name, edge in (("candidate", 1), ("x", 0))
}
SCORES["constant"] = np.full(3000, 0.3)
BETWEEN = Interval(0.7, 0.65, 0.75, 0.95, "delta")


def checked(png: bytes) -> None:
    assert png.startswith(b"\x89PNG")
    assert struct.unpack(">I", png[16:20])[0] == 900
    assert len(png) < 80_000


def slice_score(value: str, rows: int, score: Interval | None) -> SliceScore:
    return SliceScore("origin", value, rows, 100, score, None, "")


def of(kind: Kind, labels: np.ndarray, scores: np.ndarray) -> bytes:
    found = reliability(kind, labels, scores, level=0.95, rng=RNG, resamples=50)
    return plots.calibration(found, scores, kind)


def test_curves() -> None:
    checked(plots.roc(LABELS, SCORES))
    checked(plots.precision_recall(LABELS, SCORES))


@pytest.mark.parametrize("scores", [SCORES["candidate"], SCORES["constant"]])
def test_calibration(scores: np.ndarray) -> None:
    checked(of(Kind.BINARY, LABELS, scores))


def test_calibration_of_numbers_and_of_classes() -> None:
    checked(of(Kind.REGRESSION, 100 * SCORES["x"], 100 * SCORES["candidate"]))
    checked(of(Kind.MULTICLASS, RNG.integers(0, 3, 3000), RNG.dirichlet(np.ones(3), 3000)))


@pytest.mark.parametrize(
    "values", [["EWR", "JFK"], ["$x$ _{", "a" * 90], [f"v{k}" for k in range(60)]], ids=["few", "odd", "many"]
)
def test_slices(values: list[str]) -> None:
    found = [slice_score(value, 50 + 100 * k, BETWEEN) for k, value in enumerate(values)]
    checked(plots.slices([*found, slice_score("none", 3, None)], 0.7, "AUC"))


def test_importance() -> None:
    checked(plots.importance([Importance(f"c{k}", (f"c{k}",), BETWEEN) for k in range(40)], "AUC"))


@pytest.mark.parametrize("classes", [2, 12, 30])
def test_confusion(classes: int) -> None:
    labels = RNG.integers(0, classes - 1, 500)  # one class never occurs
    checked(plots.confusion(labels, RNG.dirichlet(np.ones(classes), 500)))


def test_residuals() -> None:
    checked(plots.residuals(100 * SCORES["x"], 100 * SCORES["candidate"]))
    checked(plots.residuals(LABELS * 1.0, SCORES["constant"]))


@pytest.mark.parametrize("epochs", [1, 30])
def test_learning_curve(epochs: int) -> None:
    history = [{"epoch": k, "loss": 1 / (k + 1), "validation_loss": 1.1 / (k + 1), "auc": 0.7} for k in range(epochs)]
    checked(plots.learning_curve(history))


def test_the_same_numbers_give_the_same_bytes() -> None:
    assert plots.roc(LABELS, SCORES) == plots.roc(LABELS, SCORES)
