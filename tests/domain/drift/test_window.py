"""One window against the profile: what counts as drift, in every respect, and what does not."""

import numpy as np
import pyarrow as pa
import pytest

from mlops_assets.domain.drift.distances import Aspect, DriftTest
from mlops_assets.domain.drift.reference import CHOSEN, CONFIDENCE, PREDICTION, Reference, read_profile
from mlops_assets.domain.drift.sketch import Sketch
from mlops_assets.domain.drift.window import judge_window
from mlops_assets.domain.verdict import Outcome
from tests.kit.watching import DRIFT, profile_of, reference_of, table_of

ROWS = 20_000


def columns(rows: int, seed: int) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    return {
        "a": draw.normal(size=rows),
        "b": draw.exponential(size=rows),
        "c": draw.choice(np.array(["x", "y", "z"], dtype=object), rows, p=[0.6, 0.3, 0.1]),
    }


@pytest.fixture(scope="module")
def reference() -> Reference:
    found = columns(ROWS, 0)
    return reference_of({"a": found["a"], "b": found["b"]}, {"c": found["c"]}).features


def judged(reference: Reference, rows: int = 2_000, policy=DRIFT, without=(), **changed):
    live = {**columns(rows, 1), **changed}
    sketch = Sketch.of(table_of({name: values for name, values in live.items() if name not in without}), reference)
    return judge_window("2013-07-01", {Aspect.FEATURE: (reference, sketch)}, policy)


def found(window, aspect: Aspect, column: str):
    return next(each for each in window.findings if (each.aspect, each.column) == (aspect, column))


def test_rows_like_those_of_training_have_not_drifted(reference):
    window = judged(reference)
    assert window.outcome is Outcome.PASS
    assert window.reason == "nothing drifted in 9 tests."


@pytest.mark.parametrize(
    ("rows", "shift", "drifted", "why"),
    [
        (2_000, 0.5, True, "drifted"),
        (100_000, 0.05, False, "real, but too small to matter"),
        (2_000, 0.0, False, "nothing found"),
    ],
)
def test_a_number_drifts_only_significantly_and_materially(reference, rows, shift, drifted, why):
    window = judged(reference, rows, a=np.random.default_rng(2).normal(shift, 1, rows))
    verdict = found(window, Aspect.FEATURE, "a").verdict
    assert (verdict.outcome is Outcome.FAIL) == drifted
    assert verdict.reason.endswith(f"{why}.")
    assert window.columns == (("a",) if drifted else ())


def test_a_feature_that_differs_by_its_nature_is_left_out(reference):
    shifted = np.random.default_rng(2).normal(0.5, 1, 2_000)
    window = judged(reference, policy=DRIFT.with_changes(exclude=("a",)), a=shifted)
    assert window.outcome is Outcome.PASS
    assert {each.column for each in window.findings} == {"b", "c"}


def test_a_large_difference_that_may_be_chance_is_none():
    draw = np.random.default_rng(3)
    small = reference_of({"a": draw.normal(size=60)}).features
    live = Sketch.of(table_of({"a": draw.normal(0.3, 1, 500)}), small)
    window = judge_window("w", {Aspect.FEATURE: (small, live)}, DRIFT)
    verdict = found(window, Aspect.FEATURE, "a").verdict
    assert verdict.numbers["ks"] >= DRIFT.ks
    assert verdict.outcome is Outcome.PASS
    assert verdict.reason.endswith("may be chance.")


@pytest.mark.parametrize("rows", [1, 499])
def test_under_the_least_rows_nothing_is_concluded(reference, rows):
    window = judged(reference, rows, a=np.full(rows, 99.0))
    assert window.outcome is Outcome.INCONCLUSIVE
    assert f"{rows} rows, at least 500 are needed" in window.reason


def test_a_window_without_rows_is_inconclusive(reference):
    window = judge_window("w", {Aspect.FEATURE: (reference, Sketch())}, DRIFT)
    assert (window.outcome, window.findings) == (Outcome.INCONCLUSIVE, ())


def test_psi_says_nothing_of_few_rows(reference):
    draw = np.random.default_rng(4)
    wide = [np.where(draw.random(rows) < 0.2, 2.9, draw.normal(size=rows)) for rows in (900, 1_100)]
    policy = DRIFT.with_changes(ks=0.5)
    outcomes = [found(judged(reference, len(a), policy, a=a), Aspect.FEATURE, "a").drifted for a in wide]
    assert outcomes == [False, True]


def test_a_category_drifts_and_names_what_changed(reference):
    words = np.random.default_rng(5).choice(np.array(["x", "y", "z"], dtype=object), 2_000, p=[0.3, 0.3, 0.4])
    verdict = found(judged(reference, c=words), Aspect.FEATURE, "c").verdict
    assert verdict.outcome is Outcome.FAIL
    assert "most changed: 'z'" in verdict.reason or "most changed: 'x'" in verdict.reason


@pytest.mark.parametrize(
    ("changed", "aspect", "column", "said"),
    [
        (
            {"a": np.where(np.arange(2_000) % 10 < 2, np.nan, 0.1)},
            Aspect.MISSING,
            "a",
            "20.0% of 2,000 rows are missing",
        ),
        ({"b": np.where(np.arange(2_000) % 20 < 1, 1e6, 0.5)}, Aspect.RANGE, "b", "outside the training range"),
        (
            {"c": np.array((["x", "y", "x", "x", "new"] * 400), dtype=object)},
            Aspect.UNSEEN,
            "c",
            "20.0% of 2,000 rows are of values that training did not see or keep, 0.0% were in training: 'new'",
        ),
    ],
)
def test_the_quality_of_live_input_is_judged_in_the_same_way(reference, changed, aspect, column, said):
    verdict = found(judged(reference, **changed), aspect, column).verdict
    assert verdict.outcome is Outcome.FAIL
    assert said in verdict.reason


def test_values_that_are_no_longer_missing_are_a_change_too():
    half = np.where(np.arange(2_000) % 2 == 0, np.nan, 1.0)
    reference = reference_of({"a": half}).features
    live = Sketch.of(table_of({"a": np.ones(1_000)}), reference)
    assert found(judge_window("w", {Aspect.FEATURE: (reference, live)}, DRIFT), Aspect.MISSING, "a").drifted


def test_columns_that_go_come_or_change_their_type(reference):
    window = judged(reference, without=("b",), a=np.array(["1.0"] * 2_000), extra=np.ones(2_000))
    assert window.outcome is Outcome.FAIL
    told = {each.column: (each.verdict.outcome, each.verdict.reason) for each in window.findings[:3]}
    assert told["b"] == (Outcome.FAIL, "the column is gone; the model takes it as a number.")
    assert told["a"] == (Outcome.FAIL, "came as string, which cannot be read as a number.")
    assert told["extra"][0] is Outcome.PASS
    assert window.columns == ("a", "b")


def test_answers_and_labels_are_judged_by_the_same_functions(reference):
    content = profile_of({"a": columns(ROWS, 0)["a"]})
    content["scores"] = {"rows": ROWS, **profile_of({"s": np.random.default_rng(6).beta(2, 5, ROWS)})["numbers"]["s"]}
    profile = read_profile(content)
    features = Sketch.of(table_of({"a": columns(2_000, 1)["a"]}), profile.features)
    answers = Sketch.of(table_of({PREDICTION: np.random.default_rng(7).beta(5, 5, 2_000)}), profile.predictions)
    labels = Sketch.of(table_of({"label": np.array(["yes", "no"] * 1_000)}), profile.label)
    window = judge_window(
        "w",
        {
            Aspect.FEATURE: (profile.features, features),
            Aspect.PREDICTION: (profile.predictions, answers),
            Aspect.LABEL: (profile.label, labels),
        },
        DRIFT,
    )
    assert found(window, Aspect.PREDICTION, PREDICTION).drifted
    assert found(window, Aspect.LABEL, "label").drifted
    assert window.columns == ()  # no feature did


def test_multiclass_scores_have_a_class_and_a_confidence():
    sure = np.random.default_rng(8).beta(5, 2, 900)
    chosen = {"rows": 900, "chosen": {"a": 300, "b": 600}, "confidence": profile_of({"s": sure})["numbers"]["s"]}
    profile = read_profile(profile_of({"a": np.arange(900.0)}, scores=chosen))
    live = Sketch.of(pa.table({CHOSEN: ["a"] * 700, CONFIDENCE: sure[:700]}), profile.predictions)
    features = Sketch.of(table_of({"a": np.arange(700.0)}), profile.features)
    pair = {Aspect.FEATURE: (profile.features, features), Aspect.PREDICTION: (profile.predictions, live)}
    window = judge_window("w", pair, DRIFT)
    assert found(window, Aspect.PREDICTION, CHOSEN).drifted
    assert not found(window, Aspect.PREDICTION, CONFIDENCE).drifted


def test_what_no_column_shows_alone_counts_beside_them(reference):
    live = Sketch.of(table_of(columns(2_000, 1)), reference)
    beside = DriftTest(Aspect.TOGETHER, "all features", 1e-9, True, "a classifier tells them apart", {"auc": 0.7})
    window = judge_window("w", {Aspect.FEATURE: (reference, live)}, DRIFT, besides=[beside])
    assert window.outcome is Outcome.FAIL
    assert window.findings[0].aspect is Aspect.TOGETHER
