"""The bundle as an asset: the same for the same inputs, remade where it was lost."""

import shutil

from mlops_assets.domain.names import Stage
from mlops_assets.domain.records import ServingModel, TrainedModel
from tests.kit.daily import MODEL, Shop
from tests.kit.data_stages import files
from tests.kit.declared import Bench, record, run_errors


def serving(made: Bench) -> ServingModel:
    return record(made, Stage.SERVING_MODEL, ServingModel)


def test_the_same_inputs_again_are_the_same_bundle(shop: Shop, tmp_path):
    made = shop.copy(shop.registered, tmp_path)
    before, held = serving(made), files(made.home / "bundles")
    result = made.materialize(Stage.SERVING_MODEL)
    assert result.success, run_errors(result)
    assert serving(made) == before
    assert files(made.home / "bundles") == held


def test_a_lost_bundle_is_rebuilt_with_the_same_digest(shop: Shop, tmp_path):
    made = shop.copy(shop.registered, tmp_path)
    before, held = serving(made).bundle, files(made.home / "bundles")
    shutil.rmtree(made.home / "bundles" / before)
    result = made.materialize(Stage.SERVING_MODEL)
    assert result.success, run_errors(result)
    assert serving(made).bundle == before
    assert files(made.home / "bundles") == held


def test_another_serving_policy_is_another_bundle(shop: Shop, tmp_path):
    policy = {"precisions": ["fp32"], "latency_ms": 1000, "out_of_range": "reject"}
    made = shop.copy(shop.registered, tmp_path, serving=policy)
    before = serving(made).bundle
    assert made.materialize(Stage.SERVING_MODEL).success
    assert serving(made).bundle != before
    assert made.resources["bundles"].open(serving(made).bundle).contract.out_of_range == "reject"


def test_it_tells_where_it_comes_from_and_what_was_measured(shop: Shop, tmp_path):
    made = shop.copy(shop.registered, tmp_path)
    found, contract = serving(made), made.resources["bundles"].open(serving(made).bundle).contract
    trained = record(made, Stage.TRAINED_MODEL, TrainedModel)
    assert (found.run_id, found.training_set) == (trained.run_id, trained.training_set)
    assert contract.training_set == trained.training_set
    assert contract.feature_service == f"{MODEL}_v1"
    assert {each.precision.value for each in found.measured} == {"fp32"}
    assert set(found.parity) == {"all rows", "region: north", "region: south", "region: west"}


def test_a_trained_model_that_was_lost_is_named(shop: Shop, tmp_path):
    made = shop.copy(shop.registered, tmp_path, serving={"precisions": ["fp32"], "latency_ms": 999})
    trained = record(made, Stage.TRAINED_MODEL, TrainedModel)
    shutil.rmtree(made.home / "lake" / trained.path)
    result = made.materialize(Stage.SERVING_MODEL)
    assert not result.success
    assert "not in the lake. Materialise the asset that makes it" in run_errors(result)
