"""The flights of 2013 as feeds: times that are true, keys that are unique, rows that fit together."""

from datetime import UTC, datetime

import numpy as np
import pyarrow.compute as pc
import pytest

from mlops_assets.defs.flight_delay.source import NewYorkFlights

NOW = datetime(2013, 10, 1, tzinfo=UTC)
FEEDS = {"schedule": 336_776, "departures": 328_521, "arrivals": 327_346, "weather": 26_115, "planes": 3_322}


@pytest.fixture(scope="module")
def flights():
    source = NewYorkFlights()
    return {feed: source.read(feed, None, None, NOW) for feed in FEEDS}


def one(table, flight_id):
    return table.filter(pc.equal(table["flight_id"], flight_id)).to_pylist()[0]


def test_every_feed_has_all_its_rows(flights):
    assert {feed: table.num_rows for feed, table in flights.items()} == FEEDS


@pytest.mark.parametrize(
    ("feed", "key"),
    [
        ("schedule", ["flight_id"]),
        ("departures", ["flight_id"]),
        ("arrivals", ["flight_id"]),
        ("weather", ["origin", "observed_at"]),
        ("planes", ["tailnum"]),
    ],
)
def test_keys_are_unique_and_complete(flights, feed, key):
    table = flights[feed]
    assert table.group_by(key).aggregate([]).num_rows == table.num_rows
    assert all(table[name].null_count == 0 for name in key)


def test_a_flight_has_its_true_times(flights):
    """UA1545 of 1 January: 05:15 in New York, scheduled into Houston at 08:19 there; left 2 late, landed 11 late."""
    flight = "20130101-UA1545-EWR"
    schedule = one(flights["schedule"], flight)
    assert schedule["scheduled_at"] == datetime(2013, 1, 1, 10, 15, tzinfo=UTC)
    assert schedule["announced_at"] == datetime(2012, 12, 31, 10, 15, tzinfo=UTC)
    assert schedule["scheduled_minutes"] == 4 * 60 + 4
    assert one(flights["departures"], flight)["departed_at"] == datetime(2013, 1, 1, 10, 17, tzinfo=UTC)
    arrival = one(flights["arrivals"], flight)
    assert arrival["arrived_at"] == datetime(2013, 1, 1, 14, 30, tzinfo=UTC)
    assert arrival["late"] is False


def test_no_flight_lands_sooner_than_it_could(flights):
    """Over the year, nights, clock changes and eight time zones: ground time is what an airport takes."""
    landed = flights["arrivals"].join(flights["departures"].select(["flight_id", "departed_at"]), "flight_id")
    landed = landed.join(flights["schedule"].select(["flight_id", "distance"]), "flight_id")
    minutes = pc.minutes_between(landed["departed_at"], landed["arrived_at"]).to_numpy()
    miles_per_minute = landed["distance"].to_numpy() / minutes
    assert minutes.min() > 20
    assert miles_per_minute.max() < 11
    assert np.quantile(miles_per_minute, 0.001) > 1


def test_labels_are_known_only_when_a_flight_has_landed(flights):
    arrivals = flights["arrivals"]
    assert pc.mean(arrivals["late"]).as_py() == pytest.approx(0.2447, abs=1e-4)
    assert pc.all(pc.equal(arrivals["late"], pc.greater_equal(arrivals["arr_delay"], 15))).as_py()


def test_cancelled_flights_are_scheduled_and_never_leave(flights):
    left = set(flights["departures"]["flight_id"].to_pylist())
    never = sum(flight not in left for flight in flights["schedule"]["flight_id"].to_pylist())
    assert never == 8_255


def test_weather_is_known_an_hour_later(flights):
    weather = flights["weather"]
    assert pc.unique(pc.minutes_between(weather["observed_at"], weather["published_at"])).to_pylist() == [60]


def test_a_window_holds_its_rows_in_order():
    start, end = datetime(2013, 3, 10, tzinfo=UTC), datetime(2013, 3, 11, tzinfo=UTC)
    times = NewYorkFlights().read("schedule", start, end, NOW)["scheduled_at"].to_pylist()
    assert times == sorted(times)
    assert times[0] >= start
    assert times[-1] < end
