"""Jobs, schedules and retries of a declared model."""

from typing import Any

import dagster as dg
import pytest

from mlops_assets.automation.jobs import TRAINING_TAG
from mlops_assets.domain.names import DATA_STAGES, TRAINING_STAGES, Stage
from mlops_assets.resources.sources.sources import Sources
from mlops_assets.stages import common
from mlops_assets.stages.common import asset_key, retried_on_infrastructure
from mlops_assets.stages.data.raw_data.asset import raw_data
from tests.kit.daily import MODEL, attributes, bench, definitions_of
from tests.kit.declared import run_errors


def declared(tmp_path, **instead) -> dg.Definitions:
    return definitions_of(bench(tmp_path / "home", tmp_path / "source", **instead))


def test_a_model_has_a_job_for_each_thing_that_is_done_to_it(tmp_path):
    jobs: dict[str, Any] = {job.name: job for job in declared(tmp_path).jobs or ()}
    people = ("release", "promote", "rollback", "freeze", "who_served", "rollout_step")
    watching = ("watch", "decision", "retrain", "pause")
    assert set(jobs) == {f"{MODEL}_{name}" for name in ("data", "train", "predictions", "batch", *watching, *people)}
    graph = declared(tmp_path).resolve_asset_graph()
    for name, stages in (("data", DATA_STAGES), ("train", (*TRAINING_STAGES, Stage.DEPLOYED_ENDPOINT))):
        made = jobs[f"{MODEL}_{name}"].selection.resolve(graph)
        assert made == {asset_key(MODEL, stage) for stage in stages}


def test_only_training_runs_carry_the_concurrency_tag(tmp_path):
    tags = {job.name: job.tags or {} for job in declared(tmp_path).jobs or ()}
    assert tags[f"{MODEL}_train"][TRAINING_TAG] == MODEL
    assert TRAINING_TAG not in tags[f"{MODEL}_data"]
    assert TRAINING_TAG not in tags[f"{MODEL}_promote"]


@pytest.mark.parametrize(
    ("instead", "names"),
    [
        ({}, set()),  # a model of the past: its clock is moved by hand
        ({"replay": None}, {f"{MODEL}_new_partition"}),
        ({"retraining": {"schedule": "0 5 * * 1"}}, {f"{MODEL}_training"}),
        ({"replay": None, "retraining": {"schedule": "0 5 * * 1"}}, {f"{MODEL}_new_partition", f"{MODEL}_training"}),
        ({"replay": None, "partitions": {"every": "none"}}, set()),
    ],
)
def test_declared_schedules_exist_and_start_stopped(tmp_path, instead, names):
    schedules = {each.name: each for each in declared(tmp_path, **instead).schedules or ()}
    assert set(schedules) == names
    assert not any(
        getattr(each, "default_status", None) is dg.DefaultScheduleStatus.RUNNING for each in schedules.values()
    )


def test_the_schedule_of_training_asks_the_decision(tmp_path):
    (schedule,) = list(declared(tmp_path, retraining={"schedule": "0 5 * * 1"}).schedules or ())
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert schedule.job_name == f"{MODEL}_decision"
    with dg.build_schedule_context() as context:
        (request,) = list(schedule.evaluate_tick(context).run_requests or ())
    assert request.run_config == {"ops": {f"{MODEL}__retrain_decision": {"config": {"due": True}}}}


@pytest.mark.parametrize(("device", "pool"), [("cpu", None), ("auto", "gpu"), ("cuda", "gpu")])
def test_training_uses_the_gpu_pool_unless_on_the_cpu(tmp_path, device, pool):
    definitions = declared(tmp_path, training={**attributes(tmp_path)["training"], "device": device})
    node = definitions.resolve_assets_def(asset_key(MODEL, TRAINING_STAGES[1]))
    assert node.op.pool == pool


def attempts(error: Exception, monkeypatch, fails: int = 99) -> tuple[bool, list[float]]:
    """Run an asset that raises `error` at its first tries; whether it ended well, and the waits between tries."""
    monkeypatch.setattr(common, "FIRST_WAIT", 0.01)
    tries = []

    @dg.asset
    def shaky() -> None:
        with retried_on_infrastructure():
            tries.append(1)
            if len(tries) <= fails:
                raise error

    result = dg.materialize([shaky], raise_on_error=False)
    retries = [event for event in result.all_events if event.is_step_up_for_retry]
    return result.success, [event.step_retry_data.seconds_to_wait or 0 for event in retries]


@pytest.mark.parametrize("error", [ConnectionRefusedError("no server"), TimeoutError("too slow")])
def test_an_unreachable_server_is_retried_with_backoff(error, monkeypatch):
    assert attempts(error, monkeypatch) == (False, [0.01, 0.02, 0.04])
    assert attempts(error, monkeypatch, fails=2) == (True, [0.01, 0.02])


@pytest.mark.parametrize("error", [ValueError("wrong"), FileNotFoundError("gone"), OSError(28, "disk is full")])
def test_a_mistake_is_not_tried_again(error, monkeypatch):
    assert attempts(error, monkeypatch) == (False, [])


@pytest.mark.parametrize(
    ("source", "retries", "named"),
    [
        ({"query": "select 1", "connection": "away", "time": "at"}, 3, "database 'away' cannot be reached"),
        ({"path": "/nowhere/at/all", "time": "at"}, 0, "no file at /nowhere/at/all"),
    ],
)
def test_a_stage_retries_an_absent_source_but_no_wrong_one(tmp_path, monkeypatch, source, retries, named):
    monkeypatch.setattr(common, "FIRST_WAIT", 0.01)
    made = bench(tmp_path / "home", tmp_path, source=source)
    away = Sources(databases={"away": "postgresql+psycopg2://nobody@127.0.0.1:9/none"})  # port 9: nothing listens
    result = dg.materialize(
        [raw_data(made.spec)],
        resources={**made.resources, "sources": away},
        partition_key="2024-01-01",
        raise_on_error=False,
    )
    assert len([event for event in result.all_events if event.is_step_up_for_retry]) == retries
    assert not result.success
    assert named in run_errors(result)
