"""The feature store of a real Feast in a folder of its own, with a service that is written by hand."""

import shutil
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from feature_repo.transforms.flight_delay import VIEWS
from mlops_assets.domain.names import EVENT_TIME, SNAPSHOT, Layer
from mlops_assets.domain.verdict import Outcome
from mlops_assets.resources.features.store import FeatureStore, service_name
from mlops_assets.resources.lake.lake import Lake
from tests.resources.features.conftest import NOON, TIME, feature_spec, flights, opened


def feeds() -> dict[str, pd.DataFrame]:
    """Two mornings of an airport: a flight every ten minutes, two carriers, five to twenty minutes late."""
    times = pd.date_range("2013-01-01 12:00", "2013-01-02 17:30", freq="10min", tz="UTC", unit="us")
    hours = pd.date_range("2013-01-01 12:00", "2013-01-02 17:00", freq="h", tz="UTC", unit="us")
    numbers = ("temp", "dewp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib")
    return {
        "departures": pd.DataFrame(
            {
                "origin": "EWR",
                "carrier": ["UA", "AA"] * (len(times) // 2),
                "departed_at": times,
                "dep_delay": [float(5 + place % 4 * 5) for place in range(len(times))],
            }
        ),
        "weather": pd.DataFrame(
            {"origin": "EWR", "observed_at": hours, "published_at": hours + pd.Timedelta(hours=1)}
        ).assign(**{name: range(len(hours)) for name in numbers}),
        "planes": pd.DataFrame(
            {
                "tailnum": ["N1", "N2"],
                "year": [2000.0, None],
                "seats": [100, 200],
                "engines": [2, 2],
                "manufacturer": ["BOEING", "AIRBUS"],
                "engine": ["Turbo-fan", None],
            }
        ),
    }


@pytest.fixture(scope="module")
def applied(tmp_path_factory) -> Path:
    """A folder with the flights service and two days of rows behind it."""
    folder = tmp_path_factory.mktemp("applied")
    days = [datetime(2013, 1, day, tzinfo=UTC) for day in (1, 2, 3)]
    for view, how in VIEWS.items():
        table = Lake(root=str(folder / "lake")).table("flight_delay", Layer.FEATURES, view)
        for start, end in [(days[0], days[-1])] if how.static else pairwise(days):
            rows = pa.Table.from_pandas(how.function(feeds(), start, end), preserve_index=False)
            name = SNAPSHOT if how.static else f"{start:%F}"
            table.write(name, rows, now=NOON, time_column=EVENT_TIME)
    opened(folder).apply(flights(), {}, {})
    return folder


@pytest.fixture
def service(applied, tmp_path) -> str:
    """The same in the test's own folder."""
    shutil.copytree(applied, tmp_path, dirs_exist_ok=True)
    return "flight_delay_v1"


def request(tailnum: str | None = "N1", carrier: str = "UA") -> dict:
    return {
        "origin": "EWR",
        "carrier": carrier,
        "tailnum": tailnum,
        "dest": "IAH",
        "distance": 1400,
        "scheduled_minutes": 180,
        "scheduled_at": NOON,
    }


def test_a_service_lists_its_inputs_outputs_and_request_fields(features, service) -> None:
    views = {view.name: view for view in features.views(service)}
    assert service == service_name(flights()) == "flight_delay_v1"
    assert list(views) == list(VIEWS)
    assert views["carrier_delays"].keys == ("origin", "carrier")
    assert views["airport_delays"].ttl == timedelta(hours=3)
    assert views["planes"].ttl is None
    inputs = features.inputs(service)
    assert inputs[:5] == ("origin", "carrier", "dest", "distance", "scheduled_minutes")
    assert inputs[-2:] == ("departure_hour", "weekday")
    assert set(features.lookup_fields(service)) == {"origin", "carrier", "tailnum", "scheduled_at"}


def test_the_training_frame_has_what_was_known_at_each_row(features, service) -> None:
    entities = pa.Table.from_pylist([request(), request(None, "ZZ")])
    times = pa.array([NOON, NOON - timedelta(days=30)], TIME)
    frame = features.training_frame(service, entities.append_column(EVENT_TIME, times))
    recent = feeds()["departures"].set_index("departed_at")["dep_delay"]
    window = recent[(recent.index > NOON - timedelta(hours=3)) & (recent.index <= NOON - timedelta(minutes=30))]
    assert frame["airport_mean_delay"].to_pylist() == [window.mean(), None]
    assert frame["airport_departures"].to_pylist() == [len(window), None]
    assert frame["temp"].to_pylist() == [28.0, None]  # of 16:00, published at 17:00
    assert frame["plane_year"].to_pylist() == [2000.0, None]
    assert frame["departure_hour"].to_pylist() == [12.0, 12.0]
    assert frame["weekday"].to_pylist() == ["wednesday", "wednesday"]
    assert set(features.inputs(service)) <= set(frame.column_names)


def test_online_is_offline_row_by_row(features, service) -> None:
    until = features.materialize(service, datetime(2013, 1, 1, tzinfo=UTC), NOON)
    assert until == dict.fromkeys(VIEWS, NOON)
    rows = [request(), request("N2", "AA"), request(None), request("unknown", "ZZ")]
    verdict = features.compare_online(service, rows, NOON)
    assert verdict.outcome is Outcome.PASS, verdict.reason
    assert verdict.numbers["rows"] == 4
    online = features.online(service, rows, NOON)
    assert online["seats"] == [100.0, 200.0, None, None]
    assert online["carrier_departures"][0] is not None
    assert online["carrier_departures"][3] is None


def test_online_values_expire_by_ttl_as_offline(features, service) -> None:
    features.materialize(service, datetime(2013, 1, 1, tzinfo=UTC), NOON)
    later = NOON + timedelta(hours=3, minutes=1)
    online = features.online(service, [request()], later)
    assert online["airport_departures"] == [None]
    assert online["temp"] == [28.0]
    assert online["seats"] == [100.0]
    assert features.online(service, [request()], NOON + timedelta(hours=5, minutes=1))["temp"] == [None]


def test_online_values_that_differ_are_told(features, service, lake) -> None:
    features.materialize(service, datetime(2013, 1, 1, tzinfo=UTC), NOON)
    changed = pa.Table.from_pandas(VIEWS["planes"].function(feeds(), NOON, NOON), preserve_index=False)
    changed = changed.set_column(2, "seats", pa.array([101.0, 201.0]))
    lake.table("flight_delay", Layer.FEATURES, "planes").write(SNAPSHOT, changed, now=NOON, time_column=EVENT_TIME)
    verdict = features.compare_online(service, [request()], NOON)
    assert verdict.outcome is Outcome.FAIL
    assert "seats in row 0: offline 101.0, online 100.0" in verdict.reason


def test_an_old_day_made_again_does_not_overwrite_newer_values(features, service) -> None:
    start = datetime(2013, 1, 1, tzinfo=UTC)
    features.materialize(service, start, NOON)
    before = features.online(service, [request()], NOON)
    features.materialize(service, start, start + timedelta(days=1))
    assert features.online(service, [request()], NOON) == before
    assert {view.materialized_until for view in features.views(service)} == {NOON}


def test_the_watermark_is_the_latest_row_in_the_lake(features, service) -> None:
    assert features.watermark("weather") == NOON
    assert features.watermark("planes") == datetime(1970, 1, 1, tzinfo=UTC)


def test_applying_again_changes_nothing(features, service) -> None:
    assert features.apply(flights(), {}, {}) == service


def test_a_service_that_no_module_has_is_told_with_those_it_has(features) -> None:
    spec = flights().with_changes(features=feature_spec(service="flight_delay", version=7))
    with pytest.raises(ValueError, match="no feature service 'flight_delay_v7'; it has flight_delay_v1"):
        features.apply(spec, {}, {})


@pytest.mark.needs_redis
def test_redis_answers_as_sqlite_does(features, service, redis_url) -> None:
    values = features.model_dump()
    on_redis = FeatureStore(**{**values, "online_store": redis_url, "home": values["home"] + "-redis"})
    on_redis.apply(flights(), {}, {})
    on_redis.materialize(service, datetime(2013, 1, 1, tzinfo=UTC), NOON)
    assert on_redis.compare_online(service, [request(), request("N2", "AA")], NOON).outcome is Outcome.PASS
