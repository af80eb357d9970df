"""What a network has to beat: a constant, a linear model, gradient boosting, each on the network's own inputs.

Only their answers are kept, in the shape of the model's own: probability [n], probabilities [n, k] or value [n].
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from threadpoolctl import threadpool_limits

from mlops_assets.declaration.data import Kind
from mlops_assets.training.layout import Layout
from mlops_assets.training.rows import Rows

Answer = Callable[[Rows], np.ndarray]

CONSTANT = "constant"
_MOST_GROUPS = 255  # categories that gradient boosting takes as categories; the rarer ones share the last
_MOST_ROUNDS = 300
_FURTHEST = 5.0
_FEW_CELLS = 500_000


@dataclass(frozen=True)
class BaselineFit:
    """How a baseline is fitted: how many rounds of boosting, or the rows that stop them early."""

    seed: int
    rounds: int | None = None
    validation: Rows | None = None


Baseline = Callable[[Layout, Rows, BaselineFit], Answer]


def baseline_answers(layout: Layout, learnt: Rows, asked: Rows, recipe: BaselineFit) -> dict[str, np.ndarray]:
    """Name → the answers to rows `asked` of each baseline, fitted on the rows `learnt`."""
    return {name: fit(layout, learnt, recipe)(asked) for name, fit in BASELINES.items()}


def constant_answers(layout: Layout, learnt: Rows, asked: Rows) -> dict[str, np.ndarray]:
    """One answer for all rows asked, whichever fold scores them: several constants would rank rows by their time."""
    return {CONSTANT: constant(layout, learnt, BaselineFit(seed=0))(asked)}


def choose_rounds(layout: Layout, train: Rows, validation: Rows, seed: int) -> int:
    """The rounds of gradient boosting after which it was best on the validation rows."""
    model = _boosted(layout, train, BaselineFit(seed, validation=validation))
    return max(1, int(np.argmax(model.validation_score_)))  # the first score is that of no round at all


def constant(layout: Layout, learnt: Rows, recipe: BaselineFit) -> Answer:
    """The shares of the classes, or the mean, of the rows learnt."""
    del recipe
    if layout.kind is Kind.REGRESSION:
        return lambda rows: _as_value(layout, np.zeros(len(rows)))
    shares = np.bincount(learnt.labels, minlength=len(layout.classes)) / len(learnt)
    return lambda rows: _shaped(layout, np.tile(shares, (len(rows), 1)))


def linear(layout: Layout, learnt: Rows, recipe: BaselineFit) -> Answer:
    """Ridge or logistic regression on scaled numbers and one column for each category."""
    if layout.kind is Kind.REGRESSION:
        model = Ridge(alpha=1.0, solver="lsqr", random_state=recipe.seed)
        model.fit(_sparse(layout, learnt), _standardised(layout, learnt.labels))
        return lambda rows: _as_value(layout, model.predict(_sparse(layout, rows)))
    classifier = LogisticRegression(C=1.0, max_iter=200, tol=1e-3, random_state=recipe.seed)
    classifier.fit(_sparse(layout, learnt), learnt.labels)
    return lambda rows: _probabilities(layout, classifier.predict_proba(_sparse(layout, rows)), classifier.classes_)


def gradient_boosting(layout: Layout, learnt: Rows, recipe: BaselineFit) -> Answer:
    """Histogram gradient boosting."""
    model = _boosted(layout, learnt, recipe)

    def answer(rows: Rows) -> np.ndarray:
        with _few_threads(rows):
            if isinstance(model, HistGradientBoostingRegressor):
                return _as_value(layout, model.predict(_dense(layout, rows)))
            return _probabilities(layout, model.predict_proba(_dense(layout, rows)), np.unique(learnt.labels))

    return answer


def _boosted(
    layout: Layout, learnt: Rows, recipe: BaselineFit
) -> HistGradientBoostingRegressor | HistGradientBoostingClassifier:
    regression, validation = layout.kind is Kind.REGRESSION, recipe.validation
    settings = {
        "max_iter": recipe.rounds or _MOST_ROUNDS,
        "early_stopping": validation is not None,
        "n_iter_no_change": 20,
        "random_state": recipe.seed,
        "categorical_features": [False] * len(layout.numbers) + [True] * len(layout.categories),
    }
    labels = _standardised(layout, learnt.labels) if regression else learnt.labels
    judged = {} if validation is None else _judged_on(layout, learnt, validation)
    model = HistGradientBoostingRegressor(**settings) if regression else HistGradientBoostingClassifier(**settings)
    with _few_threads(learnt):
        return model.fit(_dense(layout, learnt), labels, **judged)


def _few_threads(rows: Rows) -> threadpool_limits:
    """On few cells threads only wait for one another: ten times slower on a busy machine."""
    return threadpool_limits(1 if rows.numbers.size < _FEW_CELLS else None, "openmp")


def _judged_on(layout: Layout, learnt: Rows, validation: Rows) -> dict[str, np.ndarray]:
    """The validation rows as scikit-learn takes them; a class that was not learnt cannot be judged."""
    if layout.kind is Kind.REGRESSION:
        return {"X_val": _dense(layout, validation), "y_val": _standardised(layout, validation.labels)}
    known = np.isin(validation.labels, learnt.labels)
    return {"X_val": _dense(layout, validation)[known], "y_val": validation.labels[known]}


BASELINES: Mapping[str, Baseline] = {
    CONSTANT: constant,
    "linear": linear,
    "gradient_boosting": gradient_boosting,
}


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
