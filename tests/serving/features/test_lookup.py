"""The direct way to the online store gives what Feast's own gives, to the type and the last bit, or is not taken."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import feast
import pandas as pd
import pytest
from feast.on_demand_feature_view import on_demand_feature_view
from feast.repo_config import RepoConfig
from feast.types import Array, Bool, Float32, Float64, Int32, Int64, String, UnixTimestamp

from serving.features.lookup import Lookup, direct_way

NOON = datetime(2013, 1, 2, 12, tzinfo=UTC)
KINDS = {"mean": Float64, "short": Float32, "seats": Int64, "engines": Int32, "open": Bool, "weather": String}
AIRPORT = {"mean": 12.1, "short": 0.1, "seats": 2**53 + 1, "engines": 2, "open": False, "weather": "Böen ☔"}


def apply(folder: Path, online: dict[str, Any]) -> feast.FeatureStore:
    config = RepoConfig(
        project="mlops_assets",
        provider="local",
        registry={"registry_type": "sql", "path": f"sqlite:///{folder}/registry.db"},  # type: ignore[arg-type]
        online_store=online,
        offline_store={"type": "file"},
        entity_key_serialization_version=3,
    )
    store = feast.FeatureStore(config=config)
    origin = feast.Entity(name="origin", value_type=feast.ValueType.STRING)
    runway = feast.Entity(name="runway", value_type=feast.ValueType.INT64)
    source = feast.FileSource(name="none", path=str(folder / "none.parquet"), timestamp_field="event_timestamp")
    fields = [feast.Field(name=name, dtype=kind) for name, kind in KINDS.items()]
    long = feast.Field(name="length", dtype=Float64)
    many = feast.Field(name="codes", dtype=Array(Int64))
    airport = feast.FeatureView(name="airport", entities=[origin], ttl=timedelta(hours=3), schema=fields, source=source)
    strip = feast.FeatureView(name="strip", entities=[origin, runway], schema=[long], source=source)
    lists = feast.FeatureView(name="lists", entities=[origin], schema=[many], source=source)
    asked = [feast.Field(name="scheduled_at", dtype=UnixTimestamp), feast.Field(name="extra", dtype=Float64)]

    @on_demand_feature_view(
        sources=[feast.RequestSource(name="schedule", schema=asked)],
        schema=[feast.Field(name="second", dtype=Float64), feast.Field(name="said", dtype=String)],
        mode="python",
    )
    def departure(inputs: dict) -> dict:
        told = [repr(pair) for pair in zip(inputs["scheduled_at"], inputs["extra"], strict=True)]
        return {"second": [None if t is None else t.second + 0.1 for t in inputs["scheduled_at"]], "said": told}

    services = [
        feast.FeatureService(name="whole", features=[airport, strip, departure]),
        feast.FeatureService(name="chosen", features=[airport[["weather", "mean"]]]),  # type: ignore[list-item]
        feast.FeatureService(name="renamed", features=[airport.with_name("other")]),  # type: ignore[list-item]
        feast.FeatureService(name="listed", features=[lists]),
    ]
    store.apply([origin, runway, airport, strip, lists, departure, *services])
    put(store, "airport", {"origin": "EWR", **AIRPORT}, {"origin": "LGA", **dict.fromkeys(AIRPORT)})
    put(
        store,
        "strip",
        {"origin": "EWR", "runway": -4, "length": float("nan")},
        {"origin": "", "runway": 0, "length": 1.5},
    )
    return store


def put(store: feast.FeatureStore, view: str, *rows: dict[str, Any]) -> None:
    for row in rows:  # one by one: a frame would make floats of whole numbers beside a null
        store.write_to_online_store(view, pd.DataFrame([{**row, "event_timestamp": NOON}]).astype(object))


@pytest.fixture(scope="module", params=["sqlite", pytest.param("redis", marks=pytest.mark.needs_redis)])
def store(request, tmp_path_factory) -> feast.FeatureStore:
    folder = tmp_path_factory.mktemp("store")
    if request.param == "sqlite":
        return apply(folder, {"type": "sqlite", "path": str(folder / "online.db")})
    url = os.environ["TEST_REDIS_URL"].removeprefix("redis://").split("/")[0]
    return apply(folder, {"type": "redis", "connection_string": url})


def asked(origin: str, runway: int, moment: datetime | None = NOON, extra: float | None = 1.5) -> dict[str, Any]:
    return {"origin": origin, "runway": runway, "scheduled_at": moment, "extra": extra}


ROWS = [
    asked("EWR", -4),
    asked("LGA", 4, NOON + timedelta(seconds=7, microseconds=999_999)),
    asked("XXX", 4, None, None),
    asked("", 0),
    asked("EWR", -4, extra=None),
]


def ways(store: feast.FeatureStore, name: str, rows: list[dict[str, Any]]) -> tuple[Any, Any]:
    service = store.get_feature_service(name)
    direct = direct_way(store, service)
    assert direct is not None
    return direct(rows), store.get_online_features(service, rows).to_dict(include_event_timestamps=True)


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], ROWS[2:3], ROWS[::-1]], ids=["all", "found", "unknown", "turned"])
def test_both_ways_give_the_same(store, rows):
    mine, theirs = ways(store, "whole", rows)
    features = [*KINDS, "length", "second", "said"]
    assert {name: repr(mine[name]) for name in features} == {name: repr(theirs[name]) for name in features}
    assert [mine[f"{name}__ts"] for name in ("mean", "length")] == [
        theirs[f"{name}__ts"] for name in ("mean", "length")
    ]


def test_what_was_put_in_comes_out(store):
    found, _ = ways(store, "whole", ROWS)
    assert {name: found[name][0] for name in KINDS if name != "short"} == {
        k: v for k, v in AIRPORT.items() if k != "short"
    }
    assert found["mean__ts"][0] == NOON.timestamp()
    assert found["weather"][1:3] == [None, None]


def test_only_the_features_that_the_service_names_are_given(store):
    mine, theirs = ways(store, "chosen", [{"origin": "EWR"}])
    assert mine == {name: column for name, column in theirs.items() if not name.startswith("origin")}


@pytest.mark.parametrize("name", ["renamed", "listed"])
def test_what_only_feast_knows_how_to_read_is_left_to_it(store, name):
    assert direct_way(store, store.get_feature_service(name)) is None


def test_a_direct_way_that_gives_something_else_is_never_taken(store):
    asked_so_often = []

    def wrong(rows):
        asked_so_often.append(len(rows))
        return {"mean": [12.0] * len(rows), "mean__ts": [int(NOON.timestamp())] * len(rows)}

    lookup = Lookup(store, "chosen", lambda store, service: wrong)
    assert [lookup([{"origin": "EWR"}])["mean"] for _ in range(3)] == [[12.1]] * 3
    assert asked_so_often == [1, 1, 1]


def test_a_direct_way_that_breaks_is_never_taken(store):
    def broken(rows):
        raise TypeError("another Feast")

    lookup = Lookup(store, "chosen", lambda store, service: broken)
    assert [lookup([{"origin": "EWR"}])["mean"] for _ in range(2)] == [[12.1]] * 2


def test_the_direct_way_is_taken_once_it_found_the_same(store, monkeypatch):
    calls = []

    def counted(store, service):
        direct = direct_way(store, service)
        assert direct is not None
        return lambda rows: calls.append(rows) or direct(rows)

    lookup = Lookup(store, "chosen", counted)
    lookup([{"origin": "XXX"}])  # shows nothing
    lookup([{"origin": "EWR"}])
    monkeypatch.delattr(feast.FeatureStore, "get_online_features")  # asked no more
    assert lookup([{"origin": "EWR"}])["weather"] == ["Böen ☔"]
    assert len(calls) == 3
