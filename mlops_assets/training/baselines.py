"""What a network has to beat: a constant, a linear model, gradient boosting, each on the network's own inputs.

Only their answers are kept, in the shape of the model's own: probability [n], probabilities [n, k] or value [n].
"""

from collections.abc import Callable, Mapping

import numpy as np
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from threadpoolctl import threadpool_limits

from mlops_assets.declaration.data import Kind
from mlops_assets.training.layout import Layout
from mlops_assets.training.rows import Rows

Answers = Mapping[str, np.ndarray]  # part → answers
Baseline = Callable[[Layout, Mapping[str, Rows], int], Answers]

_MOST_GROUPS = 255  # categories that gradient boosting takes as categories; the rarer ones share the last
_FURTHEST = 5.0
_FEW_CELLS = 500_000


def baseline_answers(layout: Layout, parts: Mapping[str, Rows], seed: int) -> Mapping[str, Answers]:
    """Name → part → answers, for the validation and test rows."""
    return {name: make(layout, parts, seed) for name, make in BASELINES.items()}


def constant(layout: Layout, parts: Mapping[str, Rows], seed: int) -> Answers:
    """The shares of the classes, or the mean, of the training rows."""
    del seed
    labels = parts["train"].labels
    if layout.kind is Kind.REGRESSION:
        return {part: _as_value(layout, np.zeros(len(parts[part]))) for part in _answered(parts)}
    shares = np.bincount(labels, minlength=len(layout.classes)) / len(labels)
    return {part: _shaped(layout, np.tile(shares, (len(parts[part]), 1))) for part in _answered(parts)}


def linear(layout: Layout, parts: Mapping[str, Rows], seed: int) -> Answers:
    """Ridge or logistic regression on scaled numbers and one column for each category."""
    train = parts["train"]
    if layout.kind is Kind.REGRESSION:
        model = Ridge(alpha=1.0, solver="lsqr", random_state=seed)
        model.fit(_sparse(layout, train), _standardised(layout, train.labels))
        return {part: _as_value(layout, model.predict(_sparse(layout, parts[part]))) for part in _answered(parts)}
    classifier = LogisticRegression(C=1.0, max_iter=200, tol=1e-3, random_state=seed)
    classifier.fit(_sparse(layout, train), train.labels)
    return {
        part: _probabilities(layout, classifier.predict_proba(_sparse(layout, parts[part])), classifier.classes_)
        for part in _answered(parts)
    }


def gradient_boosting(layout: Layout, parts: Mapping[str, Rows], seed: int) -> Answers:
    """Histogram gradient boosting, stopped early on the validation rows."""
    # On few cells threads only wait for one another: ten times slower on a busy machine.
    few = parts["train"].numbers.size < _FEW_CELLS
    with threadpool_limits(1 if few else None, "openmp"):
        return _boosted(layout, parts, seed)


def _boosted(layout: Layout, parts: Mapping[str, Rows], seed: int) -> Answers:
    train, validation = parts["train"], parts["validation"]
    settings = {
        "max_iter": 300,
        "early_stopping": True,
        "n_iter_no_change": 20,
        "random_state": seed,
        "categorical_features": [False] * len(layout.numbers) + [True] * len(layout.categories),
    }
    if layout.kind is Kind.REGRESSION:
        model = HistGradientBoostingRegressor(**settings)
        model.fit(
            _dense(layout, train),
            _standardised(layout, train.labels),
            X_val=_dense(layout, validation),
            y_val=_standardised(layout, validation.labels),
        )
        return {part: _as_value(layout, model.predict(_dense(layout, parts[part]))) for part in _answered(parts)}
    known = np.isin(validation.labels, train.labels)
    classifier = HistGradientBoostingClassifier(**settings)
    classifier.fit(
        _dense(layout, train),
        train.labels,
        X_val=_dense(layout, validation)[known],
        y_val=validation.labels[known],
    )
    known_classes = np.unique(train.labels)
    return {
        part: _probabilities(layout, classifier.predict_proba(_dense(layout, parts[part])), known_classes)
        for part in _answered(parts)
    }


BASELINES: Mapping[str, Baseline] = {
    "constant": constant,
    "linear": linear,
    "gradient_boosting": gradient_boosting,
}


def _answered(parts: Mapping[str, Rows]) -> list[str]:
    return [part for part in parts if part != "train"]


def _scaled(layout: Layout, rows: Rows) -> np.ndarray:
    """Numbers as the network's encoder scales and saturates them; missing stays NaN."""
    centre = np.array([column.centre for column in layout.numbers])
    scale = np.array([column.scale for column in layout.numbers])
    lower = np.array([column.edges[0] for column in layout.numbers])
    upper = np.array([column.edges[-1] for column in layout.numbers])
    with np.errstate(over="ignore"):
        return np.clip((rows.numbers - centre) / scale, lower, upper)


def _sparse(layout: Layout, rows: Rows) -> sparse.csr_matrix:
    z = _scaled(layout, rows)
    missing = np.isnan(z)
    dense = np.hstack([np.clip(np.where(missing, 0.0, z), -_FURTHEST, _FURTHEST), missing])
    codes = layout.codes(rows.categories)
    ends = np.arange(0, codes.size + 1, max(codes.shape[1], 1))[: len(rows) + 1]
    if not codes.size:
        return sparse.csr_matrix(dense)
    one_hot = sparse.csr_matrix((np.ones(codes.size), codes.ravel(), ends), shape=(len(rows), layout.rows))
    return sparse.csr_matrix(sparse.hstack([sparse.csr_matrix(dense), one_hot]))


def _dense(layout: Layout, rows: Rows) -> np.ndarray:
    z = _scaled(layout, rows)
    empty = [i for i, column in enumerate(layout.numbers) if len(column.edges) == 1]
    z[:, empty] = 0.0  # scikit-learn cannot bin a column without values
    codes = layout.codes(rows.categories) - np.array(layout.offsets, dtype=np.int64)
    return np.hstack([z, np.minimum(codes, _MOST_GROUPS - 1)])


def _standardised(layout: Layout, labels: np.ndarray) -> np.ndarray:
    values = np.log1p(labels) if layout.target.transform == "log1p" else labels
    return (values - layout.target.centre) / layout.target.scale


def _as_value(layout: Layout, outputs: np.ndarray) -> np.ndarray:
    target = layout.target
    values = np.clip(outputs * target.scale + target.centre, target.lower, target.upper)
    return np.expm1(values) if target.transform == "log1p" else values


def _probabilities(layout: Layout, found: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Classes that the training rows do not hold get probability 0."""
    whole = np.zeros((len(found), len(layout.classes)))
    whole[:, classes] = found
    return _shaped(layout, whole)


def _shaped(layout: Layout, probabilities: np.ndarray) -> np.ndarray:
    return probabilities[:, 1] if layout.kind is Kind.BINARY else probabilities
