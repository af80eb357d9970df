"""What spoilt input and shuffled columns do to a model whose workings are known."""

import numpy as np
import pytest

from mlops_assets.domain.evaluation.evidence import Robustness
from mlops_assets.domain.evaluation.importance import permutation_importance
from mlops_assets.domain.evaluation.metrics import METRICS
from mlops_assets.domain.evaluation.robustness import NEVER_SEEN, EvaluatedRows, Predict, sample, stress
from mlops_assets.domain.records import Inputs
from tests.kit.evaluated_model import predict, rows

AUC = METRICS["auc"]


def stressed(model: Predict, given: EvaluatedRows | None = None) -> Robustness:
    return stress(model, AUC, given or rows(), rng=np.random.default_rng(0))


def test_every_kind_of_spoilt_input_is_tried_and_costs_something() -> None:
    given = rows()
    found = stressed(predict, given)
    assert [s.name for s in found.stresses] == [
        "10% of the cells missing",
        "10% of the cells with numbers: ten times as large",
        "10% of the cells with numbers: the largest number",
        "10% of the cells with numbers: infinity",
        "10% of the cells with numbers: minus infinity",
        "10% of the cells with categories: never seen",
    ]
    assert found.unspoilt == pytest.approx(AUC(given.labels, predict(given.numbers, given.categories)))
    assert all(s.loss is not None and s.loss > 0 for s in found.stresses)
    assert found.non_finite == 0


def test_outages_name_the_worst_column_first() -> None:
    found = stressed(predict)
    assert found.outages[0].name == "strong"
    assert {s.name for s in found.outages} == {"strong", "weak", "useless", "airport"}
    assert {s.name: s.loss for s in found.outages}["useless"] == 0


def test_answers_that_are_no_numbers_are_counted() -> None:
    def fragile(numbers: np.ndarray, categories: np.ndarray) -> np.ndarray:
        return np.where(np.isinf(numbers).any(axis=1), np.nan, predict(numbers, categories))

    found = stressed(fragile)
    broken = [s for s in found.stresses if s.non_finite]
    assert [s.name.split(": ")[1] for s in broken] == ["infinity", "minus infinity"]
    assert all((s.score, s.loss) == (None, None) for s in broken)
    assert found.non_finite == sum(s.non_finite for s in broken) > 0


def test_stress_leaves_the_original_rows_unchanged() -> None:
    given, seen = rows(200), []

    def spy(numbers: np.ndarray, categories: np.ndarray) -> np.ndarray:
        seen.extend(categories[:, 0].tolist())
        return predict(numbers, categories)

    numbers, categories = given.numbers.copy(), given.categories.copy()
    stressed(spy, given)
    assert np.array_equal(given.numbers, numbers, equal_nan=True)
    assert (given.categories == categories).all()
    assert NEVER_SEEN in seen  # a fixed-width text array would have cut it to three letters


@pytest.mark.parametrize("only", ["numbers", "categories"])
def test_a_model_with_one_kind_of_input(only: str) -> None:
    given = rows(500)
    inputs = Inputs(given.inputs.numbers, ()) if only == "numbers" else Inputs((), given.inputs.categories)
    cut = EvaluatedRows(
        inputs,
        given.numbers[:, : len(inputs.numbers)],
        given.categories[:, : len(inputs.categories)],
        given.labels,
    )

    def model(numbers: np.ndarray, categories: np.ndarray) -> np.ndarray:
        whole = numbers if only == "numbers" else np.zeros((len(categories), 3))
        return predict(whole, categories if only == "categories" else np.full((len(numbers), 1), ""))

    assert len(stressed(model, cut).outages) == len(inputs.names)


def test_importance_finds_what_the_model_uses() -> None:
    found = permutation_importance(predict, AUC, rows(), level=0.95, rng=np.random.default_rng(0))
    by_name = {i.name: i.loss for i in found}
    assert found[0].name == "strong"
    assert by_name["strong"].low > by_name["weak"].high > 0
    assert by_name["useless"].high == pytest.approx(0, abs=1e-12)


def test_groups_are_shuffled_together() -> None:
    given, rng = rows(), np.random.default_rng(0)
    groups = {"numbers": ("strong", "weak"), "place": ("airport",)}
    found = permutation_importance(predict, AUC, given, level=0.95, rng=rng, groups=groups)
    assert [(i.name, i.columns) for i in found] == [("numbers", ("strong", "weak")), ("place", ("airport",))]
    with pytest.raises(ValueError, match="no such input columns: gone"):
        permutation_importance(predict, AUC, given, level=0.95, rng=rng, groups={"x": ("gone",)})


def test_importance_of_a_loss_is_positive_too() -> None:
    found = permutation_importance(predict, METRICS["log_loss"], rows(), level=0.95, rng=np.random.default_rng(0))
    assert found[0].name == "strong"
    assert found[0].loss.low > 0


@pytest.mark.parametrize(("count", "most", "taken"), [(10, 20, 10), (100, 20, 20)])
def test_a_sample_is_sorted_and_without_repeats(count: int, most: int, taken: int) -> None:
    found = sample(count, most, np.random.default_rng(0))
    assert len(found) == taken
    assert (np.diff(found) > 0).all()
