"""What `dagster.yaml` promises, read by Dagster itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._core.test_utils import create_run_for_test

from infra.run.recover import end_lost_runs

PRODUCTION = Path("infra/production/dagster.yaml")


@pytest.fixture
def instance(project: Path, tmp_path: Path) -> Iterator[DagsterInstance]:
    (tmp_path / "dagster.yaml").symlink_to(project / "dagster.yaml")
    with DagsterInstance.from_config(str(tmp_path)) as made:
        yield made


def test_everything_it_writes_stays_in_its_home(instance: DagsterInstance, project: Path, tmp_path: Path) -> None:
    before = set(project.iterdir())
    create_run_for_test(instance)

    assert Path(instance.root_directory) == tmp_path
    assert (tmp_path / "history" / "runs.db").exists()
    assert set(project.iterdir()) == before


def test_one_training_per_model_and_one_run_on_the_gpu(instance: DagsterInstance) -> None:
    queue = instance.get_concurrency_config().run_queue_config
    assert queue is not None

    assert list(queue.tag_concurrency_limits) == [
        {"key": "mlops/training", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}
    ]
    assert instance.global_op_concurrency_default_limit == 1


def test_stages_own_retries_and_telemetry_is_off(instance: DagsterInstance) -> None:
    assert not instance.run_retries_enabled
    assert not instance.telemetry_enabled
    assert not instance.nux_enabled
    assert instance.run_monitoring_enabled


def test_production_differs_by_its_storage_alone(project: Path) -> None:
    embedded = yaml.safe_load((project / "dagster.yaml").read_text())
    production = yaml.safe_load((project / PRODUCTION).read_text())

    assert production.pop("storage") == {"postgres": {"postgres_url": {"env": "DAGSTER_POSTGRES_URL"}}}
    assert production == embedded


@pytest.mark.needs_postgres
def test_production_runs_on_postgres(
    project: Path, tmp_path: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", postgres_url)
    (tmp_path / "dagster.yaml").symlink_to(project / PRODUCTION)
    with DagsterInstance.from_config(str(tmp_path)) as made:
        run = create_run_for_test(made)

        assert made.get_run_by_id(run.run_id) == run
        assert "Postgres" in type(made.run_storage).__name__


@pytest.mark.parametrize(
    ("tags", "status", "began", "after"),
    [
        ({GRPC_INFO_TAG: "{}"}, DagsterRunStatus.STARTED, "later", DagsterRunStatus.FAILURE),
        ({GRPC_INFO_TAG: "{}"}, DagsterRunStatus.STARTING, "later", DagsterRunStatus.FAILURE),
        ({GRPC_INFO_TAG: "{}"}, DagsterRunStatus.CANCELING, "later", DagsterRunStatus.FAILURE),
        ({GRPC_INFO_TAG: "{}"}, DagsterRunStatus.NOT_STARTED, "later", DagsterRunStatus.NOT_STARTED),
        ({GRPC_INFO_TAG: "{}"}, DagsterRunStatus.SUCCESS, "later", DagsterRunStatus.SUCCESS),
        ({}, DagsterRunStatus.STARTED, "later", DagsterRunStatus.STARTED),
        ({GRPC_INFO_TAG: "{}"}, DagsterRunStatus.STARTED, "before", DagsterRunStatus.STARTED),
    ],
)
def test_only_runs_whose_processes_are_gone_are_ended(
    instance: DagsterInstance,
    tags: dict[str, str],
    status: DagsterRunStatus,
    began: str,
    after: DagsterRunStatus,
) -> None:
    run = create_run_for_test(instance, status=status, tags=tags)
    record = instance.get_run_record_by_id(run.run_id)
    assert record is not None
    moment = record.update_timestamp.timestamp()

    ended = end_lost_runs(instance, session_began=moment + 60 if began == "later" else moment - 60)

    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.status is after
    assert ended == ([run.run_id] if after is not status else [])
