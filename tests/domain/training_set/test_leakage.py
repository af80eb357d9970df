"""An honest transform passes the proof; each way of looking ahead fails it and is named."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pyarrow as pa
import pytest

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
    "sensors": pd.DataFrame({"sensor": ["a"], "height": [3.0]}),
}
ARRIVED = {"readings": "arrived_at", "sensors": None}
ENTITIES = pa.table({"sensor": ["a"] * 48, "event_timestamp": pa.array(HOURS + pd.Timedelta(minutes=45))})
CUTOFF = START + timedelta(hours=24)


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


def prove(function, cutoff=CUTOFF):
    recipe = Recipe("levels", function, ("sensor",), None)
    return prove_no_leakage([recipe], FEEDS, ARRIVED, ENTITIES, start=START, cutoff=cutoff)


def test_an_honest_transform_passes() -> None:
    verdict = prove(honest)
    assert verdict.outcome is Outcome.PASS
    assert verdict.numbers["rows"] == 24
    assert verdict.numbers["rows_that_arrived_later"] == 24


@pytest.mark.parametrize("cheat", [centred, standardised])
def test_looking_ahead_fails_and_names_the_column(cheat) -> None:
    verdict = prove(cheat)
    assert verdict.outcome is Outcome.FAIL
    assert "levels.level" in verdict.reason
    assert verdict.numbers["changed_columns"] == 1


def test_a_row_that_claims_to_be_known_before_it_arrived_fails() -> None:
    assert prove(too_early, cutoff=START + timedelta(hours=24, minutes=15)).outcome is Outcome.PASS
    asked = ENTITIES.set_column(1, "event_timestamp", pa.array(HOURS + pd.Timedelta(minutes=15)))
    recipe = Recipe("levels", too_early, ("sensor",), None)
    cutoff = START + timedelta(hours=24, minutes=15)
    verdict = prove_no_leakage([recipe], FEEDS, ARRIVED, asked, start=START, cutoff=cutoff)
    assert verdict.outcome is Outcome.FAIL
    assert "(1 rows)" in verdict.reason


def test_without_rows_nothing_is_concluded() -> None:
    assert prove(honest, cutoff=START - timedelta(days=1)).outcome is Outcome.INCONCLUSIVE
