"""Each day that is over is watched once."""

from datetime import timedelta

from tests.automation.conftest import DAY, NEXT, sensor
from tests.fakes.daemon import Daemon
from tests.kit.daily import (
    BEFORE,
    Shop,
    definitions_of,
)
from tests.kit.declared import RANGE


def test_past_days_are_requested_as_a_range(made, daemon):
    made.resources["clock"].move(made.spec, NEXT + timedelta(days=2))
    (run,), _ = daemon.tick(sensor("watch"))
    assert (run.job_name, run.tags[RANGE[0]], run.tags[RANGE[1]]) == (sensor("watch"), DAY, "2024-01-13")
    assert "a run for earlier ones goes on" in daemon.tick(sensor("watch"))[1]
    daemon.end(run, well=False)
    (again,), _ = daemon.tick(sensor("watch"))
    assert again.tags[RANGE[1]] == "2024-01-13"


def test_a_day_is_over_a_while_after_midnight_and_watched_once(made, daemon):
    job = daemon.definitions.resolve_job_def(sensor("watch"))
    assert job.execute_in_process(instance=made.instance, partition_key=DAY).success
    assert f"Every day up to {DAY} was watched" in daemon.tick(sensor("watch"))[1]
    made.resources["clock"].move(made.spec, BEFORE + timedelta(days=2, minutes=14))
    assert daemon.tick(sensor("watch"))[0] == []
    made.resources["clock"].move(made.spec, BEFORE + timedelta(days=2, minutes=15))
    (run,), _ = daemon.tick(sensor("watch"))
    assert run.tags[RANGE[0]] == run.tags[RANGE[1]] == "2024-01-12"


def test_a_model_that_was_never_released_has_no_days(shop: Shop, tmp_path):
    made = shop.copy(shop.with_data, tmp_path)
    daemon = Daemon(definitions_of(made), made.instance, made.resources)
    for name in ("watch", "rollback"):
        assert "no release yet" in daemon.tick(sensor(name))[1]
    assert "no champion yet" in daemon.tick(sensor("drift"))[1]
