"""Turns the firing alerts of Prometheus into alerts of the pipeline. Judges nothing itself."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import dagster as dg
import requests

from mlops_assets.domain.alerts.alerting import Alert, AlertEvent, AlertKind, AlertResolution, OpenAlert, Severity

UNREACHABLE = "prometheus-unreachable"
_OWN_FIELDS = ("alertname", "model", "severity")  # labels that an alert shows in fields of their own
_SECONDS = 5.0


class Prometheus(dg.ConfigurableResource["Prometheus"]):
    """The server that holds the rules of infra/monitoring."""

    url: str = ""  # empty: no server is configured

    def read_events(self, open_now: Iterable[OpenAlert], *, now: datetime) -> list[AlertEvent]:
        """Read the firing alerts, and resolve the open ones that no longer fire."""
        firing = list(self._read_firing(now))
        return [*firing, *resolve_ended(firing, open_now, now)]

    def _read_firing(self, now: datetime) -> Iterator[Alert]:
        try:
            answer = requests.get(f"{self.url.rstrip('/')}/api/v1/alerts", timeout=_SECONDS)
            answer.raise_for_status()
            alerts = answer.json()["data"]["alerts"]
        except (requests.RequestException, KeyError, TypeError, ValueError) as err:
            yield report_unreachable(type(err).__name__, now)
            return
        yield from (parse_alert(each, f"{self.url}/alerts", now) for each in alerts if each["state"] == "firing")


def parse_alert(entry: Mapping[str, Any], link: str, now: datetime) -> Alert:
    """Parse one entry of the answer of `/api/v1/alerts`."""
    labels, annotations = entry["labels"], entry["annotations"]
    more = ", ".join(f"{name}={value}" for name, value in sorted(labels.items()) if value and name not in _OWN_FIELDS)
    return Alert(
        kind=AlertKind.ENDPOINT,
        model=labels.get("model", ""),
        key=f"{labels['alertname']} ({more})" if more else labels["alertname"],
        severity=Severity(labels["severity"]),
        cause=annotations["summary"],
        next_step=annotations["action"],
        runbook=annotations["runbook_url"].partition("#")[2],
        link=link,
        numbers={"value": float(entry["value"])},
        at=now,
    )


def report_unreachable(why: str, now: datetime) -> Alert:
    return Alert(
        kind=AlertKind.ENDPOINT,
        model="",
        key=UNREACHABLE,
        severity=Severity.WARNING,
        cause=f"Prometheus does not answer ({why}): nobody watches the endpoint.",
        next_step="Check whether it runs and whether MLOPS_PROMETHEUS_URL names it.",
        runbook=UNREACHABLE,
        at=now,
    )


def resolve_ended(firing: Iterable[Alert], open_now: Iterable[OpenAlert], now: datetime) -> Iterator[AlertResolution]:
    """Resolve the open alerts that no longer fire; none of them while Prometheus does not answer."""
    firing = list(firing)
    if any(alert.key == UNREACHABLE for alert in firing):
        return
    identities = {alert.identity for alert in firing}
    for alert in (each.alert for each in open_now):
        if alert.kind is AlertKind.ENDPOINT and alert.identity not in identities:
            cause = f"It no longer fires. Its cause was: {alert.cause}"
            yield AlertResolution(alert.kind, alert.model, alert.key, cause, now)
