"""How much quality hangs on each column: the loss when its values are shuffled among the rows.

Columns of a group are shuffled together, which tells what those that stand in for one another carry
jointly. The interval covers the choice of rows; the mean over repeats quiets the shuffle.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mlops_assets.domain.evaluation.estimators import Array
from mlops_assets.domain.evaluation.evidence import Interval
from mlops_assets.domain.evaluation.intervals import delta
from mlops_assets.domain.evaluation.metrics import Metric
from mlops_assets.domain.evaluation.robustness import EvaluatedRows, Predict
from mlops_assets.domain.records import Inputs


@dataclass(frozen=True)
class Importance:
    """Loss of the metric without the column's information; positive: the column helps."""

    name: str
    columns: tuple[str, ...]
    loss: Interval


def permutation_importance(
    predict: Predict,
    metric: Metric,
    rows: EvaluatedRows,
    *,
    level: float,
    rng: np.random.Generator,
    repeats: int = 3,
    blocks: Array | None = None,
    groups: Mapping[str, tuple[str, ...]] | None = None,
) -> tuple[Importance, ...]:
    """Every column (or every group), the most important first."""
    wanted = groups or {name: (name,) for name in rows.inputs.names}
    _demand_known(wanted, rows.inputs)
    whole = metric.prepare(rows.labels, predict(rows.numbers, rows.categories))
    value, influence = whole.value(), whole.influence()
    found = []
    for name, columns in wanted.items():
        shuffled = [metric.prepare(rows.labels, predict(*_shuffled(rows, columns, rng))) for _ in range(repeats)]
        loss = metric.sign * (value - np.mean([s.value() for s in shuffled]))
        each = metric.sign * (influence - np.mean([s.influence() for s in shuffled], axis=0))
        found.append(Importance(name, columns, delta(float(loss), each, level=level, blocks=blocks)))
    return tuple(sorted(found, key=lambda i: -i.loss.estimate))


def _demand_known(groups: Mapping[str, tuple[str, ...]], inputs: Inputs) -> None:
    unknown = sorted({c for columns in groups.values() for c in columns} - set(inputs.names))
    if unknown:
        raise ValueError(f"no such input columns: {', '.join(unknown)}; there are: {', '.join(inputs.names)}")


def _shuffled(rows: EvaluatedRows, columns: tuple[str, ...], rng: np.random.Generator) -> tuple[Array, Array]:
    order = rng.permutation(len(rows))
    numbers, categories = rows.numbers, rows.categories
    for_numbers = [k for k, name in enumerate(rows.inputs.numbers) if name in columns]
    for_categories = [k for k, name in enumerate(rows.inputs.categories) if name in columns]
    if for_numbers:
        numbers = numbers.copy()
        numbers[:, for_numbers] = rows.numbers[order][:, for_numbers]
    if for_categories:
        categories = categories.copy()
        categories[:, for_categories] = rows.categories[order][:, for_categories]
    return numbers, categories
