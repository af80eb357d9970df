"""An earlier version is never scored on rows that it has learnt."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from mlops_assets.domain.evaluation.comparison import Opponent
from mlops_assets.domain.names import EVENT_TIME, LABEL, TRAINING_STAGES, Alias, Stage
from mlops_assets.domain.records import Evaluation, ServingModel, TrainedModel, TrainingSet
from mlops_assets.domain.registry.versions import LEARNT_UNTIL
from mlops_assets.stages.evaluation.opponents import Opponents
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
    return Opponents(made.spec, f"not {bundle}", test, *places)


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


@pytest.mark.parametrize(("days", "rows"), [(1, 120), (4, 570)])
def test_newer_rows_are_answered_by_the_version_itself(shop: Shop, tmp_path, days, rows):
    made = shop.copy(shop.registered, tmp_path)
    until = BEFORE - timedelta(days=days)
    made.resources["registry"].tag(MODEL, "1", {LEARNT_UNTIL: until.isoformat()})

    asked, found = opponents(made), champion_of(made)

    newer = pc.greater(asked.test[EVENT_TIME], until).to_numpy(zero_copy_only=False)
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
