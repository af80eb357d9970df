"""An honest transform passes the proof; each way of looking ahead fails it and is named."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pyarrow as pa
import pytest

from mlops_assets.domain.training_set.asof import AsOfView, Beside, asof_join
from mlops_assets.domain.training_set.leakage import Recipe, prove_no_leakage
from mlops_assets.domain.verdict import Outcome

START = datetime(2024, 1, 1, tzinfo=UTC)
HOURS = pd.date_range(START, periods=48, freq="h", unit="us")
FEEDS = {
    "readings": pd.DataFrame(
        {
            "sensor": ["a"] * 48,
            "seen_at": HOURS,
            "arrived_at": HOURS + pd.Timedelta(minutes=30),
            "value": [float(hour * hour % 17) for hour in range(48)],
        }
    ),
}
ARRIVED = {"readings": "arrived_at"}
ENTITIES = pa.table({"sensor": ["a"] * 48, "event_timestamp": pa.array(HOURS + pd.Timedelta(minutes=45))})


def rows(readings: pd.DataFrame, value: pd.Series, created: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "sensor": readings["sensor"],
            "level": value,
            "event_timestamp": readings["seen_at"],
            "created_timestamp": readings[created],
        }
    )


def honest(feeds, start, end) -> pd.DataFrame:
    readings = feeds["readings"]
    return rows(readings, readings["value"].rolling(3, min_periods=1).mean(), "arrived_at")


def centred(feeds, start, end) -> pd.DataFrame:
    readings = feeds["readings"]
    return rows(readings, readings["value"].rolling(3, min_periods=1, center=True).mean(), "arrived_at")


def standardised(feeds, start, end) -> pd.DataFrame:
    readings = feeds["readings"]
    return rows(readings, readings["value"] - readings["value"].mean(), "arrived_at")


def too_early(feeds, start, end) -> pd.DataFrame:
    """Says that a reading was known when it was made, though it arrived half an hour later."""
    return rows(feeds["readings"], feeds["readings"]["value"], "seen_at")


def prove(function, *, entities: pa.Table = ENTITIES, stored=None, ttl=None):
    """The verdict on rows that were joined with what `stored` (by default the same function) made of all feeds."""
    end = START + timedelta(days=4)
    made = pa.Table.from_pandas((stored or function)(FEEDS, START, end), preserve_index=False)
    view = AsOfView(made, ("sensor",), "event_timestamp", "created_timestamp", ttl)
    rows = asof_join(entities, "event_timestamp", [Beside(view, ("sensor",), (("level", "level"),))])
    recipe = Recipe("levels", function, ("readings",), ("sensor",), ("level",), ttl)
    return prove_no_leakage([recipe], lambda start, end: {"readings": FEEDS["readings"]}, ARRIVED, rows, since=START)


def test_an_honest_transform_passes() -> None:
    verdict = prove(honest)
    assert verdict.outcome is Outcome.PASS
    assert verdict.numbers["moments"] == 12
    assert verdict.numbers["rows_that_arrived_later"] > 48


@pytest.mark.parametrize("cheat", [centred, standardised])
def test_looking_ahead_fails_and_names_the_column(cheat) -> None:
    verdict = prove(cheat)
    assert verdict.outcome is Outcome.FAIL
    assert "levels.level" in verdict.reason
    assert verdict.numbers["changed_columns"] == 1


def test_a_row_that_claims_to_be_known_before_it_arrived_fails() -> None:
    assert prove(too_early).outcome is Outcome.PASS  # rows are asked for only when the latest has arrived
    asked = ENTITIES.set_column(1, "event_timestamp", pa.array(HOURS + pd.Timedelta(minutes=15)))
    verdict = prove(too_early, entities=asked)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.numbers["changed_columns"] == 1


def test_values_that_the_transform_no_longer_makes_fail() -> None:
    """The rows that are learnt from are compared, not two rebuilds with one another."""
    verdict = prove(honest, stored=centred)
    assert verdict.outcome is Outcome.FAIL


def daily_mean(feeds, start, end, *, of: int) -> pd.DataFrame:
    """At midnight the mean of a day: 0 is the day that begins, which nobody knows yet; -1 the day before."""
    readings = feeds["readings"]
    days = readings.groupby(readings["seen_at"].dt.floor("D"))["value"].mean()
    moments = days.index - pd.Timedelta(days=of)
    return pd.DataFrame(
        {"sensor": "a", "level": days.to_numpy(), "event_timestamp": moments, "created_timestamp": moments}
    )


def test_a_mean_of_the_period_that_begins_fails() -> None:
    ahead = prove(lambda *given: daily_mean(*given, of=0))
    behind = prove(lambda *given: daily_mean(*given, of=-1))
    assert (ahead.outcome, behind.outcome) == (Outcome.FAIL, Outcome.PASS)


def test_a_transform_without_rows_yet_is_no_crash_of_text_keys() -> None:
    def nothing(feeds, start, end) -> pd.DataFrame:
        return honest(feeds, start, end).iloc[:0].astype({"sensor": "object"})

    assert prove(nothing, stored=honest, ttl=timedelta(days=2)).outcome is Outcome.FAIL


def test_feeds_without_a_clock_prove_nothing() -> None:
    recipe = Recipe("levels", honest, ("sensors",), ("sensor",), ("level",), None)
    verdict = prove_no_leakage([recipe], lambda start, end: {}, {"sensors": None}, ENTITIES, since=START)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "sensors" in verdict.reason


def test_without_later_rows_nothing_is_proven() -> None:
    late = ENTITIES.set_column(1, "event_timestamp", pa.array(HOURS + pd.Timedelta(days=9)))
    assert prove(honest, entities=late).outcome is Outcome.INCONCLUSIVE
