"""Sends messages to Apprise URLs (json://, slack://, pagerduty://, mailto://). Only this file imports Apprise.

A URL holds secrets. It is shown as its scheme and a part of its hash, and the error text of a service is cleared of
every part of the URL before anybody reads it.
"""

import hashlib
import logging
import re
from dataclasses import dataclass, field
from types import ModuleType

from mlops_assets.domain.alerts.alerting import AlertMessage, Severity
from mlops_assets.domain.alerts.texts import format_body, format_title

_URL_PART = re.compile(r"[^/:@?&=,\s]{4,}")  # may be a secret
_TYPES = {None: "success", Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "failure"}


class WrongDestinationError(ValueError):
    """No service supports some of the URLs. The message lists all of those, masked."""


@dataclass(frozen=True)
class Destination:
    """Its name may be shown and stored; its URL may not."""

    url: str = field(repr=False)

    @property
    def name(self) -> str:
        digest = hashlib.sha256(self.url.encode()).hexdigest()[:8]
        return f"{self.url.partition('://')[0]}-{digest}"


def parse_destinations(urls: str) -> tuple[Destination, ...]:
    """Parse URLs separated by white space. The error lists every URL that no service supports."""
    parsed = tuple(Destination(url) for url in dict.fromkeys(urls.split()))
    wrong = [f"{number}. ({_format_scheme(each)})" for number, each in enumerate(parsed, 1) if not _is_supported(each)]
    if wrong:
        raise WrongDestinationError(
            f"MLOPS_ALERTS: no service supports the form of {', '.join(wrong)} of {len(parsed)} URLs. "
            "See Apprise's list, e.g. json://host/path, slack://token/#channel, pagerduty://key@apikey, "
            "mailto://user:password@host?to=someone@example.org; URLs are separated by white space."
        )
    return parsed


def deliver(destination: Destination, message: AlertMessage, *, seconds: float) -> str:
    """Send the message. Return "" where the service accepted it, else the problem without secrets.

    A send takes hardly longer than `seconds`.
    """
    apprise = _import_apprise()
    service = apprise.Apprise()
    service.add(destination.url)
    title, body, kind = format_title(message), format_body(message), _TYPES[message.severity]
    try:
        result = service.notify(title=title, body=body, notify_type=kind, timeout=seconds)
    except Exception as err:  # noqa: BLE001 - the border to a hundred services: whatever they raise is a failed send
        return mask_secrets(f"{type(err).__name__}: {err}", destination.url)
    if result:
        return ""
    problem = "; ".join(str(entry.message) for entry in result.logs()) or result.status.name.lower()
    return mask_secrets(problem, destination.url)


def mask_secrets(text: str, url: str) -> str:
    """Mask every part of the URL behind its scheme wherever it occurs in the text."""
    for part in sorted(set(_URL_PART.findall(url.partition("://")[2])), key=len, reverse=True):
        text = text.replace(part, "***")
    return text[:500]


def _format_scheme(destination: Destination) -> str:
    scheme, separator, _ = destination.url.partition("://")
    return f"{scheme}://…" if separator and scheme.isalnum() else "no scheme"


def _is_supported(destination: Destination) -> bool:
    apprise = _import_apprise()
    url = destination.url
    return "://" in url and apprise.Apprise.instantiate(url, suppress_exceptions=True) is not None


def _import_apprise() -> ModuleType:
    """Import Apprise on first use, as a code location has to load fast. Silences its log, which may hold secrets."""
    import apprise

    logging.getLogger("apprise").propagate = False
    return apprise
