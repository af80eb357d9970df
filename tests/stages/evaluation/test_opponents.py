"""An earlier version is never scored on rows that it has learnt."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from mlops_assets.domain.evaluation.comparison import Opponent
from mlops_assets.domain.names import EVENT_TIME, LABEL, ROW_KEY, TRAINING_STAGES, Alias, Stage
from mlops_assets.domain.records import Evaluation, ServingModel, TrainedModel, TrainingSet
from mlops_assets.domain.registry.versions import LEARNT_UNTIL
from mlops_assets.stages.evaluation.kept_answers import identify_rows
from mlops_assets.stages.evaluation.opponents import Opponents, align_classes
from mlops_assets.training.store import load_out_of_time
from tests.kit.daily import BEFORE, MODEL, Shop, attributes
from tests.kit.declared import Bench, record, run_errors

LONGER = {"training": attributes(Path())["training"] | {"epochs": 4}}


def evaluated(made: Bench) -> dict[str, Any]:
    """The report of a candidate that is another training on the champion's own rows."""
    result = made.materialize(*TRAINING_STAGES[1:4])
    assert result.success or record(made, Stage.EVALUATION, Evaluation), run_errors(result)
    folder = made.home / "lake" / record(made, Stage.EVALUATION, Evaluation).report
    return json.loads((folder / "report.json").read_text())


def opponents(made: Bench) -> Opponents:
    at, training_set = made.resources, record(made, Stage.TRAINING_SET, TrainingSet)
    test = pq.read_table(made.home / "lake" / MODEL / "training_sets" / training_set.digest / "test.parquet")
    bundle = record(made, Stage.SERVING_MODEL, ServingModel).bundle
    places = (at["lake"], at["bundles"], at["features"], at["registry"], at["workspace"])
    return Opponents(made.spec, f"not {bundle}", training_set.classes, test, *places)


def champion_of(made: Bench) -> Opponent:
    found = opponents(made).at(Alias.CHAMPION)
    assert found is not None
    return found


def test_rows_that_the_champion_learnt_are_answered_by_its_folds(shop: Shop, tmp_path):
    made = shop.copy(shop.registered, tmp_path)
    champion = record(made, Stage.TRAINED_MODEL, TrainedModel)
    kept = load_out_of_time(made.home / "lake" / champion.path)

    found = champion_of(made)

    assert kept is not None
    assert found.scores is not None
    assert found.compared is not None
    assert np.array_equal(found.scores, kept[0])
    assert found.compared.all()
    assert "0 rows that it has not learnt and 608 that its own test had" in found.basis


def test_another_training_on_the_same_rows_meets_the_folds(shop: Shop, tmp_path):
    made = shop.copy(shop.registered, tmp_path, **LONGER)
    folds = champion_of(made).scores
    labels = opponents(made).test[LABEL].to_numpy()
    bundle = made.resources["bundles"].open(record(made, Stage.SERVING_MODEL, ServingModel).bundle)
    learnt = roc_auc_score(labels, opponents(made)._answers(bundle))

    report = evaluated(made)

    rival = report["evidence"]["champion"]
    honest = roc_auc_score(labels, folds)
    assert rival["gain"]["estimate"] == pytest.approx(report["evidence"]["score"]["estimate"] - honest)
    assert honest < learnt  # what it has learnt it would answer better than it ever will again
    (shown,) = (s for s in report["scores"] if (s["contender"], s["metric"]) == ("champion", "auc"))
    assert shown["interval"]["estimate"] == pytest.approx(honest)


@pytest.mark.parametrize(("days", "rows"), [(1, 80), (4, 530)])
def test_newer_rows_are_answered_by_the_version_itself(shop: Shop, tmp_path, days, rows):
    made = shop.copy(shop.registered, tmp_path)
    until = BEFORE - timedelta(days=days)
    made.resources["registry"].tag(MODEL, "1", {LEARNT_UNTIL: until.isoformat()})

    asked, found = opponents(made), champion_of(made)

    newer = pc.greater(asked.test[EVENT_TIME], until + made.spec.training.gap).to_numpy(zero_copy_only=False)
    compared = newer if found.compared is None else found.compared
    assert np.array_equal(compared, newer)
    assert newer.sum() == rows
    bundle = made.resources["bundles"].open(made.resources["registry"].version(MODEL, "1").bundle)
    assert found.scores is not None
    assert np.allclose(found.scores[newer], asked._answers(bundle)[newer])


def test_without_its_evaluation_nothing_is_compared(shop: Shop, tmp_path):
    made = shop.copy(shop.registered, tmp_path)
    (made.home / "lake" / MODEL / "evaluations").rename(tmp_path / "aside")

    found = champion_of(made)

    assert found.scores is None
    assert "0 test rows are newer, and its evaluation is not in the lake" in found.problem


def test_scores_are_read_by_the_name_of_their_class():
    own = np.array([[0.7, 0.2, 0.1], [0.5, 0.25, 0.25]])
    assert np.allclose(align_classes(own, ("a", "b", "c"), ("b", "c")), [[2 / 3, 1 / 3], [0.5, 0.5]])
    assert np.allclose(align_classes(own, ("a", "b", "c"), ("a", "b", "c", "d"))[:, 3], 0)
    assert np.allclose(align_classes(own, ("a", "b", "c"), ("c", "b", "a")), own[:, ::-1])


def test_rows_without_a_key_are_known_by_content_not_place(shop: Shop, tmp_path):
    made = shop.copy(shop.registered, tmp_path)
    keyless = made.spec.with_changes(
        source=made.spec.source.with_changes(
            feeds={name: feed.with_changes(key=()) for name, feed in made.spec.source.feeds.items()}
        )
    )
    rows = pa.table({ROW_KEY: [0, 1, 2], "x": [1.0, 2.0, 3.0], LABEL: [0, 1, 0], EVENT_TIME: [BEFORE] * 3})
    moved = pa.table({ROW_KEY: [1, 2, 3], "x": [1.0, 2.0, 3.0], LABEL: [0, 1, 0], EVENT_TIME: [BEFORE] * 3})
    first, second = (identify_rows(keyless, each)["content"].to_pylist() for each in (rows, moved))
    assert first == second
    assert len(set(first)) == 3
