"""The sensors of alerts: failed runs, failed gates and the firing alerts of Prometheus become alerts of the pipeline.

Each sensor reads events, records alerts and returns. An event that arrives twice changes nothing, as an alert carries
the time of its event. Only `alerts_out` sends anything.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

import dagster as dg
from dagster import AssetCheckSeverity, DagsterEventType

from mlops_assets.domain.alerts.alerting import Alert, AlertEvent, AlertKind, AlertResolution, Severity
from mlops_assets.domain.names import MODEL_TAG
from mlops_assets.resources.alerts.outbox import Alerts
from mlops_assets.resources.alerts.prometheus import Prometheus

_INTERVAL = 30  # seconds
_IMPLICIT_JOB = "__ASSET_JOB"  # Dagster's name for a run of assets that a person or a condition selected
_GATE_ERROR = "DagsterAssetCheckFailedError"
_MAX_ERROR = 500  # characters


def alert_sensors() -> list[dg.SensorDefinition]:
    """Build the sensors that a code location has once, for all its models."""
    return [run_failure_sensor(), run_success_sensor(), endpoint_sensor(), sending_sensor()]


def run_failure_sensor() -> dg.SensorDefinition:
    @dg.run_failure_sensor(
        name="alert_run_failed",
        description="Raises an alert for a run that failed and for gates that did not pass.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def sensor(context: dg.RunFailureSensorContext, alerts: Alerts) -> None:
        alerts.record_events(*collect_run_events(context, alerts), now=datetime.now(UTC))

    return sensor


def run_success_sensor() -> dg.SensorDefinition:
    @dg.run_status_sensor(
        run_status=dg.DagsterRunStatus.SUCCESS,
        name="alert_run_succeeded",
        description="Resolves the alerts that an earlier run of the same job raised.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def sensor(context: dg.RunStatusSensorContext, alerts: Alerts) -> None:
        alerts.record_events(*collect_run_events(context, alerts), now=datetime.now(UTC))

    return sensor


def endpoint_sensor() -> dg.SensorDefinition:
    @dg.sensor(
        name="alert_endpoint",
        minimum_interval_seconds=_INTERVAL,
        description="Copies the firing alerts of Prometheus and resolves those that no longer fire.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def sensor(alerts: Alerts, prometheus: Prometheus) -> dg.SkipReason:
        if not prometheus.url:
            return dg.SkipReason("MLOPS_PROMETHEUS_URL is not set.")
        now = datetime.now(UTC)
        made = alerts.record_events(*prometheus.read_events(alerts.list_open(), now=now), now=now)
        return dg.SkipReason(f"New notifications: {len(made)}.")

    return sensor


def sending_sensor() -> dg.SensorDefinition:
    @dg.sensor(
        name="alerts_out",
        minimum_interval_seconds=_INTERVAL,
        description="Sends the notifications that wait. The pause before it repeats a failed send doubles each time.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def sensor(alerts: Alerts) -> dg.SkipReason:
        report = alerts.send_waiting(clock=lambda: datetime.now(UTC))
        if report.busy:
            return dg.SkipReason("Another sender is at work.")
        problems = "; ".join(f"{name}: {problem}" for name, problem in report.problems.items())
        return dg.SkipReason(f"{report.sent} sent, {report.waiting} wait. {problems}".strip())

    return sensor


def collect_run_events(context: dg.RunStatusSensorContext, alerts: Alerts) -> list[AlertEvent]:
    """Collect the alerts that the end of a run raises or resolves."""
    run = context.dagster_run
    record = context.instance.get_run_record_by_id(run.run_id)
    end_time = record.end_time if record else None
    if end_time is None:
        raise RuntimeError(
            f"run {run.run_id} has ended, but the run storage has no end time: look at the run in the UI"
        )
    at, link = datetime.fromtimestamp(end_time, UTC), alerts.run_url(run.run_id)
    checks = _read_checks(context.instance, run.run_id)
    failures = _read_failures(context.instance, run.run_id)
    gates = list(judge_gates(checks, at, link))
    if run.status is dg.DagsterRunStatus.SUCCESS:
        return [*gates, *(_resolve_run(run, subject, at, link) for subject in list_subjects(run))]
    other = [failure for failure in failures if _GATE_ERROR not in failure[1]]
    if failures and not other:  # only gates failed
        return gates
    return [*gates, *(_alert_of_run(run, subject, other, at=at, link=link) for subject in list_subjects(run, other))]


def list_subjects(run: dg.DagsterRun, failures: Sequence[tuple[str, str]] = ()) -> list[str]:
    """List the job; for a run of selected assets those that failed, or all where no failure belongs to an asset."""
    if run.job_name != _IMPLICIT_JOB:
        return [run.job_name]
    selected = {"__".join(key.path): key.to_user_string() for key in run.asset_selection or ()}
    failed = [selected[step] for step, _ in failures if step in selected]
    return sorted(failed or selected.values())


def judge_gates(checks: Iterable[dg.AssetCheckEvaluation], at: datetime, link: str) -> Iterator[AlertEvent]:
    """Raise or resolve an alert for each asset whose gates ran."""
    by_asset: dict[dg.AssetKey, list[dg.AssetCheckEvaluation]] = {}
    for check in checks:
        if check.severity is AssetCheckSeverity.ERROR:
            by_asset.setdefault(check.asset_key, []).append(check)
    for asset, gates in by_asset.items():
        failed = [check for check in gates if not check.passed]
        model, key = asset.path[0], asset.to_user_string()
        if not failed:
            yield AlertResolution(AlertKind.GATE_FAILED, model, key, "All gates of a later run passed.", at, link)
            continue
        reasons = "\n".join(
            f"{check.check_name}: {check.description or 'the gate gives no reason'}" for check in failed
        )
        yield Alert(
            AlertKind.GATE_FAILED,
            model,
            key,
            Severity.WARNING,
            f"{len(failed)} of {len(gates)} gates did not pass:\n{reasons}",
            "Nothing was promoted. Read the reasons of the gates in the run, then correct the data or the declaration.",
            at,
            link=link,
            numbers={"failed": len(failed), "gates": len(gates)},
        )


def _alert_of_run(
    run: dg.DagsterRun, subject: str, failures: Sequence[tuple[str, str]], *, at: datetime, link: str
) -> Alert:
    cause = "\n".join(f"{step}: {error}" for step, error in failures) or "No step of the run reports an error."
    step = "Read the error in the run; if its cause is outside the code, re-execute the run from failure."
    return Alert(AlertKind.RUN_FAILED, _find_model(run), subject, Severity.CRITICAL, cause, step, at, link=link)


def _resolve_run(run: dg.DagsterRun, subject: str, at: datetime, link: str) -> AlertResolution:
    return AlertResolution(AlertKind.RUN_FAILED, _find_model(run), subject, "A later run succeeded.", at, link)


def _find_model(run: dg.DagsterRun) -> str:
    models = {key.path[0] for key in run.asset_selection or () if len(key.path) > 1}
    return run.tags.get(MODEL_TAG) or (models.pop() if len(models) == 1 else "")


def _read_checks(instance: dg.DagsterInstance, run_id: str) -> list[dg.AssetCheckEvaluation]:
    records = instance.get_records_for_run(run_id, of_type=DagsterEventType.ASSET_CHECK_EVALUATION).records
    events = (record.event_log_entry.dagster_event for record in records)
    return [event.asset_check_evaluation_data for event in events if event]


def _read_failures(instance: dg.DagsterInstance, run_id: str) -> list[tuple[str, str]]:
    """Read the name of each failed step and the innermost cause of its error."""
    records = instance.get_records_for_run(run_id, of_type=DagsterEventType.STEP_FAILURE).records
    failures = []
    for record in records:
        event = record.event_log_entry.dagster_event
        error = event.step_failure_data.error if event else None
        while error is not None and error.cause is not None:
            error = error.cause
        failures.append((str(event.step_key) if event else "", error.message.strip()[:_MAX_ERROR] if error else ""))
    return failures
