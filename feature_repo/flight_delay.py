"""Feast objects of the flights example. How the rows are made stands in `transforms/flight_delay.py`.

A source's path is relative to the lake. The tag `inputs` of a service names the columns of a request that the
model sees as they stand; the service's features come after them.
"""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, String, UnixTimestamp

origin = Entity(name="origin", value_type=ValueType.STRING, description="Airport a flight leaves from")
carrier = Entity(name="carrier", value_type=ValueType.STRING, description="Airline, two letters")
tailnum = Entity(name="tailnum", value_type=ValueType.STRING, description="Plane, by its registration")


def _rows(view: str) -> FileSource:
    return FileSource(
        name=view,
        path=f"flight_delay/features/{view}",
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
    )


def _numbers(*names: str) -> list[Field]:
    return [Field(name=name, dtype=Float64) for name in names]


airport_delays = FeatureView(
    name="airport_delays",
    description="Departures from the airport in (t - 3 h, t - 30 min]",
    entities=[origin],
    ttl=timedelta(hours=3),
    schema=_numbers("airport_mean_delay", "airport_share_late", "airport_departures"),
    source=_rows("airport_delays"),
)
carrier_delays = FeatureView(
    name="carrier_delays",
    description="The carrier's departures from the airport in (t - 3 h, t - 30 min]",
    entities=[origin, carrier],
    ttl=timedelta(hours=3),
    schema=_numbers("carrier_mean_delay", "carrier_share_late", "carrier_departures"),
    source=_rows("carrier_delays"),
)
weather = FeatureView(
    name="weather",
    description="The latest published observation at the airport",
    entities=[origin],
    ttl=timedelta(hours=6),
    schema=_numbers("temp", "dewp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib"),
    source=_rows("weather"),
)
planes = FeatureView(
    name="planes",
    description="The plane registry",
    entities=[tailnum],
    ttl=None,
    schema=[
        *_numbers("plane_year", "seats", "engines"),
        Field(name="manufacturer", dtype=String),
        Field(name="engine_type", dtype=String),
    ],
    source=_rows("planes"),
)


@on_demand_feature_view(
    sources=[RequestSource(name="schedule", schema=[Field(name="scheduled_at", dtype=UnixTimestamp)])],
    schema=[*_numbers("departure_hour"), Field(name="weekday", dtype=String)],
    mode="python",
    description="Clock and calendar in New York at the scheduled departure",
)
def departure_time(inputs: dict) -> dict:
    # Feast keeps this function as text and runs it alone, so it can use nothing around it.
    from feature_repo.transforms.flight_delay import departure_time

    return departure_time(inputs["scheduled_at"])


flight_delay_v1 = FeatureService(
    name="flight_delay_v1",
    features=[airport_delays, carrier_delays, weather, planes, departure_time],
    tags={"inputs": "origin,carrier,dest,distance,scheduled_minutes"},
)
