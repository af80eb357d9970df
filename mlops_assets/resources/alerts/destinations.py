"""Where alerts go: Apprise URLs (json://, slack://, pagerduty://, mailto://). The only file that imports Apprise.

A URL holds secrets. It is shown as its scheme and a piece of its hash, and what a service says about a failure is
searched for pieces of the URL before anybody sees it.
"""

import hashlib
import re
from dataclasses import dataclass, field

from mlops_assets.domain.alerts.alerting import Message, Severity
from mlops_assets.domain.alerts.texts import text, title

_PIECE = re.compile(r"[^/:@?&=,\s]{4,}")  # what may be a secret in a URL
_TYPES = {None: "success", Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "failure"}


class WrongDestinationError(ValueError):
    """URLs that no service answers to; the message lists all of them, masked."""


@dataclass(frozen=True)
class Place:
    """One destination. Its name may be shown and kept; its URL may not."""

    url: str = field(repr=False)

    @property
    def name(self) -> str:
        digest = hashlib.sha256(self.url.encode()).hexdigest()[:8]
        return f"{self.url.partition('://')[0]}-{digest}"


def places(urls: str) -> tuple[Place, ...]:
    """The destinations in a text of URLs separated by white space; an error that lists every one that is wrong."""
    found = tuple(Place(url) for url in dict.fromkeys(urls.split()))
    wrong = [f"{number}. ({_scheme(place)})" for number, place in enumerate(found, 1) if not _understood(place)]
    if wrong:
        raise WrongDestinationError(
            f"MLOPS_ALERTS: {', '.join(wrong)} of {len(found)} URLs: no service answers to this form. "
            "See Apprise's list, e.g. json://host/path, slack://token/#channel, pagerduty://key@apikey, "
            "mailto://user:password@host?to=someone@example.org; URLs are separated by white space."
        )
    return found


def deliver(place: Place, message: Message, *, seconds: float) -> str:
    """Send it; empty where it was taken, else the problem, without secrets. Never takes much longer than `seconds`."""
    import logging

    import apprise

    logging.getLogger("apprise").propagate = False  # what it says is in the result, and may hold secrets
    service = apprise.Apprise()
    service.add(place.url)
    kind = _TYPES[message.severity]
    try:
        result = service.notify(title=title(message), body=text(message), notify_type=kind, timeout=seconds)
    except Exception as err:  # noqa: BLE001 - the border to a hundred services: one that breaks is one that failed
        return masked(f"{type(err).__name__}: {err}", place.url)
    if result:
        return ""
    said = "; ".join(str(entry.message) for entry in result.logs()) or result.status.name.lower()
    return masked(said, place.url)


def masked(said: str, url: str) -> str:
    """The text with every piece of the URL behind its scheme taken out."""
    pieces = sorted(set(_PIECE.findall(url.partition("://")[2])), key=len, reverse=True)
    for piece in pieces:
        said = said.replace(piece, "***")
    return said[:500]


def _scheme(place: Place) -> str:
    scheme, found, _ = place.url.partition("://")
    return f"{scheme}://…" if found and scheme.isalnum() else "no scheme"


def _understood(place: Place) -> bool:
    import logging

    import apprise

    logging.getLogger("apprise").propagate = False
    return "://" in place.url and apprise.Apprise.instantiate(place.url, suppress_exceptions=True) is not None
