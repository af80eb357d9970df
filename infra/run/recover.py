"""Ends runs that a killed session left as "started": their processes are gone, the queue waits for them."""

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.storage.tags import GRPC_INFO_TAG

_UNDER_WAY = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]


def end_lost_runs(instance: DagsterInstance, *, session_began: float) -> list[str]:
    """Runs of an earlier session's code server that never ended, now failed; returns their ids.

    Runs started by hand bear no mark of a code server and are left alone.
    """
    records = instance.get_run_records(RunsFilter(statuses=_UNDER_WAY))
    earlier = [r.dagster_run for r in records if r.update_timestamp.timestamp() < session_began]
    lost = [run for run in earlier if GRPC_INFO_TAG in run.tags]
    for run in lost:
        instance.report_run_failed(run, "The session that ran this was stopped before the run had ended.")
    return [run.run_id for run in lost]
