"""The rows of a training set: as arrays, checked once for all that follows, and as tensors on a device."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from mlops_assets.declaration.data import Kind
from mlops_assets.domain.names import LABEL
from mlops_assets.domain.records import Inputs, TrainingSet
from mlops_assets.domain.training_set.split import PARTS, REST
from mlops_assets.training.layout import Layout
from serving.contract.encoding import pack_table

_ARRAYS = ("numbers", "categories", "labels")
_NEED_NO_SPREAD = ("test", REST)  # parts whose labels may be all alike


@dataclass(frozen=True)
class Rows:
    numbers: np.ndarray  # float64 [n, K], NaN is missing
    categories: np.ndarray  # text [n, C], "" is missing
    labels: np.ndarray  # float64 [n] for regression, int64 class index otherwise

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: np.ndarray | slice) -> "Rows":
        return Rows(self.numbers[index], self.categories[index], self.labels[index])


@dataclass(frozen=True)
class Batchable:
    """Rows as tensors on the device."""

    numbers: Tensor  # float64 [n, K]
    codes: Tensor  # int64 [n, C]
    targets: Tensor  # int64 class, or float32 standardised value [n]
    labels: np.ndarray  # as they came

    def __len__(self) -> int:
        return len(self.targets)


def pack(table: pa.Table, inputs: Inputs) -> Rows:
    """One part of a training set."""
    numbers, categories = pack_table(table, inputs.numbers, inputs.categories)
    return Rows(numbers, categories, table[LABEL].to_numpy().copy())


def pack_parts(training_set: TrainingSet, tables: Mapping[str, pa.Table], transform: str) -> dict[str, Rows]:
    """The rows of each part and of the rest, if any; one error lists everything that makes them unfit to learn from."""
    problems = [f"{part}: the part is absent" for part in PARTS if part not in tables]
    if not training_set.inputs.names:
        problems.append("inputs: there are none")
    problems += [f"{part}: no column {LABEL!r}" for part, table in tables.items() if LABEL not in table.column_names]
    if not problems:
        rest = [REST] if len(tables.get(REST, ())) else []
        parts = {part: pack(tables[part], training_set.inputs) for part in (*PARTS, *rest)}
        problems = [p for part, rows in parts.items() for p in _label_problems(part, rows, training_set, transform)]
        if not problems:
            kept = np.float64 if training_set.kind is Kind.REGRESSION else np.int64
            return {part: Rows(rows.numbers, rows.categories, rows.labels.astype(kept)) for part, rows in parts.items()}
    raise ValueError(f"{training_set.model}: the training set cannot be learnt from: " + "; ".join(problems))


def joined(parts: Mapping[str, Rows]) -> Rows:
    """The rows of all parts, one part after the other; the order of `training_rows.every_row`."""
    every = [parts[name] for name in (*PARTS, REST) if name in parts]
    return Rows(*(np.concatenate([getattr(rows, name) for rows in every]) for name in _ARRAYS))


def on_device(rows: Rows, layout: Layout, device: torch.device) -> Batchable:
    targets: np.ndarray = rows.labels
    if layout.kind is Kind.REGRESSION:
        values = np.log1p(targets) if layout.target.transform == "log1p" else targets
        targets = ((values - layout.target.centre) / layout.target.scale).astype(np.float32)
    return Batchable(
        numbers=torch.from_numpy(np.ascontiguousarray(rows.numbers)).to(device),
        codes=torch.from_numpy(layout.codes(rows.categories)).to(device),
        targets=torch.from_numpy(targets).to(device),
        labels=rows.labels,
    )


def _label_problems(part: str, rows: Rows, training_set: TrainingSet, transform: str) -> list[str]:
    labels = rows.labels
    if not len(labels):
        return [f"{part}: no rows; widen training.window or make the shares of the parts larger"]
    if not np.isfinite(labels.astype(np.float64)).all():
        return [f"{part}: {int((~np.isfinite(labels.astype(np.float64))).sum())} labels are missing or infinite"]
    if training_set.kind is Kind.REGRESSION:
        return _number_problems(part, labels, transform)
    return _class_problems(part, labels, training_set.classes)


def _number_problems(part: str, labels: np.ndarray, transform: str) -> list[str]:
    problems = []
    if part not in _NEED_NO_SPREAD and np.ptp(labels) == 0:
        problems.append(f"{part}: every label is {labels[0]:g}, so there is nothing to learn; check target.column")
    if transform == "log1p" and labels.min() <= -1:
        problems.append(f"{part}: target.transform is log1p, but the smallest label is {labels.min():g}")
    return problems


def _class_problems(part: str, labels: np.ndarray, classes: tuple[str, ...]) -> list[str]:
    found = np.unique(labels)
    if found[0] < 0 or found[-1] >= len(classes):
        return [f"{part}: labels run from {found[0]} to {found[-1]}, but there are {len(classes)} classes"]
    if part not in _NEED_NO_SPREAD and len(found) < 2:
        return [
            f"{part}: all {len(labels)} rows are of class {classes[int(found[0])]!r}, so there is nothing"
            " to tell apart; widen training.window, or check target.column and target.positive"
        ]
    return []
