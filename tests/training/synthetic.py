"""Small training sets with something to learn in them, and every kind of awkward value."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.training import NetworkSpec, SearchSpec, TrainingSpec
from mlops_assets.domain.records import Inputs, TrainingSet
from mlops_assets.training.fits.task import Declared

INPUTS = Inputs(numbers=("size", "count", "flag", "empty"), categories=("colour", "code", "rare"))
CLASSES = {Kind.BINARY: ("no", "yes"), Kind.MULTICLASS: ("a", "b", "c"), Kind.REGRESSION: ()}
NETWORK = NetworkSpec(type="tabular", width=16, depth=1, dropout=0.1, embedding=4, bins=8, options={})
TRAINING = TrainingSpec(
    window=None,
    validation=0.2,
    test=0.2,
    gap=timedelta(0),
    group=None,
    refit=False,
    folds=3,
    epochs=3,
    batch_size=64,
    learning_rate=1e-2,
    weight_decay=1e-2,
    patience=3,
    class_weights=False,
    calibrate=True,
    device="cpu",
    precision="fp32",
    compile=False,
    seed=0,
)
SEARCH = SearchSpec(trials=0, sample=0.5, epochs=2, timeout=None, space={})
DECLARED = Declared(NETWORK, TRAINING, SEARCH, "none")


def table(kind: Kind, rows: int, seed: int = 0) -> pa.Table:
    """`size` and `colour` decide the label. `empty` is null throughout, the others here and there."""
    draw = np.random.default_rng(seed)
    size, count = draw.normal(10, 3, rows), draw.integers(0, 6, rows)
    colour = draw.choice(["red", "green", "blue"], rows)
    strength = (size - 10) / 3 + np.where(colour == "red", 1.5, -0.5) + draw.normal(0, 0.3, rows)
    labels = {
        Kind.BINARY: (strength > 0).astype(np.int64),
        Kind.MULTICLASS: np.digitize(strength, [-0.7, 0.7]).astype(np.int64),
        Kind.REGRESSION: np.exp(strength),
    }
    absent = draw.random((4, rows)) < 0.05
    return pa.table(
        {
            "size": pa.array(size, mask=absent[0]),
            "count": pa.array(count, mask=absent[1]),
            "flag": pa.array(draw.random(rows) < 0.5),
            "empty": pa.nulls(rows, pa.float64()),
            "colour": pa.array(colour, mask=absent[2]),
            "code": pa.array(draw.integers(0, 9, rows), mask=absent[3]),
            "rare": pa.array([f"once {i}" for i in range(rows)]),
            "label": labels[kind],
        }
    )


def tables(kind: Kind, rows: int = 400) -> dict[str, pa.Table]:
    parts = {"train": rows, "validation": rows // 2, "test": rows // 2}
    return {part: table(kind, size, seed) for seed, (part, size) in enumerate(parts.items())}


def training_set(kind: Kind, inputs: Inputs = INPUTS) -> TrainingSet:
    return TrainingSet(
        model="sample",
        digest="d" * 64,
        as_of=datetime(2013, 1, 1, tzinfo=UTC),
        service="sample_v1",
        inputs=inputs,
        kind=kind,
        classes=CLASSES[kind],
        entity=("id",),
        context=(),
        rows={},
        boundaries={},
        partitions={},
        champion_until=None,
    )
