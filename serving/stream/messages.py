"""Reads the messages of a stream and forms their replies. Knows neither Redis nor when a message is delivered again.

A request is an entry with the field `data`: the body that `POST …/predict` takes, as JSON. Its answer is an entry
with `id`, the request's, and `data`, the body that the endpoint would have answered. A dead one has `reason` too.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from serving.doors.bodies import parse_json, too_large
from serving.doors.named_rows import read_named_rows
from serving.problems import RequestRefused
from serving.rows.row_shapes import RequestRows

DATA = b"data"
_SHOWN = 1_000  # bytes that are kept of a message that is too large
# What may go well another time, for everybody at once: a store that is down, a release that is not there yet.
_PASSING = frozenset({"features", "overloaded", "unavailable", "not_found"})
# What may be the message's own fault: a row on which every version fails, or that takes too long.
_SUSPECT = frozenset({"model", "deadline", "internal"})


class Fate(StrEnum):
    ANSWERED = "answered"
    DEAD = "dead"
    AGAIN = "again"


@dataclass(frozen=True)
class StreamMessage:
    """One entry of the stream of requests."""

    id: str
    fields: Mapping[bytes, bytes]
    delivered: int  # how often, this time included

    @property
    def data(self) -> bytes:
        return self.fields.get(DATA, b"")


@dataclass(frozen=True)
class StreamReply:
    """The fate of a message. `data` is the answer, or the content of a dead message."""

    message: StreamMessage
    fate: Fate
    data: bytes = b""
    reason: str = ""
    kind: str = ""


def name_of(source: str, message: StreamMessage) -> str:
    """The beginning of the request's id: the same each time that the message is delivered."""
    whole = "\0".join((source, message.id))
    return f"s{hashlib.sha256(whole.encode()).hexdigest()[:20]}"


def read_request(message: StreamMessage, most: int) -> tuple[RequestRows, str | None]:
    """The rows and the key of a message; RequestRefused where it has none."""
    if DATA not in message.fields:
        names = ", ".join(sorted(name.decode(errors="replace")[:50] for name in message.fields))
        raise RequestRefused(f"an entry has the field data; this one has {names or 'none'}")
    if len(message.data) > most:
        raise too_large(most)
    return read_named_rows(parse_json(message.data))


def refused(message: StreamMessage, err: RequestRefused, attempts: int, most: int) -> StreamReply:
    """Dead, or to be tried again. `attempts`: how often it was tried, at most `most` where it may be to blame."""
    passing = err.kind in _PASSING or (err.kind in _SUSPECT and attempts < most)
    return (
        StreamReply(message, Fate.AGAIN, kind=err.kind, reason=str(err))
        if passing
        else dead(message, err.kind, str(err))
    )


def dead(message: StreamMessage, kind: str, reason: str) -> StreamReply:
    data = message.data[:_SHOWN] if kind == "too_large" else message.data
    return StreamReply(message, Fate.DEAD, data=data, reason=reason[:2_000], kind=kind)
