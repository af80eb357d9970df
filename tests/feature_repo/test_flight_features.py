"""The flights' transforms against their definition, however time is cut, and without a look ahead."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from feast import FeatureView

import feature_repo.flight_delay as repository
from feature_repo.transforms.flight_delay import LATE, REPORTING, VIEWS, WINDOW, departure_time
from feature_repo.transforms.view import view_transforms
from mlops_assets.domain.training_set.asof import AsOfView, Beside, asof_join
from mlops_assets.domain.training_set.leakage import Recipe, prove_no_leakage
from mlops_assets.domain.verdict import Outcome

START, END = datetime(2013, 3, 1, tzinfo=UTC), datetime(2013, 3, 4, tzinfo=UTC)
KEYS = {
    "airport_delays": ("origin",),
    "carrier_delays": ("origin", "carrier"),
    "weather": ("origin",),
    "planes": ("tailnum",),
}
TIMES = ("event_timestamp", "created_timestamp")
_WEATHER = ("temp", "dewp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib")


@pytest.fixture(scope="module")
def feeds() -> Mapping[str, pd.DataFrame]:
    """Three days at two airports, quiet at night, with a day before them."""
    rng = np.random.default_rng(3)
    minutes = np.sort(rng.integers(-1440, 3 * 1440, 900))
    minutes = minutes[(minutes % 1440 > 300) | (minutes % 1440 < 60)]
    left = pd.Timestamp(START).as_unit("us") + pd.to_timedelta(minutes, unit="min")
    hours = pd.date_range(START - timedelta(days=1), END, freq="h", unit="us")
    departures = pd.DataFrame(
        {
            "origin": rng.choice(["EWR", "JFK"], len(left)),
            "carrier": rng.choice(["AA", "UA"], len(left)),
            "departed_at": left.astype("datetime64[us, UTC]"),
            "dep_delay": rng.integers(-10, 90, len(left)).astype(float),
        }
    )
    weather = pd.DataFrame(
        {"origin": "EWR", "observed_at": hours, "published_at": hours + pd.Timedelta(hours=1)}
    ).assign(**{name: rng.normal(size=len(hours)) for name in _WEATHER})
    planes = pd.DataFrame(
        {
            "tailnum": ["N1"],
            "year": [1999],
            "seats": [2],
            "engines": [1],
            "manufacturer": ["X"],
            "engine": ["Y"],
        }
    )
    return {"departures": departures, "weather": weather, "planes": planes}


def recent(departures: pd.DataFrame, t: pd.Timestamp) -> pd.Series:
    left = departures["departed_at"]
    return departures.loc[(left > t - WINDOW) & (left <= t - REPORTING), "dep_delay"]


@pytest.mark.parametrize(("view", "prefix"), [("airport_delays", "airport"), ("carrier_delays", "carrier")])
def test_the_join_at_any_moment_finds_the_window_of_that_moment(feeds, view, prefix) -> None:
    rng = np.random.default_rng(0)
    times = pd.Timestamp(START).as_unit("us") + pd.to_timedelta(rng.integers(0, 3 * 86_400, 300), unit="s")
    entities = pd.DataFrame(
        {
            "origin": rng.choice(["EWR", "JFK"], 300),
            "carrier": rng.choice(["AA", "UA"], 300),
            "t": times.astype("datetime64[us, UTC]"),
        }
    )
    rows = VIEWS[view].function(feeds, START, END)
    names = [f"{prefix}_{name}" for name in ("mean_delay", "share_late", "departures")]
    beside = Beside(
        AsOfView(pa.Table.from_pandas(rows), KEYS[view], "event_timestamp", "created_timestamp", timedelta(hours=3)),
        KEYS[view],
        tuple((name, name) for name in names),
    )
    found = asof_join(pa.Table.from_pandas(entities), "t", [beside]).select(names).to_pylist()
    for entity, values in zip(entities.to_dict("records"), found, strict=True):
        departures = feeds["departures"]
        for key in KEYS[view]:
            departures = departures[departures[key] == entity[key]]
        delays = recent(departures, entity["t"])
        if delays.empty:
            assert values[names[0]] is None
            assert values[names[2]] in (0, None)
        else:
            assert values[names[0]] == pytest.approx(delays.mean())
            assert values[names[1]] == pytest.approx((delays >= LATE).mean())
            assert values[names[2]] == len(delays)


@pytest.mark.parametrize("view", [name for name, how in VIEWS.items() if not how.static])
def test_days_one_by_one_are_the_days_together(feeds, view) -> None:
    how = VIEWS[view]
    parts = []
    for start, end in pairwise(pd.date_range(START, END, freq="8h")):
        near = {name: _near(feeds[name], start - how.lookback, end) for name in how.feeds}
        parts.append(how.function(near, start, end))
    whole = how.function(feeds, START, END)
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), whole, check_exact=True)
    assert whole["event_timestamp"].between(START, END, inclusive="left").all()


def _near(frame: pd.DataFrame, start, end) -> pd.DataFrame:
    times = frame["departed_at" if "departed_at" in frame else "observed_at"]
    return frame.loc[(times >= start) & (times < end)]


def test_no_view_looks_ahead(feeds) -> None:
    times = pd.date_range(START, periods=600, freq="7min", unit="us")
    entities = pa.table(
        {
            "origin": ["EWR", "JFK"] * 300,
            "carrier": ["AA", "AA", "UA", "UA"] * 150,
            "tailnum": ["N1"] * 600,
            "event_timestamp": pa.array(times),
        }
    )
    recipes, beside = [], []
    for name, how in VIEWS.items():
        made = pa.Table.from_pandas(how.function(feeds, START, END), preserve_index=False)
        features = tuple(column for column in made.column_names if column not in (*KEYS[name], *TIMES))
        recipes.append(Recipe(name, how.function, how.feeds, KEYS[name], features, WINDOW))
        view = AsOfView(made, KEYS[name], *TIMES, WINDOW)
        beside.append(Beside(view, KEYS[name], tuple((column, column) for column in features)))
    rows = asof_join(entities, "event_timestamp", beside)
    arrived = {"departures": "departed_at", "weather": "published_at", "planes": None}
    verdict = prove_no_leakage(recipes, lambda start, end: feeds, arrived, rows, since=START)
    assert verdict.outcome is Outcome.PASS, verdict.reason
    assert verdict.numbers["rows_that_arrived_later"] > 100


@pytest.mark.parametrize("view", VIEWS)
def test_views_without_rows_have_their_columns_all_the_same(feeds, view) -> None:
    nothing = {name: frame.iloc[:0] for name, frame in feeds.items()}
    rows, empty = (VIEWS[view].function(given, START, END) for given in (feeds, nothing))
    assert not len(empty)
    assert set(empty.columns) == set(rows.columns)
    for name in ("event_timestamp", "created_timestamp"):
        assert str(empty[name].dtype) == str(rows[name].dtype) == "datetime64[us, UTC]"


def test_rows_have_what_feast_expects(feeds) -> None:
    for name, how in VIEWS.items():
        view = next(v for v in vars(repository).values() if isinstance(v, FeatureView) and v.name == name)
        expected = {*KEYS[name], *(field.name for field in view.features)}
        rows = how.function(feeds, START, END)
        assert set(rows.columns) == expected | {"event_timestamp", "created_timestamp"}


@pytest.mark.parametrize(
    ("moment", "hour", "weekday"),
    [
        (datetime(2013, 1, 1, 10, 30, tzinfo=UTC), 5.5, "tuesday"),
        (datetime(2013, 3, 10, 6, 59, tzinfo=UTC), 1 + 59 / 60, "sunday"),
        (datetime(2013, 3, 10, 7, 0, tzinfo=UTC), 3.0, "sunday"),  # clocks go forward
        (datetime(2013, 7, 1, 3, 0, tzinfo=UTC), 23.0, "sunday"),
        (datetime(2013, 7, 1, 3, 0), 23.0, "sunday"),  # without a zone: UTC
        (None, None, None),
    ],
)
def test_clock_and_calendar_are_new_yorks(moment, hour, weekday) -> None:
    assert departure_time([moment]) == {"departure_hour": [hour], "weekday": [weekday]}


def test_a_model_without_transforms_is_told_where_they_belong() -> None:
    assert view_transforms("flight_delay") is VIEWS
    with pytest.raises(ModuleNotFoundError, match=r"feature_repo/transforms/no_such_model\.py"):
        view_transforms("no_such_model")
