"""The airport, as the demonstration needs it: its flights, what is known of them when, and what comes of them.

It stands for the hourly feature pipeline that an airport would have: the example takes its data in once a day, and
delays of the last hours are too old by then to be looked up online. Rows are made by the project's own transforms and
its own point-in-time join, with the views, keys and TTLs that are declared for Feast. Sends nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import pandas as pd
import pyarrow as pa

from feature_repo import flight_delay as declared
from feature_repo.transforms.flight_delay import VIEWS, WINDOW, departure_time
from mlops_assets.defs.flight_delay.source import NewYorkFlights
from mlops_assets.domain.training_set.asof import AsOfView, Beside, asof_join

SERVICE = declared.flight_delay_v1
KEYS = ("origin", "carrier", "tailnum", "scheduled_at")  # with the inputs all that a caller has to know
INPUTS = tuple(SERVICE.tags["inputs"].split(","))
_VIEWS = {view.name: view for view in vars(declared).values() if isinstance(view, declared.FeatureView)}
_REACH = max(view.ttl or timedelta() for view in _VIEWS.values()) + WINDOW  # how far back a row can look
_TIME = "scheduled_at"
_END = datetime(2014, 1, 2, tzinfo=UTC)  # by which everything is known


@dataclass(frozen=True)
class Flight:
    """One flight as a caller asks about it, and what came of it."""

    id: str
    requested_at: datetime  # its scheduled departure
    features: Mapping[str, Any]  # complete: the model's fields
    keys: Mapping[str, Any]  # as somebody asks who has only the schedule
    landed_at: datetime | None  # None: cancelled or diverted
    late: bool | None


class Airport:
    """New York in 2013."""

    def day(self, start: datetime) -> list[Flight]:
        """The flights that are scheduled within the day that begins at `start`, in order of time."""
        end = start + timedelta(days=1)
        flights = self.scheduled(start, end)
        rows = complete_rows(flights, self.feeds(start - _REACH, end)).to_pylist()
        outcomes = self._outcomes
        return [_flight(row, scheduled, outcomes) for row, scheduled in zip(rows, flights.to_pylist(), strict=True)]

    def scheduled(self, start: datetime, end: datetime) -> pa.Table:
        return self._read("schedule", start, end).sort_by([(_TIME, "ascending"), ("flight_id", "ascending")])

    def feeds(self, start: datetime, end: datetime) -> dict[str, pd.DataFrame]:
        needed = {feed for transform in VIEWS.values() for feed in transform.feeds}
        return {feed: self._read(feed, start, end).to_pandas() for feed in sorted(needed)}

    @cached_property
    def _outcomes(self) -> dict[str, tuple[datetime, bool]]:
        rows = self._read("arrivals", None, None)
        times, late = rows["arrived_at"].to_pylist(), rows["late"].to_pylist()
        return dict(zip(rows["flight_id"].to_pylist(), zip(times, late, strict=True), strict=True))

    def _read(self, feed: str, start: datetime | None, end: datetime | None) -> pa.Table:
        return NewYorkFlights().read(feed, start, end, end or _END)


def complete_rows(flights: pa.Table, feeds: Mapping[str, pd.DataFrame]) -> pa.Table:
    """The model's fields of each flight, with what was known at its scheduled departure and no later."""
    moments = flights[_TIME].to_pylist()
    start, end = moments[0] - _REACH, moments[-1] + timedelta(microseconds=1)
    joined = asof_join(flights, _TIME, [_beside(name, feeds, start, end) for name in VIEWS])
    for name, values in departure_time(moments).items():
        joined = joined.append_column(name, pa.array(values))
    return joined.select(list_fields())


def list_fields() -> Sequence[str]:
    """What the service gives the model."""
    served = [feature.name for projection in SERVICE.feature_view_projections for feature in projection.features]
    return list(dict.fromkeys([*INPUTS, *served]))


def _beside(name: str, feeds: Mapping[str, pd.DataFrame], start: datetime, end: datetime) -> Beside:
    rows = pa.Table.from_pandas(VIEWS[name].function(feeds, start, end), preserve_index=False)
    view, keys = _VIEWS[name], tuple(_VIEWS[name].entities)
    features = tuple((field.name, field.name) for field in view.features)
    return Beside(AsOfView(rows, keys, "event_timestamp", "created_timestamp", view.ttl), keys, features)


def _flight(row: dict[str, Any], scheduled: dict[str, Any], outcomes: Mapping[str, tuple[datetime, bool]]) -> Flight:
    landed_at, late = outcomes.get(scheduled["flight_id"], (None, None))
    keys = {name: scheduled[name] for name in dict.fromkeys([*INPUTS, *KEYS])} | {_TIME: scheduled[_TIME].isoformat()}
    return Flight(scheduled["flight_id"], scheduled[_TIME], row, keys, landed_at, late)


def take_share(flights: Sequence[Flight], part: float) -> list[Flight]:
    """A part of the flights, spread over the day; the same ones each time."""
    return [flight for place, flight in enumerate(flights) if int((place + 1) * part) > int(place * part)]
