"""From a cause to one run: the sensors on real stores and Dagster's storage, ticks repeated, daemons that die."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, SensorInstigatorData

from mlops_assets.declaration.monitoring import Cause
from mlops_assets.domain.alerts.alerting import AlertKind, Severity
from mlops_assets.domain.names import CAUSE_TAG, MODEL_TIME_TAG, Stage
from mlops_assets.domain.registry.ledger import LedgerAction
from mlops_assets.domain.release.next_release import begin_release, go_back
from mlops_assets.resources.release.deployment import DecidedBy, Plan
from mlops_assets.stages.retraining.collect import read_champion, stopped_sensors
from serving.contract.arms import Strategy
from tests.fakes.daemon import Daemon
from tests.kit.daily import (
    AFTER,
    BEFORE,
    MODEL,
    Shop,
    after_the_turn,
    definitions_of,
    promote_newest,
    run_job,
    run_training,
)
from tests.kit.declared import RANGE, Bench, run_errors
from tests.kit.watched_days import drift_day, performance_day

DAY = f"{BEFORE:%Y-%m-%d}"
NEXT = BEFORE + timedelta(days=1, hours=2)


@pytest.fixture
def made(shop: Shop, tmp_path) -> Bench:
    """Version 1 answers since the turn; the next day has begun."""
    made = shop.copy(shop.registered, tmp_path, retraining={"new_rows": 500, "least_rows": 10})
    made.resources["clock"].move(made.spec, NEXT)
    return made


@pytest.fixture
def daemon(made) -> Daemon:
    return Daemon(definitions_of(made), made.instance, made.resources)


def sensor(name: str) -> str:
    return f"{MODEL}_{name}"


def watched(made: Bench, day: str = DAY, *, alarm: bool = False, fell: bool = False) -> None:
    champion = read_champion(made.spec, made.resources["ledger"], made.resources["lake"])
    assert champion is not None
    monitoring = made.resources["monitoring"]
    monitoring.write(MODEL, Stage.DRIFT_REPORT, drift_day(day, alarm=alarm, bundle=champion.bundle))
    monitoring.write(MODEL, Stage.PERFORMANCE, performance_day(day, fell=fell, bundle=champion.bundle))


def decide(made: Bench, job: str = "decision", **config: str) -> dg.ExecuteInProcessResult:
    result = run_job(made, sensor(job), config)
    assert result.success, run_errors(result)
    return result


def moved(made: Bench, **by: float) -> None:
    made.resources["clock"].move(made.spec, NEXT + timedelta(**by))


# --- the looks at one cause ---


def test_nothing_is_asked_for_on_calm_days(made, daemon):
    watched(made)
    for cause in ("drift", "quality", "data_volume", "staleness"):
        runs, why = daemon.tick(sensor(cause))
        assert (runs, bool(why)) == ([], True)


@pytest.mark.parametrize(("cause", "shown"), [("drift", {"alarm": True}), ("quality", {"fell": True})])
def test_a_cause_asks_for_one_decision_of_its_window(made, daemon, cause, shown):
    watched(made, **shown)
    (run,), _ = daemon.tick(sensor(cause))
    assert run.job_name == sensor("decision")
    assert run.tags[CAUSE_TAG] == f"{cause}:{MODEL}:1:{DAY}"
    assert daemon.tick(sensor(cause))[0] == []
    daemon.end(run)
    decide(made)
    runs, why = daemon.tick(sensor(cause))
    assert runs == []
    assert "A decision has considered it: " in why


def test_a_failed_decision_run_is_requested_again_a_few_times(made, daemon):
    watched(made, alarm=True)
    for _ in range(3):
        (run,), _ = daemon.tick(sensor("drift"))
        daemon.end(run, well=False)
    runs, why = daemon.tick(sensor("drift"))
    assert runs == []
    assert "failed 3 times" in why


def test_new_labelled_rows_ask_once_a_day(made, daemon):
    assert "30 labelled rows are new, 500 are enough" in daemon.tick(sensor("data_volume"))[1]
    moved(made, days=4)
    assert made.materialize(Stage.RAW_DATA, Stage.VALIDATED_DATA).success
    (run,), _ = daemon.tick(sensor("data_volume"))
    assert run.tags[CAUSE_TAG] == f"data_volume:{MODEL}:1:2024-01-16"
    assert daemon.tick(sensor("data_volume"))[0] == []


def test_age_warns_and_then_asks(made, daemon):
    moved(made, days=28)
    assert daemon.tick(sensor("staleness"))[0] == []
    moved(made, days=30)
    assert daemon.tick(sensor("staleness"))[0] == []
    (known,) = made.resources["alerts"].list_open()
    assert (known.alert.kind, known.alert.severity) == (AlertKind.STALENESS, Severity.WARNING)
    moved(made, days=60)
    (run,), _ = daemon.tick(sensor("staleness"))
    assert run.tags[CAUSE_TAG] == f"staleness:{MODEL}:1:2024-03-12"
    (known,) = made.resources["alerts"].list_open()
    assert known.alert.severity is Severity.CRITICAL


@pytest.mark.parametrize("cause", ["drift", "quality"])
def test_an_unreadable_record_is_reported_and_breaks_no_sensor(made, daemon, cause):
    watched(made, alarm=True, fell=True)
    for file in (made.home / "lake" / MODEL / "monitoring").rglob("record.json"):
        file.write_text("{}")
    runs, why = daemon.tick(sensor(cause))
    assert runs == []
    assert "cannot be judged" in why


def test_a_ledger_that_is_broken_is_told_and_breaks_no_sensor(made, daemon):
    file = made.home / "ledger" / f"{MODEL}.jsonl"
    file.write_text(file.read_text().replace("gates", "gatez"))
    for name in ("drift", "quality", "data_volume", "staleness", "watch", "rollback"):
        runs, why = daemon.tick(sensor(name))
        assert runs == []
        assert "LedgerBrokenError" in why


# --- one run for one cause ---


def test_a_yes_is_launched_once_whatever_repeats(made, daemon):
    watched(made, fell=True)
    decide(made)
    (run,), _ = daemon.tick(sensor("retrain"), dies_before_cursor=True)
    assert run.job_name == sensor("train")
    assert run.tags[MODEL_TIME_TAG] == NEXT.isoformat()
    other = Daemon(daemon.definitions, made.instance, made.resources)
    assert [daemon.tick(sensor("retrain"))[0], other.tick(sensor("retrain"))[0]] == [[], []]
    decide(made)  # a training runs: the same window says no
    assert daemon.tick(sensor("retrain"))[0] == []
    daemon.end(run)
    decide(made)  # it ended: the cooldown holds
    daemon.cursors.clear()  # the daemon's memory is lost
    assert daemon.tick(sensor("retrain"))[0] == []
    assert made.instance.get_runs_count(dg.RunsFilter(job_name=sensor("train"))) == 1
    kinds = {each.alert.kind for each in made.resources["alerts"].list_open()}
    assert AlertKind.RETRAIN not in kinds  # the decision after it ended the notice


def test_a_start_is_told(made, daemon):
    watched(made, fell=True)
    decide(made)
    daemon.tick(sensor("retrain"))
    started = [each.alert for each in made.resources["alerts"].list_open() if each.alert.kind is AlertKind.RETRAIN]
    assert [(each.severity, each.cause) for each in started] == [(Severity.INFO, "Yes: realised auc 0.8.")]


def test_of_two_that_did_not_know_of_each_other_one_is_launched(made, daemon):
    watched(made, fell=True)
    daemon.tick(sensor("retrain"))
    decide(made)
    pending = decide(made, "retrain", who="ada", why="now")
    assert "a training is running" in pending.output_for_node(f"{MODEL}__retrain_decision").decision.reason
    runs, _ = daemon.tick(sensor("retrain"))
    assert [run.tags[CAUSE_TAG].split(":")[2] for run in runs] == [Cause.QUALITY]


def test_the_first_look_takes_the_latest_decision_alone(made, daemon):
    watched(made, fell=True)
    decide(made)
    watched(made)
    made.resources["clock"].move(made.spec, NEXT + timedelta(minutes=1))
    decide(made)
    assert daemon.tick(sensor("retrain"))[0] == []


def test_a_decision_that_cannot_be_read_is_an_error(made, daemon):
    watched(made, fell=True)
    decide(made)
    for file in (made.home / "lake" / MODEL / "records" / "retrain_decision").glob("*.json"):
        file.write_text('{"decision": {"yes": true}}')
    with pytest.raises(ValueError, match=f"is no DecisionRecord(.|\n)*set the cursor of {sensor('retrain')} to"):
        daemon.tick(sensor("retrain"))


def test_a_person_is_launched_like_any_other_cause(made, daemon):
    decide(made, "retrain", who="ada", why="new rules")
    (run,), _ = daemon.tick(sensor("retrain"))
    assert run.tags[CAUSE_TAG].startswith(f"retrain:{MODEL}:person:")


# --- the switches ---


def stop(made: Bench, name: str) -> None:
    """As a person does in the UI."""
    home = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "__repository__")
    state = InstigatorState(
        RemoteInstigatorOrigin(home, name), InstigatorType.SENSOR, InstigatorStatus.STOPPED, SensorInstigatorData()
    )
    made.instance.add_instigator_state(state)


@pytest.fixture
def stored(made) -> Iterator[Bench]:
    """On an instance that remembers its sensors, as one on disk does."""
    folder = made.home / "dagster"
    folder.mkdir()
    with dg.DagsterInstance.local_temp(tempdir=str(folder)) as instance:
        yield Bench(made.spec, made.home, instance)


def test_a_stopped_sensor_disables_its_cause_or_all_launches(stored):
    made = stored
    watched(made, fell=True)
    assert stopped_sensors(made.spec, made.instance) == ()
    stop(made, sensor("quality"))
    decision = decide(made).output_for_node(f"{MODEL}__retrain_decision")
    assert decision.switched_off == (sensor("quality"),)
    assert (decision.decision.yes, decision.decision.cause) == (False, None)
    stop(made, sensor("retrain"))
    assert decide(made).output_for_node(f"{MODEL}__retrain_decision").evidence.paused


# --- the days ---


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


# --- back, where quality fell after a promotion ---


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
