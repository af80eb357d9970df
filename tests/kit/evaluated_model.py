"""A little model, known exactly, with rows to evaluate it on."""

import numpy as np
import pyarrow as pa

from mlops_assets.declaration.release import Precision
from mlops_assets.domain.evaluation.robustness import EvaluatedRows
from mlops_assets.domain.records import Compressed, Inputs

INPUTS = Inputs(numbers=("strong", "weak", "useless"), categories=("airport",))
EFFECT = {"EWR": 0.8, "JFK": -0.8}


def predict(numbers: np.ndarray, categories: np.ndarray) -> np.ndarray:
    """Probabilities; bounded numbers, missing ones and unknown airports count nothing."""
    known = np.nan_to_num(np.clip(numbers, -3, 3), nan=0.0)
    airport = np.array([EFFECT.get(value, 0.0) for value in categories[:, 0]])
    return 1 / (1 + np.exp(-(1.5 * known[:, 0] + 0.5 * known[:, 1] + airport)))


def rows(count: int = 2000, seed: int = 0) -> EvaluatedRows:
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(count, 3))
    numbers[rng.random(numbers.shape) < 0.02] = np.nan
    categories = rng.choice(["EWR", "JFK", ""], (count, 1))
    labels = (rng.random(count) < predict(numbers, categories)).astype(int)
    return EvaluatedRows(INPUTS, numbers, categories, labels)


def columns(of: EvaluatedRows, seed: int = 0) -> pa.Table:
    sex = np.random.default_rng(seed).choice(["f", "m"], len(of))
    return pa.table({"airport": of.categories[:, 0].astype(str), "strong": of.numbers[:, 0], "sex": sex})


SERVED = Compressed(
    precision=Precision.FP32,
    passed=True,
    bytes=20_000,
    single_row_ms=0.2,
    batch_ms=1.5,
    worst_difference=1e-7,
    mean_difference=1e-8,
    reason="",
)
