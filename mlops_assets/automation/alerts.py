"""Who is told what: runs that fail, gates that hold a candidate back, and what Prometheus says, as alerts.

The sensors read events, turn them into alerts and return. An event that comes twice changes nothing, as an alert
carries the time of its event. Only `alerts_out` talks to the outside.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

import dagster as dg
from dagster import AssetCheckSeverity, DagsterEventType

from mlops_assets.domain.alerts.alerting import Alert, AlertKind, Event, Resolved, Severity
from mlops_assets.domain.names import MODEL_TAG
from mlops_assets.resources.alerts.outbox import Alerts
from mlops_assets.resources.alerts.prometheus import Prometheus

_INTERVAL = 30  # seconds
_IMPLICIT_JOB = "__ASSET_JOB"  # how Dagster calls a run of assets that were picked by hand or by a condition
_GATE_ERROR = "DagsterAssetCheckFailedError"
_LONGEST = 500  # characters of an error


def alert_sensors() -> list[dg.SensorDefinition]:
    """All of them, once a code location."""
    return [run_failed(), run_succeeded(), endpoint_watched(), alerts_out()]


def run_failed() -> dg.SensorDefinition:
    @dg.run_failure_sensor(
        name="alert_run_failed",
        description="Raises an alert for a run that failed, and for gates that did not pass.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def sensor(context: dg.RunFailureSensorContext, alerts: Alerts) -> None:
        alerts.note(*run_events(context, alerts), now=datetime.now(UTC))

    return sensor


def run_succeeded() -> dg.SensorDefinition:
    @dg.run_status_sensor(
        run_status=dg.DagsterRunStatus.SUCCESS,
        name="alert_run_succeeded",
        description="Resolves what an earlier run of the same job raised.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def sensor(context: dg.RunStatusSensorContext, alerts: Alerts) -> None:
        alerts.note(*run_events(context, alerts), now=datetime.now(UTC))

    return sensor


def endpoint_watched() -> dg.SensorDefinition:
    @dg.sensor(
        name="alert_endpoint",
        minimum_interval_seconds=_INTERVAL,
        description="Takes over the alerts that Prometheus fires, and their end.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def sensor(alerts: Alerts, prometheus: Prometheus) -> dg.SkipReason:
        if not prometheus.url:
            return dg.SkipReason("MLOPS_PROMETHEUS_URL names no Prometheus.")
        now = datetime.now(UTC)
        made = alerts.note(*prometheus.events(alerts.open(), now=now), now=now)
        return dg.SkipReason(f"{len(made)} notices.")

    return sensor


def alerts_out() -> dg.SensorDefinition:
    @dg.sensor(
        name="alerts_out",
        minimum_interval_seconds=_INTERVAL,
        description="Sends the notices that wait. What failed is tried again, later each time.",
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def sensor(alerts: Alerts) -> dg.SkipReason:
        done = alerts.send(clock=lambda: datetime.now(UTC))
        if done.busy:
            return dg.SkipReason("Another sender is at it.")
        trouble = "; ".join(f"{name}: {problem}" for name, problem in done.problems.items())
        return dg.SkipReason(f"{done.sent} sent, {done.waiting} wait. {trouble}".strip())

    return sensor


def run_events(context: dg.RunStatusSensorContext, alerts: Alerts) -> list[Event]:
    """What the end of a run raises and what it resolves."""
    run = context.dagster_run
    record = context.instance.get_run_record_by_id(run.run_id)
    ended = record.end_time if record else None
    if ended is None:
        raise RuntimeError(f"run {run.run_id} has ended, but its storage does not say when: look at it in the UI")
    at, link = datetime.fromtimestamp(ended, UTC), alerts.run_url(run.run_id)
    checks = _checks(context.instance, run.run_id)
    failures = _failures(context.instance, run.run_id)
    gates = list(gate_events(checks, at, link))
    if run.status is dg.DagsterRunStatus.SUCCESS:
        return [*gates, *(_run_resolved(run, subject, at, link) for subject in subjects(run))]
    broken = [failure for failure in failures if _GATE_ERROR not in failure[1]]
    if failures and not broken:  # only gates held it back
        return gates
    return [*gates, *(_run_alert(run, subject, broken, at, link) for subject in subjects(run, broken))]


def subjects(run: dg.DagsterRun, failures: Sequence[tuple[str, str]] = ()) -> list[str]:
    """What the alert is about: the job; for assets picked by hand each asset, or those that failed."""
    if run.job_name != _IMPLICIT_JOB:
        return [run.job_name]
    selected = {"__".join(key.path): key.to_user_string() for key in run.asset_selection or ()}
    failed = [selected[step] for step, _ in failures if step in selected]
    return sorted(failed or selected.values())


def gate_events(checks: Iterable[dg.AssetCheckEvaluation], at: datetime, link: str) -> Iterator[Event]:
    """For each asset whose checks ran: an alert, or its end."""
    by_asset: dict[dg.AssetKey, list[dg.AssetCheckEvaluation]] = {}
    for check in checks:
        if check.severity is AssetCheckSeverity.ERROR:
            by_asset.setdefault(check.asset_key, []).append(check)
    for asset, found in by_asset.items():
        failed = [check for check in found if not check.passed]
        model, key = asset.path[0], asset.to_user_string()
        if not failed:
            yield Resolved(AlertKind.GATE_FAILED, model, key, "All gates of a later run passed.", at, link)
            continue
        told = "\n".join(f"{check.check_name}: {check.description or 'no reason given'}" for check in failed)
        yield Alert(
            AlertKind.GATE_FAILED,
            model,
            key,
            Severity.WARNING,
            f"{len(failed)} of {len(found)} gates did not pass:\n{told}",
            "Nothing was promoted. Read the gates' reasons in the run; correct the data or the declaration.",
            at,
            link=link,
            numbers={"failed": len(failed), "gates": len(found)},
        )


def _run_alert(run: dg.DagsterRun, subject: str, failures: Sequence[tuple[str, str]], at: datetime, link: str) -> Alert:
    cause = "\n".join(f"{step}: {error}" for step, error in failures) or "It ended without an error of a step."
    step = "Read the error in the run; where it was the surroundings, re-execute from failure."
    return Alert(AlertKind.RUN_FAILED, _model(run), subject, Severity.CRITICAL, cause, step, at, link=link)


def _run_resolved(run: dg.DagsterRun, subject: str, at: datetime, link: str) -> Resolved:
    return Resolved(AlertKind.RUN_FAILED, _model(run), subject, "A later run succeeded.", at, link)


def _model(run: dg.DagsterRun) -> str:
    models = {key.path[0] for key in run.asset_selection or () if len(key.path) > 1}
    return run.tags.get(MODEL_TAG) or (models.pop() if len(models) == 1 else "")


def _checks(instance: dg.DagsterInstance, run_id: str) -> list[dg.AssetCheckEvaluation]:
    records = instance.get_records_for_run(run_id, of_type=DagsterEventType.ASSET_CHECK_EVALUATION).records
    events = (record.event_log_entry.dagster_event for record in records)
    return [event.asset_check_evaluation_data for event in events if event]


def _failures(instance: dg.DagsterInstance, run_id: str) -> list[tuple[str, str]]:
    """Step and error of each step that failed; the innermost cause last."""
    records = instance.get_records_for_run(run_id, of_type=DagsterEventType.STEP_FAILURE).records
    found = []
    for record in records:
        event = record.event_log_entry.dagster_event
        error = event.step_failure_data.error if event else None
        while error is not None and error.cause is not None:
            error = error.cause
        found.append((str(event.step_key) if event else "", error.message.strip()[:_LONGEST] if error else ""))
    return found
