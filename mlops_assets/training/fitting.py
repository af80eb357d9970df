"""Learns a layout from the training rows, and from no others: scales, bins, vocabularies, the target's place."""

from collections import Counter

import numpy as np

from mlops_assets.declaration.data import Kind
from mlops_assets.domain.records import Inputs
from mlops_assets.training.layout import CategoryColumn, Layout, NumberColumn, Target
from mlops_assets.training.rows import Rows

COMMON = 5  # a category seen in fewer rows is "unknown", which is how the network learns what unknown means
LARGEST_VOCABULARY = 20_000
_NORMAL_IQR = 1.349  # interquartile range of a standard normal
_NARROWEST = 1e-4  # of a bin, in units of z: keeps slopes finite
_LARGEST = 1e300  # of a value: leaves room for differences
_WIDEST = 1e30  # a value of z, well within float32
_OVERHANG = 0.5  # how far regression answers may leave the range of the training labels, as a share of it


def learn_layout(
    rows: Rows, inputs: Inputs, kind: Kind, *, classes: tuple[str, ...], bins: int, transform: str
) -> Layout:
    """Everything the encoder needs. An all-null column gets no bins: all it says is that it is missing."""
    return Layout(
        kind=kind,
        classes=classes,
        numbers=tuple(_number(name, rows.numbers[:, i], bins) for i, name in enumerate(inputs.numbers)),
        categories=tuple(_category(name, rows.categories[:, i]) for i, name in enumerate(inputs.categories)),
        target=_target(rows.labels, kind, transform),
        prior=_prior(rows.labels, kind, len(classes)),
    )


def _number(name: str, column: np.ndarray, bins: int) -> NumberColumn:
    finite = np.clip(column[np.isfinite(column)], -_LARGEST, _LARGEST)
    if not len(finite):
        return NumberColumn(name, 0.0, 1.0, (0.0,))
    low, quarter, centre, three_quarters, high = np.quantile(finite, [0.001, 0.25, 0.5, 0.75, 0.999])
    with np.errstate(over="ignore"):
        spread = (three_quarters - quarter) / _NORMAL_IQR or float(np.std(np.clip(finite, low, high)))
        scale = float(spread) if np.isfinite(spread) and spread > 0 else 1.0
        z = np.clip((finite - centre) / scale, -_WIDEST, _WIDEST)
    return NumberColumn(name, float(centre), scale, _edges(z, bins))


def _edges(z: np.ndarray, bins: int) -> tuple[float, ...]:
    """Quantiles; the distinct values themselves where there are few of them."""
    distinct = np.unique(z.astype(np.float32))
    if len(distinct) > bins + 1:
        distinct = np.unique(np.quantile(z, np.linspace(0, 1, bins + 1)).astype(np.float32))
    kept = [float(distinct[0])]
    for edge in distinct[1:]:
        if edge - kept[-1] > _NARROWEST:
            kept.append(float(edge))
    return tuple(kept)


def _category(name: str, column: np.ndarray) -> CategoryColumn:
    counts = Counter(column.tolist())
    counts.pop("", None)
    common = [(value, count) for value, count in counts.items() if count >= COMMON]
    common.sort(key=lambda entry: (-entry[1], entry[0]))
    return CategoryColumn(name, tuple(value for value, _ in common[:LARGEST_VOCABULARY]))


def _target(labels: np.ndarray, kind: Kind, transform: str) -> Target:
    if kind is not Kind.REGRESSION:
        return Target("none", 0.0, 1.0, 0.0, 0.0)
    values = np.log1p(labels) if transform == "log1p" else labels
    low, high = float(values.min()), float(values.max())
    room = _OVERHANG * (high - low)
    lower = max(low - room, 0.0) if transform == "log1p" and low >= 0 else low - room
    return Target(transform, float(values.mean()), float(values.std()) or 1.0, lower, high + room)


def _prior(labels: np.ndarray, kind: Kind, classes: int) -> tuple[float, ...]:
    if kind is Kind.REGRESSION:
        return (0.0,)
    shares = (np.bincount(labels, minlength=classes) + 0.5) / (len(labels) + 0.5 * classes)
    logits = np.log(shares)
    return (float(logits[1] - logits[0]),) if kind is Kind.BINARY else tuple(float(v) for v in logits)
