"""What "now" is: wall time, or where a replay stands."""

from datetime import UTC, datetime, timedelta

import pytest

from mlops_assets.resources.clock import Clock
from tests.kit.specs import START, model_spec

LIVE, PAST = model_spec(), model_spec(replay=START)


@pytest.fixture
def clock(tmp_path) -> Clock:
    return Clock(folder=str(tmp_path / "clock"))


def test_a_live_model_has_wall_time(clock):
    before = datetime.now(UTC)
    assert before <= clock.now(LIVE) <= datetime.now(UTC)


def test_a_replay_starts_as_declared_and_stays_where_moved(clock):
    assert clock.now(PAST) == START
    clock.move(PAST, START + timedelta(days=2))
    assert clock.now(PAST) == START + timedelta(days=2)
    assert Clock(folder=clock.folder).now(PAST) == START + timedelta(days=2)  # a new process sees the same


def test_models_have_clocks_of_their_own(clock):
    clock.move(PAST, START + timedelta(days=2))
    assert clock.now(PAST.with_changes(model="other")) == START


def test_time_only_goes_forward(clock):
    clock.move(PAST, START + timedelta(days=2))
    with pytest.raises(ValueError, match="it cannot go back to 2024-01-02"):
        clock.move(PAST, START + timedelta(days=1))
    assert clock.now(PAST) == START + timedelta(days=2)


def test_wall_time_cannot_be_moved(clock):
    with pytest.raises(ValueError, match="declare `replay:` to move its clock"):
        clock.move(LIVE, START)
