"""What stands on a feature, read from real releases, bundles and Feast."""

import shutil

import pytest

from mlops_assets.domain.drift.blast_radius import trace_blast_radius
from mlops_assets.stages.drift.blast_radius import feature_name, find_views, read_released_lineage
from tests.kit.daily import MODEL, Shop, shop_of


@pytest.fixture(scope="session")
def shop(tmp_path_factory) -> Shop:
    return shop_of(tmp_path_factory)


def read(made):
    found = made.resources
    return read_released_lineage(found["deployment"], found["bundles"], found["features"])


def test_a_column_leads_to_feature_model_and_endpoint(shop, tmp_path):
    made = shop.copy(shop.registered, tmp_path)
    standing = read(made)
    assert (standing.problems, standing.lineage.problems()) == ((), ())
    views = find_views(made.resources["features"], MODEL, f"{MODEL}_v1", ["price"])
    column = feature_name(views["price"], "price")
    hit = trace_blast_radius([column], standing.lineage)
    assert (hit.features, hit.models, hit.unknown) == ((column,), (MODEL,), ())


def test_what_comes_with_the_request_is_the_models_own(shop, tmp_path):
    made = shop.copy(shop.registered, tmp_path)
    assert find_views(made.resources["features"], MODEL, "nobody_v9", ["price"]) == {"price": f"{MODEL} request"}


def test_a_bundle_that_is_gone_is_told_and_the_rest_is_read(shop, tmp_path):
    made = shop.copy(shop.registered, tmp_path)
    shutil.rmtree(made.home / "bundles")
    standing = read(made)
    assert standing.lineage.models == {}
    assert "no bundle" in standing.problems[0]
