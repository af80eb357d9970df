"""What the demonstration's callers send is what the pipeline would train on: the same flights, the same moments."""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import yaml

from infra.demo.world import Airport, Flight, complete_rows, list_fields, take_share
from mlops_assets.domain.names import Stage
from mlops_assets.stages.training_set.join import join
from tests.kit.declared import Bench, run_errors, specified

DECLARATION = Path("mlops_assets/defs/flight_delay/defs.yaml")
START, END = datetime(2013, 3, 7, tzinfo=UTC), datetime(2013, 3, 10, tzinfo=UTC)  # a storm, and the day after it
NOW = datetime(2013, 3, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def trained_on(tmp_path_factory) -> dict[str, dict]:
    """The rows that a training would take, by flight, from the real stages over three days."""
    home = tmp_path_factory.mktemp("pipeline")
    attributes = yaml.safe_load(DECLARATION.read_text())["attributes"]
    days = {"every": "day", "start": f"{START:%Y-%m-%d}", "end": f"{END:%Y-%m-%d}"}
    spec = specified(attributes | {"partitions": days, "replay": NOW.isoformat()}, DECLARATION.parent)
    with dg.DagsterInstance.ephemeral(tempdir=str(home / "dagster")) as instance:
        made = Bench(spec, home, instance)
        result = made.materialize(Stage.RAW_DATA, Stage.VALIDATED_DATA, Stage.FEATURES)
        assert result.success, run_errors(result)
        joined = join(spec, made.resources["lake"], made.resources["features"], NOW)
    return {row["flight_id"]: row for row in joined.rows.to_pylist()}


@pytest.fixture(scope="module")
def asked() -> list[Flight]:
    airport = Airport()
    return [flight for day in range(1, 3) for flight in airport.day(START + timedelta(days=day))]


def test_rows_are_those_of_the_training_at_the_same_moment(trained_on, asked):
    compared = [flight for flight in asked if flight.id in trained_on]
    assert len(compared) > 1_000
    different = [
        (flight.id, name, value, trained_on[flight.id][name])
        for flight in compared
        for name, value in flight.features.items()
        if not same(value, trained_on[flight.id][name])
    ]
    assert not different, f"{len(different)} values differ, such as {different[:5]}"


def test_landed_flights_bring_the_outcome_of_training(trained_on, asked):
    landed = [flight for flight in asked if flight.landed_at is not None and flight.landed_at < END]
    assert {flight.id for flight in landed} == {flight.id for flight in asked} & trained_on.keys()
    assert all(flight.late is bool(trained_on[flight.id]["label"]) for flight in landed)
    assert all(flight.landed_at > flight.requested_at for flight in landed)


def test_no_row_changes_when_the_future_is_not_known_yet(asked):
    """The morning's rows again, from feeds that end with its last flight."""
    morning = [flight for flight in asked if flight.requested_at < START + timedelta(days=1, hours=14)]
    last = morning[-1].requested_at
    airport = Airport()
    flights = airport.scheduled(START + timedelta(days=1), last + timedelta(microseconds=1))
    known = airport.feeds(START, last + timedelta(microseconds=1))
    known["departures"] = known["departures"].query("departed_at <= @last")
    known["weather"] = known["weather"].query("published_at <= @last")
    again = complete_rows(flights, known).to_pylist()
    assert len(again) == len(morning) > 100
    assert all(
        same(row[name], flight.features[name]) for row, flight in zip(again, morning, strict=True) for name in row
    )


def test_a_schedule_suffices_to_look_up_every_field(asked):
    assert set(asked[0].features) == set(list_fields())
    assert {"origin", "carrier", "tailnum", "scheduled_at", "dest", "distance"} <= asked[0].keys.keys()
    assert datetime.fromisoformat(asked[0].keys["scheduled_at"]).tzinfo is not None


@pytest.mark.parametrize(("part", "least", "most"), [(1.0, 1.0, 1.0), (0.5, 0.49, 0.51), (0.0, 0.0, 0.0)])
def test_a_share_of_the_flights_is_spread_over_the_day(asked, part, least, most):
    assert least <= len(take_share(asked, part)) / len(asked) <= most


def same(ours, theirs) -> bool:
    missing = [value is None or (isinstance(value, float) and math.isnan(value)) for value in (ours, theirs)]
    if any(missing):
        return all(missing)
    return math.isclose(ours, theirs, rel_tol=1e-12) if isinstance(ours, float) else ours == theirs
