"""The refit against the last fold's model: a sound one passes, each way of being broken is found."""

import numpy as np
import pytest

from mlops_assets.declaration.data import Kind
from mlops_assets.domain.evaluation.comparison import Basis
from mlops_assets.domain.evaluation.gates import Gate
from mlops_assets.domain.evaluation.metrics import METRICS
from mlops_assets.domain.evaluation.refit.compare import compare_refit
from mlops_assets.domain.evaluation.refit.gate import judge_refit
from mlops_assets.domain.verdict import Outcome, Verdict

ROWS = 3_000
RNG = np.random.default_rng(0)
SIGNAL = RNG.normal(size=ROWS)
LABELS = (RNG.random(ROWS) < 1 / (1 + np.exp(-1.5 * SIGNAL))).astype(int)
FOLD = np.repeat([1, 2, 3], ROWS // 3)


def probability(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))


OUT_OF_TIME = probability(1.5 * SIGNAL + RNG.normal(scale=0.4, size=ROWS))
REFIT = probability(1.5 * SIGNAL + RNG.normal(scale=0.3, size=ROWS))


def judged(refit: np.ndarray, answers: np.ndarray = OUT_OF_TIME, labels: np.ndarray = LABELS) -> Verdict:
    basis = Basis(Kind.BINARY, METRICS["auc"], labels, 0.95)
    return judge_refit(Gate.REFIT, compare_refit(basis, refit, answers, FOLD))


def test_a_sound_refit_passes_and_names_its_rows() -> None:
    found = judged(REFIT)

    assert found.outcome is Outcome.PASS
    assert "the 1,000 rows of the last fold" in found.reason


def test_without_a_refit_there_is_nothing_to_compare() -> None:
    assert judge_refit(Gate.REFIT, None).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("refit", "problem"),
    [
        (probability(RNG.normal(size=ROWS)), "is worse than the model that has not"),
        (1 - REFIT, "is worse than the model that has not"),
        (np.full(ROWS, LABELS.mean()), "is worse than the model that has not"),
        (probability(1.5 * SIGNAL - 2), "its mean answer is off"),
        (probability(np.sign(SIGNAL) * (4 + np.abs(SIGNAL))), "gain in squared error"),
        (np.where(np.arange(ROWS) == ROWS - 1, np.nan, REFIT), "not numbers"),
    ],
)
def test_a_broken_refit_is_not_served(refit: np.ndarray, problem: str) -> None:
    found = judged(refit)

    assert found.outcome is Outcome.FAIL
    assert problem in found.reason


def test_a_refit_that_learnt_a_change_may_answer_otherwise() -> None:
    changed = (RNG.random(ROWS) < probability(-1.5 * SIGNAL + 1)).astype(int)

    found = judged(probability(-0.7 * SIGNAL + 0.7), labels=changed)

    assert found.outcome is Outcome.PASS


def test_rows_of_one_class_decide_nothing() -> None:
    assert judged(REFIT, labels=np.zeros(ROWS, dtype=int)).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("kind", [Kind.MULTICLASS, Kind.REGRESSION])
def test_other_kinds_are_compared_alike(kind: Kind) -> None:
    if kind is Kind.REGRESSION:
        labels, answers = 3 * SIGNAL + RNG.normal(size=ROWS), 3 * SIGNAL
        basis, broken = Basis(kind, METRICS["r2"], labels, 0.95), answers + 10
    else:
        labels, answers = LABELS, np.stack([1 - OUT_OF_TIME, OUT_OF_TIME], axis=1)
        basis, broken = Basis(kind, METRICS["accuracy"], labels, 0.95), answers[:, ::-1]

    assert judge_refit(Gate.REFIT, compare_refit(basis, answers, answers, FOLD)).outcome is Outcome.PASS
    assert judge_refit(Gate.REFIT, compare_refit(basis, broken, answers, FOLD)).outcome is Outcome.FAIL
