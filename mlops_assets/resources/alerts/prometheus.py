"""What Prometheus says about the endpoint: its firing alerts, as alerts of the pipeline. Judges nothing itself."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import dagster as dg

from mlops_assets.domain.alerts.alerting import Alert, AlertKind, Event, Open, Resolved, Severity

UNREACHABLE = "prometheus-unreachable"
_ASIDE = ("alertname", "model", "severity")  # labels that are told elsewhere
_SECONDS = 5.0


class Prometheus(dg.ConfigurableResource["Prometheus"]):
    """The server that holds the rules of infra/monitoring."""

    url: str = ""  # empty: there is none

    def events(self, open_now: Iterable[Open], *, now: datetime) -> list[Event]:
        """Every alert that fires, and the end of those that were open and fire no more."""
        raised = list(self._raised(now))
        return [*raised, *ended(raised, open_now, now)]

    def _raised(self, now: datetime) -> Iterator[Alert]:
        import requests

        try:
            answer = requests.get(f"{self.url.rstrip('/')}/api/v1/alerts", timeout=_SECONDS)
            answer.raise_for_status()
            found = answer.json()["data"]["alerts"]
        except (requests.RequestException, KeyError, TypeError, ValueError) as err:
            yield unreachable(type(err).__name__, now)
            return
        yield from (alert_of(each, f"{self.url}/alerts", now) for each in found if each["state"] == "firing")


def alert_of(found: Mapping[str, Any], link: str, now: datetime) -> Alert:
    """One alert as Prometheus tells it."""
    labels, told = found["labels"], found["annotations"]
    more = ", ".join(f"{name}={value}" for name, value in sorted(labels.items()) if value and name not in _ASIDE)
    return Alert(
        kind=AlertKind.ENDPOINT,
        model=labels.get("model", ""),
        key=f"{labels['alertname']} ({more})" if more else labels["alertname"],
        severity=Severity(labels["severity"]),
        cause=told["summary"],
        next_step=told["action"],
        runbook=told["runbook_url"].partition("#")[2],
        link=link,
        numbers={"value": float(found["value"])},
        at=now,
    )


def unreachable(why: str, now: datetime) -> Alert:
    return Alert(
        kind=AlertKind.ENDPOINT,
        model="",
        key=UNREACHABLE,
        severity=Severity.WARNING,
        cause=f"Prometheus does not answer ({why}): nobody watches the endpoint.",
        next_step="See whether it runs and whether MLOPS_PROMETHEUS_URL names it.",
        runbook=UNREACHABLE,
        at=now,
    )


def ended(raised: Iterable[Alert], open_now: Iterable[Open], now: datetime) -> Iterator[Resolved]:
    """The end of what was open and fires no more. Nothing has ended while Prometheus does not answer."""
    firing = {alert.identity for alert in raised}
    if any(alert.key == UNREACHABLE for alert in raised):
        return
    for each in open_now:
        if each.alert.kind is AlertKind.ENDPOINT and each.alert.identity not in firing:
            alert = each.alert
            yield Resolved(alert.kind, alert.model, alert.key, f"No longer the case. It was: {alert.cause}", now)
