"""Features looked up online, on a real Feast with SQLite: lookups, TTL, a store that fails and comes back."""

import asyncio
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import feast
import pandas as pd
import pytest
from feast.on_demand_feature_view import on_demand_feature_view
from feast.repo_config import RepoConfig
from feast.types import Float64, String, UnixTimestamp

from serving.features.online import OnlineFeatures, open_features
from serving.models.loaded_model import LoadedModel, load_model
from serving.problems import InvalidInput, Unavailable
from serving.rows.row_shapes import NamedRows
from serving.telemetry.meter import Meters
from tests.serving.graphs import category, contract, make_bundle, number

NOON = datetime(2013, 1, 2, 12, tzinfo=UTC)
CONTRACT = contract(
    [number("distance"), number("mean_delay"), number("departure_hour"), category("weather", ("rain", "sun"))],
    entity=("origin",),
    service="delay_v1",
)
ROW = {"origin": "EWR", "distance": 2.0, "scheduled_at": "2013-01-02T18:30:00+00:00"}


def apply(folder: Path) -> feast.FeatureStore:
    config = RepoConfig(
        project="mlops_assets",
        provider="local",
        registry={"registry_type": "sql", "path": f"sqlite:///{folder}/registry.db"},  # type: ignore[arg-type]
        online_store={"type": "sqlite", "path": str(folder / "online.db")},
        offline_store={"type": "file"},
        entity_key_serialization_version=3,
    )
    store = feast.FeatureStore(config=config)
    origin = feast.Entity(name="origin", value_type=feast.ValueType.STRING)
    source = feast.FileSource(name="airport", path=str(folder / "none.parquet"), timestamp_field="event_timestamp")
    view = feast.FeatureView(
        name="airport",
        entities=[origin],
        ttl=timedelta(hours=3),
        schema=[feast.Field(name="mean_delay", dtype=Float64), feast.Field(name="weather", dtype=String)],
        source=source,
    )
    request = feast.RequestSource(name="schedule", schema=[feast.Field(name="scheduled_at", dtype=UnixTimestamp)])

    @on_demand_feature_view(
        sources=[request], schema=[feast.Field(name="departure_hour", dtype=Float64)], mode="python"
    )
    def departure(inputs: dict) -> dict:
        return {"departure_hour": [float(time.hour) for time in inputs["scheduled_at"]]}

    store.apply([origin, view, departure, feast.FeatureService(name="delay_v1", features=[view, departure])])
    return store


def put(store: feast.FeatureStore, **values: tuple[float, str, datetime]) -> None:
    frame = pd.DataFrame(
        [{"origin": k, "mean_delay": d, "weather": w, "event_timestamp": t} for k, (d, w, t) in values.items()]
    )
    store.write_to_online_store("airport", frame)


class Place:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = apply(folder)
        put(self.store, EWR=(12.0, "rain", NOON - timedelta(hours=1)), JFK=(5.0, "sun", NOON - timedelta(hours=9)))
        digest = make_bundle(folder / "bundles", CONTRACT)
        self.loaded: LoadedModel = partial(load_model, threads=1, most_rows=1_000)(folder / "bundles" / digest, "cpu")
        self.now = NOON
        self.features: OnlineFeatures = self.opened()

    def opened(self) -> OnlineFeatures:
        settings = {"type": "sqlite", "path": str(self.folder / "online.db")}
        registry = f"sqlite:///{self.folder}/registry.db"
        return open_features(registry, settings, Meters(), lambda model: self.now.timestamp())

    def complete(self, *requests: list[dict[str, Any]]) -> list[Any]:
        async def ask() -> list[Any]:
            asked = (self.features.complete(NamedRows(rows), self.loaded) for rows in requests)
            return await asyncio.gather(*asked, return_exceptions=True)

        return asyncio.run(ask())


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(tmp_path)


def test_keys_and_request_fields_become_a_row_the_model_takes(place):
    (given, why), = place.complete([ROW])  # fmt: skip
    assert why == ()
    assert given.as_rows() == [
        {"origin": "EWR", "distance": 2.0, "mean_delay": 12.0, "weather": "rain", "departure_hour": 18.0}
    ]
    packed = place.loaded.reader.read(given)
    assert packed.numbers.tolist() == [[2.0, 12.0, 18.0]]


def test_expired_values_and_unknown_keys_are_missing(place):
    rows = [ROW | {"origin": origin} for origin in ("JFK", "XXX", None)]
    (given, _), = place.complete(rows)  # fmt: skip
    assert [row["mean_delay"] for row in given.as_rows()] == [None, None, None]
    assert [row["departure_hour"] for row in given.as_rows()] == [18.0] * 3


def test_requests_of_one_turn_share_one_lookup(place):
    answers = place.complete([ROW], [ROW, ROW], [ROW | {"origin": "JFK"}])
    assert place.features.lookups == 1
    assert [len(given.as_rows()) for given, _ in answers] == [1, 2, 1]


def test_a_faulty_row_is_reported_alone(place):
    wrong = {"distance": 1.0, "scheduled_at": "tomorrow"}
    bad, (given, _) = place.complete([wrong], [ROW])
    assert isinstance(bad, InvalidInput)
    assert {problem.field for problem in bad.problems} == {"origin", "scheduled_at"}
    assert given.as_rows()[0]["mean_delay"] == 12.0


def break_store(place: Place) -> None:
    (place.folder / "online.db").rename(place.folder / "kept.db")
    (place.folder / "online.db").write_bytes(b"not a database, but as long as one" * 100)


def test_a_failing_store_is_replaced_by_last_known_values(place):
    place.complete([ROW])
    break_store(place)
    (given, why), = place.complete([ROW | {"scheduled_at": "2013-01-02T07:30:00+00:00"}])  # fmt: skip
    assert given.as_rows()[0]["mean_delay"] == 12.0
    assert given.as_rows()[0]["departure_hour"] == 7.0  # computed, not remembered
    assert why[0].startswith("features: the online store fails")


def test_last_known_values_count_within_their_ttl_only(place):
    place.complete([ROW])
    break_store(place)
    place.now = NOON + timedelta(hours=3)
    (answer,) = place.complete([ROW])
    assert isinstance(answer, Unavailable)
    assert "no value is known" in str(answer)


def test_a_store_that_comes_back_is_used_again(place):
    place.complete([ROW])
    break_store(place)
    place.complete([ROW])
    shutil.copy(place.folder / "kept.db", place.folder / "another.db")
    (place.folder / "another.db").replace(place.folder / "online.db")
    with sqlite3.connect(place.folder / "online.db") as check:
        assert check.execute("select count(*) from sqlite_master").fetchone()[0]
    (given, why), = place.complete([ROW])  # fmt: skip
    assert (given.as_rows()[0]["mean_delay"], why) == (12.0, ())


def test_a_file_put_in_the_stores_place_is_read(place):
    place.complete([ROW])
    other = Place(place.folder / "other") if (place.folder / "other").mkdir() is None else None
    assert other is not None
    put(other.store, EWR=(99.0, "sun", NOON))
    (place.folder / "other" / "online.db").replace(place.folder / "online.db")
    (given, _), = place.complete([ROW])  # fmt: skip
    assert given.as_rows()[0]["mean_delay"] == 99.0
