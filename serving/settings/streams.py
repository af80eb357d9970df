"""Where the consumer of a Redis stream reads and writes. Each variable has a default that is right on one machine."""

import os
import socket
from collections.abc import Callable, Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from serving.contract.validation import SECRET, Within, check_rules
from serving.settings.endpoint import ENVIRONMENT
from serving.settings.environment import EnvironmentSettings


def _check_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise PydanticCustomError(SECRET, "must be redis://… or rediss://…")
    return url


def _check_streams(dead: str, info: ValidationInfo) -> str:
    """The last of the three streams, which must differ."""
    names = (info.data["source"], info.data["answers"], dead)
    wrong = f"STREAM_IN, STREAM_OUT and STREAM_DEAD are {', '.join(names)}; they have to differ"
    check_rules([wrong] if len(set(names)) < len(names) else [])
    return dead


def _named_after_model(ending: str) -> Callable[[dict[str, Any]], str]:
    return lambda data: f"{data['model']}.{ending}"


class StreamSettings(EnvironmentSettings):
    """One consumer of one group."""

    model: str
    source: str = Field(default_factory=_named_after_model("requests"), validation_alias="STREAM_IN")
    answers: str = Field(default_factory=_named_after_model("answers"), validation_alias="STREAM_OUT")
    dead: Annotated[str, AfterValidator(_check_streams)] = Field(
        default_factory=_named_after_model("dead"), validation_alias="STREAM_DEAD", validate_default=True
    )  # the stream of messages that never get an answer
    url: Annotated[str, AfterValidator(_check_url)] = Field(
        "redis://127.0.0.1:6379/0", validation_alias="STREAM_URL", repr=False
    )
    group: str = Field("endpoint", validation_alias="STREAM_GROUP")
    consumer: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}", validation_alias="STREAM_CONSUMER"
    )
    batch: Annotated[int, Within(1, 1_000)] = Field(100, validation_alias="STREAM_BATCH")  # messages in hand at a time
    claim: Annotated[float, Within(0.1, 86_400)] = Field(30, validation_alias="STREAM_CLAIM_SECONDS")
    """Seconds after which the messages of a silent consumer are taken over."""
    attempts: Annotated[int, Within(1, 1_000)] = Field(5, validation_alias="STREAM_ATTEMPTS")
    """Attempts after which a message that fails by itself is dead."""
    kept: Annotated[int, Within(0, 2**53)] = Field(1_000_000, validation_alias="STREAM_KEPT")
    """About how many of the newest messages stay in the two streams that the consumer writes; 0: all."""
    host: str = Field("127.0.0.1", validation_alias="STREAM_HOST")  # of readiness and metrics
    port: Annotated[int, Within(1, 65_535)] = Field(3010, validation_alias="STREAM_PORT")


def read_stream_settings(model: str, environment: Mapping[str, str] = ENVIRONMENT) -> StreamSettings:
    """The settings of the consumer of one model."""
    return StreamSettings.read({**environment, "model": model})
