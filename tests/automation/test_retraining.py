"""From a cause to one run: the sensors on real stores and Dagster's storage, ticks repeated, daemons that die."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, SensorInstigatorData

from mlops_assets.declaration.monitoring import Cause
from mlops_assets.domain.alerts.alerting import AlertKind, Severity
from mlops_assets.domain.names import CAUSE_TAG, MODEL_TIME_TAG, Stage
from mlops_assets.stages.retraining.collect import read_champion, stopped_sensors
from tests.automation.conftest import DAY, NEXT, sensor
from tests.fakes.daemon import Daemon
from tests.kit.daily import (
    MODEL,
    run_job,
)
from tests.kit.declared import Bench, run_errors
from tests.kit.watched_days import drift_day, performance_day


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
