"""Golden requests: rows of the test part and hostile ones, with the answers a bundle must go on giving."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from mlops_assets.declaration.release import Precision
from serving.contract.encoding import pack_rows
from serving.contract.fields import Contract

_ORDINARY = 16
_ABSOLUTE = {Precision.FP32: 1e-4, Precision.FP16: 5e-3, Precision.INT8: 2e-2}
_UNSEEN = "\N{WHITE QUESTION MARK ORNAMENT} never seen"

Predict = Callable[[np.ndarray, np.ndarray], np.ndarray]


def golden(contract: Contract, test: pa.Table, predict: Predict, scale: float) -> dict[str, Any]:
    """Requests as callers send them (null is missing), and how near an answer has to be.

    `scale` is the spread of the answers where they are no probabilities. Kernels differ between processors
    and providers, more so the lower the precision; the tolerance is about that and no more.
    """
    names = (*contract.numbers, *contract.categories)
    rows = [*_ordinary(test.select(names)), *_hostile(contract)]
    answers = predict(*pack_rows([row for _, row in rows], contract.numbers, contract.categories))
    near = _ABSOLUTE[Precision(contract.precision)]
    return {
        "absolute": near * scale,
        "relative": near if contract.kind == "regression" else 0.0,
        "requests": [
            {"name": name, "row": row, "answer": answer}
            for (name, row), answer in zip(rows, answers.astype(np.float64).tolist(), strict=True)
        ],
    }


def _ordinary(test: pa.Table) -> list[tuple[str, dict[str, Any]]]:
    """Rows spread evenly over the test part. JSON has neither NaN nor infinity: such numbers become null."""
    positions = np.unique(np.linspace(0, test.num_rows - 1, _ORDINARY).astype(int))
    rows = test.take(positions).to_pylist()
    return [
        (f"test row {position}", {name: _json_value(value) for name, value in row.items()})
        for position, row in zip(positions.tolist(), rows, strict=True)
    ]


def _json_value(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    number = float(value)
    return number if np.isfinite(number) else None


def _hostile(contract: Contract) -> Sequence[tuple[str, dict[str, Any]]]:
    missing: dict[str, Any] = {field.name: None for field in contract.fields}
    unknown = dict.fromkeys(contract.categories, _UNSEEN)
    huge = dict.fromkeys(contract.numbers, 1e300)
    tiny = dict.fromkeys(contract.numbers, -1e300)
    lowest = {field.name: field.lower for field in contract.fields if field.kind == "number"}
    highest = {field.name: field.upper for field in contract.fields if field.kind == "number"}
    return [
        ("everything missing", missing),
        ("unknown categories", {**missing, **unknown}),
        ("lowest seen", {**missing, **lowest}),
        ("highest seen", {**missing, **highest}),
        ("far above", {**missing, **huge}),
        ("far below", {**missing, **tiny}),
    ]
