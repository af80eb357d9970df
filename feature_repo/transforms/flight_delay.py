"""Features of the flights example: what airport, carrier, weather and plane looked like at a moment.

Delays of recent departures count flights that left in (t - 3 h, t - 30 min]. The values change when a flight
enters that window and when it leaves it, so there is one row for each such moment, and the row that an as-of
join finds at t holds exactly the window of t. Departures are known when they happen.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from feature_repo.transforms.view import STATIC_SINCE, Feeds, ViewTransform

WINDOW = timedelta(hours=3)
REPORTING = timedelta(minutes=30)  # a departure counts this long after it happened
LATE = 15  # minutes
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_LOCAL = ZoneInfo("America/New_York")
_WEATHER_TIMES = {"observed_at": "event_timestamp", "published_at": "created_timestamp"}
_WEATHER = ("temp", "dewp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib")


def airport_delays(feeds: Feeds, start: datetime, end: datetime) -> pd.DataFrame:
    """Recent departures at each airport."""
    return _recent_delays(feeds["departures"], ["origin"], start, end, prefix="airport")


def carrier_delays(feeds: Feeds, start: datetime, end: datetime) -> pd.DataFrame:
    """Recent departures of each carrier at each airport."""
    return _recent_delays(feeds["departures"], ["origin", "carrier"], start, end, prefix="carrier")


def weather(feeds: Feeds, start: datetime, end: datetime) -> pd.DataFrame:
    """Hourly observations at each airport, each known when it was published."""
    observed = _between(feeds["weather"], "observed_at", start, end)
    rows = observed.loc[:, ["origin", *_WEATHER, *_WEATHER_TIMES]].rename(columns=_WEATHER_TIMES)
    rows = rows.astype(dict.fromkeys(_WEATHER, "float64"))
    return _finished(rows, ["origin"])


def planes(feeds: Feeds, start: datetime, end: datetime) -> pd.DataFrame:
    """The plane registry as it stands; it has no history."""
    rows = feeds["planes"].loc[:, ["tailnum", "year", "seats", "engines", "manufacturer", "engine"]]
    rows = rows.rename(columns={"year": "plane_year", "engine": "engine_type"})
    rows = rows.astype(dict.fromkeys(("plane_year", "seats", "engines"), "float64"))
    since = pd.Timestamp(STATIC_SINCE)
    return _finished(rows.assign(event_timestamp=since, created_timestamp=since), ["tailnum"])


def departure_time(scheduled_at: Sequence[datetime | None]) -> dict[str, list[float | str | None]]:
    """Clock and calendar in New York at the scheduled departures: of one request, or of a whole year."""
    local = [None if moment is None else moment + _offset(_hour(moment)) for moment in scheduled_at]
    return {
        "departure_hour": [None if moment is None else moment.hour + moment.minute / 60 for moment in local],
        "weekday": [None if moment is None else _WEEKDAYS[moment.weekday()] for moment in local],
    }


VIEWS: Mapping[str, ViewTransform] = {
    "airport_delays": ViewTransform(airport_delays, ("departures",), WINDOW),
    "carrier_delays": ViewTransform(carrier_delays, ("departures",), WINDOW),
    "weather": ViewTransform(weather, ("weather",), timedelta()),
    "planes": ViewTransform(planes, ("planes",), None),
}


def _recent_delays(
    departures: pd.DataFrame, keys: list[str], start: datetime, end: datetime, *, prefix: str
) -> pd.DataFrame:
    near = _between(departures, "departed_at", start - WINDOW, end).sort_values("departed_at")
    parts = [
        pd.DataFrame(_in_window(group, start, end, prefix)).assign(**_named(keys, key))
        for key, group in near.groupby(keys, sort=True)
    ]
    empty = pd.DataFrame({name: pd.Series(dtype="object") for name in keys})
    rows = pd.concat(parts, ignore_index=True) if parts else empty.assign(**_in_window(near, start, end, prefix))
    return _finished(rows.assign(created_timestamp=rows["event_timestamp"]), keys)


def _named(keys: list[str], values: Any) -> dict[str, str]:
    return dict(zip(keys, values, strict=True))


def _in_window(group: pd.DataFrame, start: datetime, end: datetime, prefix: str) -> dict[str, Any]:
    """Mean, share late and number of the departures in the window, at each moment at which that changes."""
    left = group["departed_at"].astype("datetime64[us, UTC]").astype("int64").to_numpy()
    delay = np.rint(group["dep_delay"].to_numpy(dtype="float64"))  # whole minutes: sums are exact in any order
    enter, leave = (step // timedelta(microseconds=1) for step in (REPORTING, WINDOW))
    moments = np.unique(np.concatenate([left + enter, left + leave]))
    moments = moments[(moments >= _number(start)) & (moments < _number(end))]
    first, last = (
        np.searchsorted(left, moments - leave, "right"),
        np.searchsorted(left, moments - enter, "right"),
    )
    count = (last - first).astype("float64")
    with np.errstate(invalid="ignore"):
        mean, late = (_sums(values, first, last) / count for values in (delay, (delay >= LATE).astype("float64")))
    return {
        "event_timestamp": pd.to_datetime(moments, unit="us", utc=True).as_unit("us"),
        f"{prefix}_mean_delay": mean,
        f"{prefix}_share_late": late,
        f"{prefix}_departures": count,
    }


def _sums(values: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    total = np.concatenate([[0.0], np.cumsum(values)])
    return total[last] - total[first]


def _finished(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """In order of time and key, with times as the lake has them."""
    times = dict.fromkeys(("event_timestamp", "created_timestamp"), "datetime64[us, UTC]")
    return rows.astype(times).sort_values(["event_timestamp", *keys], kind="stable", ignore_index=True)


def _between(frame: pd.DataFrame, time: str, start: datetime, end: datetime) -> pd.DataFrame:
    return frame.loc[(frame[time] >= start) & (frame[time] < end)]


def _number(moment: datetime) -> int:
    return (moment - STATIC_SINCE) // timedelta(microseconds=1)


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


@lru_cache(maxsize=1 << 15)
def _offset(hour: datetime) -> timedelta:
    """New York's distance from UTC in that hour. A year has few hours and many flights."""
    utc = hour.astimezone(UTC) if hour.tzinfo else hour.replace(tzinfo=UTC)
    return utc.astimezone(_LOCAL).utcoffset() or timedelta()
