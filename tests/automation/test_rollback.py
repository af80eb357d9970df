"""A champion that is worse than its predecessor on live answers is rolled back once, by the sensor and its job."""

from datetime import datetime, timedelta

import pytest

from mlops_assets.domain.alerts.alerting import AlertKind, Severity
from mlops_assets.domain.names import CAUSE_TAG, Stage
from mlops_assets.domain.registry.ledger import LedgerAction
from mlops_assets.domain.release.next_release import begin_release, go_back
from mlops_assets.resources.release.deployment import DecidedBy, Plan
from serving.contract.arms import Strategy
from tests.automation.conftest import sensor
from tests.fakes.daemon import Daemon
from tests.kit.daily import (
    AFTER,
    MODEL,
    Shop,
    after_the_turn,
    definitions_of,
    promote_newest,
    run_job,
    run_training,
)
from tests.kit.declared import Bench
from tests.kit.watched_days import performance_day


@pytest.fixture(scope="module")
def second(shop: Shop, tmp_path_factory) -> Shop:
    """A second version, the champion since the end of the data."""
    made = promote_newest(run_training(after_the_turn(shop.copy(shop.registered, tmp_path_factory.mktemp("second")))))
    return Shop(shop.source, shop.with_data, made.home)


def lived(second: Shop, tmp_path, before: float, since: float, *, days: int = 5) -> tuple[Bench, Daemon]:
    """So many days of the version before, and of the new one, with these scores."""
    made = second.copy(second.registered, tmp_path)
    bundles = [made.resources["registry"].version(MODEL, number).bundle for number in ("1", "2")]
    for day in range(-days, days + 1):
        name, late = f"{AFTER + timedelta(days=day):%F}", day >= 0
        told_of = performance_day(name, since if late else before, fell=late and since < before, bundle=bundles[late])
        made.resources["monitoring"].write(MODEL, Stage.PERFORMANCE, told_of)
    made.resources["clock"].move(made.spec, AFTER + timedelta(days=days + 1, hours=1))
    return made, Daemon(definitions_of(made), made.instance, made.resources)


def test_a_worse_champion_is_rolled_back_once(second: Shop, tmp_path):
    made, daemon = lived(second, tmp_path, before=0.8, since=0.7)
    (run,), _ = daemon.tick(sensor("rollback"))
    assert (run.job_name, run.tags[CAUSE_TAG].rpartition(":")[0]) == (sensor("rollback"), f"rollback:{MODEL}:2")
    assert daemon.tick(sensor("rollback"))[0] == []
    assert run_job(made, run.job_name, run.run_config).success
    entry = made.resources["ledger"].entries(MODEL)[-1]
    assert (entry.action, entry.subject, entry.actor) == (LedgerAction.ROLLBACK, "1", "monitoring")
    assert "auc 0.7000" in entry.reason
    runs, why = daemon.tick(sensor("rollback"))
    assert (runs, "follows no champion" in why) == ([], True)
    (known,) = made.resources["alerts"].list_open()
    assert (known.alert.kind, known.alert.severity) == (AlertKind.ROLLBACK, Severity.CRITICAL)
    assert entry.reason in known.alert.cause


def test_one_that_is_not_worse_or_was_frozen_stays(second: Shop, tmp_path):
    made, daemon = lived(second, tmp_path / "equal", before=0.8, since=0.79)
    assert "it is not." in daemon.tick(sensor("rollback"))[1]
    made, daemon = lived(second, tmp_path / "frozen", before=0.8, since=0.7)
    config = {"approver": "ada", "reason": "I look at it", "frozen": True}
    assert run_job(made, sensor("freeze"), {"ops": {sensor("freezing"): {"config": config}}}).success
    assert "frozen by ada" in daemon.tick(sensor("rollback"))[1]


def test_a_later_release_ends_the_alert(second: Shop, tmp_path):
    made, daemon = lived(second, tmp_path, before=0.8, since=0.8)
    daemon.tick(sensor("rollback"))
    deployment, now = made.resources["deployment"], AFTER + timedelta(days=9)
    target = deployment.version(MODEL, "1")
    deployment.change(made.spec, lambda state: go_back(state, target, now), DecidedBy("ada", "by hand", {}), now)
    daemon.tick(sensor("rollback"))
    assert [each.alert.kind for each in made.resources["alerts"].list_open()] == [AlertKind.ROLLBACK]
    deployment.change(made.spec, _crown(made, "2", now), DecidedBy("ada", "again", {}), now)
    daemon.tick(sensor("rollback"))
    assert made.resources["alerts"].list_open() == ()


def _crown(made: Bench, number: str, now: datetime) -> Plan:
    version, rollout = made.resources["deployment"].version(MODEL, number), made.spec.rollout
    return lambda state: begin_release(MODEL, rollout, state, version, strategy=Strategy.BLUE_GREEN, bento="", now=now)
