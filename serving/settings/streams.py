"""Where a consumer of a Redis stream reads and writes: variables STREAM_*, each with a default that is right on one
machine; one error lists every one that is wrong.
"""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from serving.settings.endpoint import ENVIRONMENT
from serving.settings.environment import Asked


@dataclass(frozen=True)
class StreamSettings:
    """One consumer of one group."""

    url: str  # redis://… or rediss://…
    source: str  # the stream of requests
    answers: str
    dead: str  # the stream of messages that never get an answer
    group: str
    consumer: str
    batch: int  # messages that one consumer has in hand
    claim: float  # seconds after which the messages of a silent consumer are taken over
    attempts: int  # after which a message that fails by itself is dead
    kept: int  # newest messages of the two streams it writes, about; 0: all
    host: str  # of readiness and metrics
    port: int


def read_stream_settings(model: str, environment: Mapping[str, str] = ENVIRONMENT) -> StreamSettings:
    """The settings of the consumer of one model."""
    asked = Asked(environment)
    settings = StreamSettings(
        url=environment.get("STREAM_URL", "") or "redis://127.0.0.1:6379/0",
        source=environment.get("STREAM_IN", "") or f"{model}.requests",
        answers=environment.get("STREAM_OUT", "") or f"{model}.answers",
        dead=environment.get("STREAM_DEAD", "") or f"{model}.dead",
        group=environment.get("STREAM_GROUP", "") or "endpoint",
        consumer=environment.get("STREAM_CONSUMER", "") or f"{socket.gethostname()}-{os.getpid()}",
        batch=asked.whole("STREAM_BATCH", 100, 1, 1_000),
        claim=asked.number("STREAM_CLAIM_SECONDS", 30, 0.1, 86_400),
        attempts=asked.whole("STREAM_ATTEMPTS", 5, 1, 1_000),
        kept=asked.whole("STREAM_KEPT", 1_000_000, 0, 2**53),
        host=environment.get("STREAM_HOST", "") or "127.0.0.1",
        port=asked.whole("STREAM_PORT", 3010, 1, 65_535),
    )
    parts = urlsplit(settings.url)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        asked.wrong("STREAM_URL is none of redis://…, rediss://…")  # it may hold a secret, so it is not shown
    names = (settings.source, settings.answers, settings.dead)
    if len(set(names)) < len(names):
        asked.wrong(f"STREAM_IN, STREAM_OUT and STREAM_DEAD are {', '.join(names)}; they have to differ")
    asked.check()
    return settings
