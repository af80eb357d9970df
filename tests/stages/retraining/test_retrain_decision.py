"""retrain_decision on the real stores: what it weighs, what it says, and that a no is a materialisation too."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from mlops_assets.declaration.monitoring import Cause
from mlops_assets.domain.alerts.alerting import AlertKind
from mlops_assets.domain.names import CAUSE_TAG, MODEL_TIME_TAG, Stage
from mlops_assets.domain.retraining.records import DecisionRecord, Pause
from mlops_assets.stages.retraining.collect import count_new_rows, read_champion, read_training_runs
from mlops_assets.stages.retraining.stored_decisions import read_pause, write_pause
from tests.kit.daily import AFTER, BEFORE, MODEL, ROWS, Shop, definitions_of
from tests.kit.declared import Bench, record, run_errors
from tests.kit.watched_days import drift_day, performance_day

DAY = f"{BEFORE:%Y-%m-%d}"
HOUR = timedelta(hours=1)
EAGER = {"new_rows": 500, "least_rows": 100}


@pytest.fixture
def made(shop: Shop, tmp_path) -> Bench:
    """Version 1 answers since the turn; two days later, with a watched day."""
    made = shop.copy(shop.registered, tmp_path, retraining=EAGER)
    made.resources["clock"].move(made.spec, BEFORE + timedelta(days=1, hours=2))
    return made


def bundle(made: Bench) -> str:
    champion = read_champion(made.spec, made.resources["ledger"], made.resources["lake"])
    assert champion is not None
    return champion.bundle


def watched(made: Bench, day: str = DAY, *, alarm: bool = False, fell: bool = False, **changes: Any) -> None:
    """What the stages before it would have left."""
    given: dict[str, Any] = {"bundle": bundle(made)} | changes
    monitoring = made.resources["monitoring"]
    monitoring.write(MODEL, Stage.DRIFT_REPORT, drift_day(day, alarm=alarm, **given))
    monitoring.write(MODEL, Stage.PERFORMANCE, performance_day(day, fell=fell, **given))


def decide(made: Bench, job: str = "decision", **config: Any) -> DecisionRecord:
    given = config.pop("run_config", None)
    result = (
        definitions_of(made)
        .resolve_job_def(f"{MODEL}_{job}")
        .execute_in_process(run_config=given, instance=made.instance, raise_on_error=False, **config)
    )
    assert result.success, run_errors(result)
    return record(made, Stage.RETRAIN_DECISION, DecisionRecord)


def metadata(made: Bench) -> dict[str, Any]:
    event = made.instance.get_latest_materialization_event(dg.AssetKey([MODEL, Stage.RETRAIN_DECISION.value]))
    assert event
    assert event.asset_materialization
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def train(made: Bench, **tags: str) -> None:
    """A run of the training job that ended well, without the training."""
    job = definitions_of(made).resolve_job_def(f"{MODEL}_train")
    run = made.instance.create_run_for_job(job, tags=tags)
    made.instance.report_dagster_event(
        dg.DagsterEvent(dg.DagsterEventType.PIPELINE_SUCCESS.value, job.name), run_id=run.run_id
    )


def test_a_calm_day_is_a_no_that_is_told_with_all_its_numbers(made):
    watched(made)
    decided = decide(made)
    assert not decided.decision.yes
    assert decided.decision.reason.startswith("No: nobody asks")
    shown = metadata(made)
    assert (shown["yes"], shown["run_key"], shown["champion"], shown["window"]) == (False, "", "1.0.0", DAY)
    assert all(f"| {cause} |" in shown["verdicts"] for cause in Cause)
    assert "false retrains" in shown["false_retrains"]
    assert "| new_rows | 30 |" in shown["numbers"]  # known 6 hours after the last evening before the training


def test_fallen_quality_with_new_rows_is_a_yes(made):
    watched(made, fell=True)
    assert "only 30 labelled rows are new" in decide(made).decision.reason
    made.resources["clock"].move(made.spec, BEFORE + timedelta(days=3))
    assert made.materialize(Stage.RAW_DATA, Stage.VALIDATED_DATA).success
    decided = decide(made)
    assert (decided.decision.yes, decided.decision.cause) == (True, Cause.QUALITY)
    assert metadata(made)["run_key"] == decided.decision.run_key
    assert decided.evidence.new_rows == count_new_rows(
        made.spec, made.resources["lake"], since=decided.evidence.trained_at, now=decided.made_at
    )


def test_new_rows_are_those_labelled_since_the_training(made):
    lake, spec = made.resources["lake"], made.spec
    champion = read_champion(spec, made.resources["ledger"], lake)
    assert champion
    since = champion.trained_at
    assert since == BEFORE
    made.resources["clock"].move(spec, AFTER)
    assert made.materialize(Stage.RAW_DATA, Stage.VALIDATED_DATA).success
    early = spec.target.known_after
    for hours in (0, 3, 6, 24, 100):
        now = BEFORE + timedelta(hours=hours)
        ripe = [minutes for minutes in range(0, 10 * 24 * 60, 9) if minutes % 1440 < 9 * ROWS]
        moments = [BEFORE - timedelta(days=1) + timedelta(minutes=m) + early for m in ripe]
        assert count_new_rows(spec, lake, since=since, now=now) == sum(since < moment <= now for moment in moments)
    assert count_new_rows(spec, lake, since=None, now=AFTER) is None


def test_another_versions_answers_are_no_evidence(made):
    watched(made, fell=True, alarm=True, bundle="0" * 64)
    decided = decide(made)
    assert decided.evidence.window == ""
    assert "drift is not known" in decided.decision.reason


def test_a_person_is_heard_and_each_wish_has_its_own_key(made):
    first = decide(made, "retrain", run_config={"who": "ada", "why": "new rules"})
    assert (first.decision.yes, first.decision.cause) == (True, Cause.PERSON)
    assert first.decision.reason.startswith("Yes: asked for by ada (new rules; run ")
    second = decide(made, "retrain", run_config={"who": "ada", "why": "new rules"})
    assert "a training is running" in second.decision.reason  # the first wish waits for the sensor
    train(made, **{CAUSE_TAG: str(first.decision.run_key)})
    third = decide(made, "retrain", run_config={"who": "ada", "why": "new rules"})
    assert third.decision.run_key not in (None, first.decision.run_key)


@pytest.mark.parametrize("missing", ["who", "why"])
def test_nobody_wishes_without_name_and_reason(made, missing):
    with pytest.raises(dg.DagsterConfigMappingFunctionError) as refused:
        decide(made, "retrain", run_config={"who": "ada", "why": "new rules"} | {missing: ""})
    assert missing in str(refused.value.__cause__)


def test_the_schedule_asks_and_is_held_back_by_the_cooldown(made):
    spec = made.spec.with_changes(retraining=made.spec.retraining.with_changes(schedule="0 5 * * 1"))
    made = Bench(spec, made.home, made.instance)
    due = {"ops": {f"{MODEL}__retrain_decision": {"config": {"due": True}}}}
    assert decide(made, run_config=due).decision.cause is Cause.SCHEDULE
    train(made, **{CAUSE_TAG: "another", MODEL_TIME_TAG: (BEFORE - timedelta(days=2)).isoformat()})
    train(made, **{CAUSE_TAG: str(record(made, Stage.RETRAIN_DECISION, DecisionRecord).decision.run_key),
                   MODEL_TIME_TAG: BEFORE.isoformat()})  # fmt: skip
    decision = decide(made, run_config=due).decision
    assert "the last run began 1.08333 days ago, the cooldown is 7 days" in decision.reason


def test_a_pause_is_a_persons_word_and_ends_by_it(made):
    watched(made, fell=True)
    lake = made.resources["lake"]
    config = {"ops": {f"{MODEL}_pausing": {"config": {"paused": True, "who": "ada", "why": "holidays"}}}}
    job = definitions_of(made).resolve_job_def(f"{MODEL}_pause")
    assert job.execute_in_process(run_config=config, instance=made.instance).success
    assert read_pause(lake, MODEL).who == "ada"
    decide(made)
    assert metadata(made)["paused"] is True
    write_pause(lake, MODEL, Pause(False, "ada", "back", AFTER))
    decide(made)
    assert metadata(made)["paused"] is False


def test_an_unreadable_pause_stops_everything_and_is_reported(made):
    watched(made, fell=True)
    write_pause(made.resources["lake"], MODEL, Pause(False, "", "", AFTER))
    file = made.home / "lake" / MODEL / "records" / "retrain_decision" / "pause.json"
    file.write_text(file.read_text()[:20])
    decided = decide(made)
    assert decided.evidence.paused
    assert decided.decision.outcome.value == "inconclusive"


def test_a_half_written_day_is_told_and_never_a_yes(made):
    watched(made, fell=True)
    (file,) = (made.home / "lake" / MODEL / "monitoring" / "drift_report").rglob("record.json")
    file.write_text(json.dumps({"day": DAY}))
    decided = decide(made)
    assert decided.decision.outcome.value == "inconclusive"
    assert "record.json is no DriftDay" in decided.decision.reason


def test_a_model_without_champion_or_days_is_a_no(shop: Shop, tmp_path):
    made = shop.copy(shop.with_data, tmp_path)
    decided = decide(made)
    assert (decided.evidence.champion, decided.decision.yes) == (None, False)
    assert metadata(made)["false_retrains"].startswith("not known")


def test_alerts_open_with_their_cause_and_end_when_it_is_over(made):
    watched(made, fell=True, alarm=True)
    decide(made)
    opened = {each.alert.kind: each.alert for each in made.resources["alerts"].list_open()}
    assert set(opened) == {AlertKind.DRIFT, AlertKind.QUALITY}
    assert opened[AlertKind.DRIFT].cause == f"alarm on {DAY}: True."
    assert "/runs/" in opened[AlertKind.QUALITY].link
    watched(made)
    decide(made)
    assert made.resources["alerts"].list_open() == ()


def test_runs_are_told_in_the_models_time(made):
    decided = BEFORE + 5 * HOUR
    train(made, **{MODEL_TIME_TAG: decided.isoformat()})
    train(made)  # a person launched it: its training set would say when
    runs = read_training_runs(made.spec, made.instance, made.resources["lake"])
    assert [run.began for run in runs] == [None, decided]
    wall = made.spec.with_changes(replay=None)
    began = read_training_runs(wall, made.instance, made.resources["lake"])[0].began
    assert began is not None
    assert abs(began - datetime.now(UTC)) < HOUR
