"""Records between assets, through Dagster itself."""

import json
import math
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.domain.records import Evaluation, TrainedModel, TrainingSet
from mlops_assets.domain.verdict import Outcome, Verdict
from mlops_assets.resources.lake.records import RecordIO
from tests.kit.samples import sample

CONTENT = {"score": 0.5, "fail": False}


@dg.asset(key=["m", "training_set"], io_manager_key="records")
def training_set() -> dg.MaterializeResult[TrainingSet]:
    return dg.MaterializeResult(value=sample(TrainingSet, digest="t1"), metadata={"rows": 3})


@dg.asset(key=["m", "trained_model"], io_manager_key="records")
def trained_model() -> dg.MaterializeResult[TrainedModel]:
    return dg.MaterializeResult(value=sample(TrainedModel, validation_score=CONTENT["score"]))


@dg.asset(
    key=["m", "evaluation"],
    io_manager_key="records",
    ins={"trained": dg.AssetIn(key=["m", "trained_model"]), "rows": dg.AssetIn(key=["m", "training_set"])},
)
def evaluation(trained: TrainedModel, rows: TrainingSet) -> dg.MaterializeResult[Evaluation]:
    if CONTENT["fail"]:
        raise RuntimeError("asked to fail")
    verdict = Verdict(rows.digest, Outcome.PASS, "", {"nan": math.nan})
    value = sample(Evaluation, score=trained.validation_score, interval=(math.nan, math.inf), verdicts=(verdict,))
    return dg.MaterializeResult(value=value)


@dg.asset_check(asset=dg.AssetKey(["m", "evaluation"]))
def scored(found: Evaluation) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=found.score > 0)


ASSETS = [training_set, trained_model, evaluation]
CHECKS = [scored]


@pytest.fixture(autouse=True)
def _fresh():
    CONTENT.update(score=0.5, fail=False)


def run(root: Path, instance: dg.DagsterInstance, *selection: str, **given) -> dg.ExecuteInProcessResult:
    keys = [["m", name] for name in selection]
    return dg.materialize(
        [*ASSETS, *CHECKS],
        resources={"records": RecordIO(root=str(root))},
        selection=dg.AssetSelection.assets(*keys) if keys else None,
        instance=instance,
        **given,
    )


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def test_records_pass_from_asset_to_asset_and_to_checks(tmp_path, instance):
    result = run(tmp_path, instance)
    assert result.success
    assert [found.passed for found in result.get_asset_check_evaluations()] == [True]
    found = result.output_for_node("m__evaluation")
    assert (found.score, found.verdicts[0].name) == (0.5, "t1")


def test_a_record_is_readable_json_under_its_run_and_latest(tmp_path, instance):
    result = run(tmp_path, instance, "training_set")
    folder = tmp_path / "m" / "records" / "training_set"
    assert json.loads((folder / f"{result.run_id}.json").read_text())["digest"] == "t1"
    assert (folder / "latest.json").read_bytes() == (folder / f"{result.run_id}.json").read_bytes()


def test_one_asset_alone_reads_the_latest(tmp_path, instance):
    assert run(tmp_path, instance, "training_set", "trained_model").success
    alone = run(tmp_path, instance, "evaluation")
    assert alone.output_for_node("m__evaluation").score == 0.5


def test_numbers_that_are_no_numbers_come_back(tmp_path, instance):
    run(tmp_path, instance)
    found = RecordIO(root=str(tmp_path)).latest("m", "evaluation", Evaluation)
    assert found is not None
    assert math.isnan(found.interval[0])
    assert math.isinf(found.interval[1])
    assert math.isnan(found.verdicts[0].numbers["nan"])


def test_a_missing_record_names_the_asset_to_materialise(tmp_path, instance):
    assert run(tmp_path, instance, "training_set").success
    result = run(tmp_path, instance, "evaluation", raise_on_error=False)
    (failure,) = result.get_step_failure_events()
    cause = failure.step_failure_data.error and failure.step_failure_data.error.cause
    told = cause.message if cause else ""
    assert "m/trained_model has no record" in told
    assert "dagster asset materialize" in told


def job_over(root: str) -> dg.JobDefinition:
    """Made anew by name and argument, as a re-execution wants it."""
    job = dg.define_asset_job("all_of_it", executor_def=dg.in_process_executor)
    return dg.Definitions(assets=ASSETS, jobs=[job], resources={"records": RecordIO(root=root)}).resolve_job_def(
        "all_of_it"
    )


def test_a_repeated_run_reads_what_its_first_attempt_made(tmp_path, instance):
    job = dg.build_reconstructable_job(__name__, "job_over", (str(tmp_path),))
    CONTENT["fail"] = True
    with dg.execute_job(job, instance=instance) as first:
        assert not first.success
    CONTENT.update(score=0.9, fail=False)
    assert run(tmp_path, instance, "trained_model").success  # another run makes a newer record
    options = dg.ReexecutionOptions(parent_run_id=first.run_id, step_selection=["m__evaluation"])
    with dg.execute_job(job, instance=instance, reexecution_options=options) as again:
        assert again.success
    found = RecordIO(root=str(tmp_path)).latest("m", "evaluation", Evaluation)
    assert found is not None
    assert found.score == 0.5


def test_a_record_of_another_shape_says_so(tmp_path, instance):
    run(tmp_path, instance, "training_set")
    path = tmp_path / "m" / "records" / "training_set" / "latest.json"
    path.write_text('{"model": "m"}')
    with pytest.raises(ValueError, match="is no TrainingSet"):
        RecordIO(root=str(tmp_path)).latest("m", "training_set", TrainingSet)


def test_a_record_with_a_wrong_value_is_refused_when_written(tmp_path, instance):
    @dg.asset(key=["m", "wrong"], io_manager_key="records")
    def wrong() -> dg.MaterializeResult[TrainedModel]:
        return dg.MaterializeResult(value=sample(TrainedModel, validation_score="high"))

    result = dg.materialize([wrong], resources={"records": RecordIO(root=str(tmp_path))}, raise_on_error=False)
    assert not result.success
    assert not (tmp_path / "m" / "records" / "wrong").exists()


def test_nothing_latest_is_none(tmp_path):
    assert RecordIO(root=str(tmp_path)).latest("m", "training_set", TrainingSet) is None
