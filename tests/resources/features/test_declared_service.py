"""A service that is made from columns, and the addresses of online stores."""

from datetime import timedelta

import pyarrow as pa
import pytest

from mlops_assets.domain.names import CREATED_TIME, EVENT_TIME, Layer
from mlops_assets.domain.verdict import Outcome
from mlops_assets.resources.features.config import online_settings
from tests.resources.features.conftest import NOON, TIME, shops

COLUMNS = {"sales": "double", "kind": "string", "nr.staff": "int64"}
KEYS = {"shop": "string"}


def shop_rows(count: int = 3) -> pa.Table:
    times = pa.array([NOON + timedelta(hours=hour) for hour in range(count)], TIME)
    return pa.table(
        {
            "shop": [f"s{place}" for place in range(count)],
            "sales": [float(place) for place in range(count)],
            "kind": ["a"] * count,
            "nr.staff": pa.array([1, None, 3][:count], pa.int64()),
            EVENT_TIME: times,
            CREATED_TIME: times,
        }
    )


def test_columns_alone_make_a_service(features, lake) -> None:
    service = features.apply(shops(), COLUMNS, KEYS)
    assert service == "shops_v1"
    lake.table("shops", Layer.FEATURES, service).write("d", shop_rows(), now=NOON, time_column=EVENT_TIME)
    assert features.inputs(service) == ("sales", "kind", "nr.staff")
    frame = features.training_frame(service, shop_rows().select(["shop", EVENT_TIME]))
    assert frame["sales"].to_pylist() == [0.0, 1.0, 2.0]
    assert frame["nr.staff"].to_pylist() == [1, None, 3]
    end = NOON + timedelta(hours=3)
    features.materialize(service, NOON, end)
    verdict = features.compare_online(service, [{"shop": f"s{place}"} for place in range(4)], end)
    assert verdict.outcome is Outcome.PASS, verdict.reason


def test_rows_that_are_their_own_key_are_not_put_online(features, lake) -> None:
    service = features.apply(shops(entity=()), COLUMNS, {"row_id": "int64"})
    lake.table("shops", Layer.FEATURES, service).write("d", shop_rows(), now=NOON, time_column=EVENT_TIME)
    assert features.materialize(service, NOON, NOON + timedelta(hours=3)) == {}
    with pytest.raises(ValueError, match=r"Declare features\.entity"):
        features.online(service, [{"row_id": 1}], NOON)


def test_a_changed_definition_needs_a_new_version(features) -> None:
    features.apply(shops(), COLUMNS, KEYS)
    wider = {**COLUMNS, "area": "double", "kind": "int64"}
    with pytest.raises(ValueError, match=r"Raise features\.version") as told:
        features.apply(shops(), wider, KEYS)
    assert "shops_v1.area: was absent, is Float64" in str(told.value)
    assert "shops_v1.kind: was String, is Int64" in str(told.value)
    assert features.apply(shops(version=2), wider, KEYS) == "shops_v2"
    assert features.inputs("shops_v1") == tuple(COLUMNS)
    assert features.inputs("shops_v2") == tuple(wider)


@pytest.mark.parametrize(
    ("columns", "keys", "problem"),
    [
        ({"x": "list<item: int64>"}, KEYS, "x: list<item: int64> cannot be a feature"),
        ({"x": "double"}, {"shop": "double"}, "shop: double cannot be a key"),
        ({"x": "double", "shop": "string"}, KEYS, "shop: is both key and feature"),
        ({}, KEYS, "no column left"),
    ],
)
def test_columns_that_cannot_be_are_told(features, columns, keys, problem) -> None:
    with pytest.raises(ValueError, match=problem):
        features.apply(shops(), columns, keys)


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("sqlite:////a/b.db", {"type": "sqlite", "path": "/a/b.db"}),
        ("redis://cache", {"type": "redis", "connection_string": "cache:6379"}),
        (
            "rediss://me:p%40ss@cache:7000/2",
            {"type": "redis", "connection_string": "cache:7000,db=2,ssl=true,username=me,password=p@ss"},
        ),
    ],
)
def test_online_stores_by_url(url, settings) -> None:
    assert online_settings(url) == settings


def test_an_unknown_online_store_is_refused_without_its_secret() -> None:
    with pytest.raises(ValueError, match="MLOPS_ONLINE_STORE") as told:
        online_settings("mongodb://me:secret@host")
    assert "secret" not in str(told.value)
