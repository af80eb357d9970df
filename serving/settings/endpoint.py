"""The settings of the endpoint. The only file of `serving` that reads the environment.

Every setting has a default that is right on one machine; one error lists every setting that is wrong.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import BeforeValidator, Field, PlainValidator
from pydantic_core import PydanticCustomError, core_schema

from serving.contract.release import Provider
from serving.contract.validation import SECRET, Must, Within
from serving.settings.environment import EnvironmentSettings, Folder, set_texts
from serving.settings.traces import Traces, trace_texts

BAKED = Path(__file__).resolve().parents[2] / "baked"  # where a Bento carries <digest>/ and VERSION
ENVIRONMENT: Mapping[str, str] = os.environ
_SQLITE = "sqlite:///"
_SHORTEST_SECRET = 16  # characters


class Megabytes(Within):
    """Annotates an int: bytes, which the variable gives in megabytes."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        megabytes = self.bound(core_schema.float_schema(), "a number")
        return core_schema.no_info_after_validator_function(lambda number: int(1_000_000 * number), megabytes)


def _under_home(*parts: str) -> Callable[[dict[str, Any]], Path]:
    return lambda data: data["home"].joinpath(*parts)


def _bundle_in(holder: str) -> Path | None:
    """The bundle in a folder, which bears its digest as name."""
    bundles = sorted(path.parent for path in Path(holder).resolve().glob("*/manifest.json"))
    if len(bundles) > 1:
        raise ValueError(f"holds {len(bundles)} bundles; a Bento carries one")
    return bundles[0] if bundles else None


def _version_beside(bundle: Path | None) -> str:
    """The semantic version, which a baked bundle cannot know itself: a file beside it says it."""
    file = bundle.parent / "VERSION" if bundle else None
    return file.read_text(encoding="utf-8").strip() if file and file.is_file() else "baked"


def _sqlite(path: Path) -> Mapping[str, Any]:
    return {"type": "sqlite", "path": str(path)}


def _secret(text: str) -> str:
    if len(text) < _SHORTEST_SECRET:
        raise PydanticCustomError(SECRET, "must have at least {least} characters", {"least": _SHORTEST_SECRET})
    return text


def _online_store(url: str) -> Mapping[str, Any]:
    """Feast's settings for an address."""
    if url.startswith(_SQLITE):
        return _sqlite(Path(url.removeprefix(_SQLITE)))
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise PydanticCustomError(SECRET, "must be sqlite:///<path>, redis://… or rediss://…")
    options = {
        "db": parts.path.strip("/"),
        "ssl": "true" if parts.scheme == "rediss" else "",
        "username": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
    }
    named = [f"{name}={value}" for name, value in options.items() if value]
    return {"type": "redis", "connection_string": ",".join([f"{parts.hostname}:{parts.port or 6379}", *named])}


OnOff = Annotated[bool, BeforeValidator(lambda text: {"on": True, "off": False}.get(text)), Must("be on or off")]
Port = Annotated[
    int,
    BeforeValidator(lambda text: "0" if text == "off" else text),
    Field(ge=0, le=65_535),
    Must("be off or a port up to 65535"),
]
Count = Annotated[int, Within(1, 256)]


class Settings(EnvironmentSettings):
    home: Folder = Field(default_factory=lambda: Path(".mlops").resolve(), validation_alias="MLOPS_HOME")
    """State: logs of predictions and feedback, rewards of bandits."""
    releases: Folder = Field(default_factory=_under_home("releases"), validation_alias="ENDPOINT_RELEASES")
    """Folder of <model>.json."""
    bundles: Folder = Field(default_factory=_under_home("bundles"), validation_alias="ENDPOINT_BUNDLES")
    """Folder of bundles, each named by its digest."""
    baked: Annotated[Path | None, PlainValidator(_bundle_in)] = Field(validation_alias="ENDPOINT_BAKED")
    """The one bundle that a Bento carries."""
    baked_version: str = Field(
        default_factory=lambda data: _version_beside(data["baked"]), validation_alias="ENDPOINT_BAKED_VERSION"
    )
    registry: str = Field(
        default_factory=lambda data: f"{_SQLITE}{data['home']}/feast/registry.db",
        validation_alias="MLOPS_FEATURE_REGISTRY",
        repr=False,
    )
    """Feast's registry, as SQL URL."""
    online_store: Annotated[Mapping[str, Any], PlainValidator(_online_store)] = Field(
        default_factory=lambda data: _sqlite(data["home"] / "feast" / "online.db"),
        validation_alias="MLOPS_ONLINE_STORE",
        repr=False,
    )
    """Feast's settings of the online store."""
    tokens: Folder | None = Field(None, validation_alias="ENDPOINT_TOKENS")
    """File of hashed bearer tokens; without it nobody needs one."""
    id_secret: Annotated[str | None, PlainValidator(_secret)] = Field(
        None, validation_alias="ENDPOINT_ID_SECRET", repr=False
    )
    """Signs the ids of requests; replicas need the same one. Without it the first worker makes one in the home."""
    provider: Provider = Field(Provider.AUTO, validation_alias="ENDPOINT_PROVIDER")
    """For the baked bundle; a release names its own."""
    workers: Count = Field(1, validation_alias="ENDPOINT_WORKERS")
    threads: Count = Field(1, validation_alias="ENDPOINT_THREADS")  # of one model's arithmetic
    poll: Annotated[float, Within(0.01, 60)] = Field(0.1, validation_alias="ENDPOINT_POLL_SECONDS")
    """Seconds between two looks at the releases."""
    body: Annotated[int, Megabytes(0.001, 2_000)] = Field(16_000_000, validation_alias="ENDPOINT_BODY_MB")
    """Bytes of one request."""
    bodies: Annotated[int, Megabytes(0.001, 100_000)] = Field(256_000_000, validation_alias="ENDPOINT_BODIES_MB")
    """Bytes of all requests that are being read."""
    rows: Annotated[int, Within(1, 10_000_000)] = Field(10_000, validation_alias="ENDPOINT_ROWS")  # of one request
    queue: Annotated[int, Within(1, 1_000_000)] = Field(1_024, validation_alias="ENDPOINT_QUEUE")
    """Requests that wait for an answer."""
    deadline: Annotated[float, Within(0.001, 3_600)] = Field(2.0, validation_alias="ENDPOINT_DEADLINE_SECONDS")
    """Seconds, where the caller names none."""
    cache: Annotated[int, Within(0, 10_000_000)] = Field(0, validation_alias="ENDPOINT_CACHE")  # predictions kept
    log: OnOff = Field(True, validation_alias="ENDPOINT_LOG")
    flush: Annotated[float, Within(0.01, 3_600)] = Field(1.0, validation_alias="ENDPOINT_FLUSH_SECONDS")
    """Seconds of predictions that a killed process may lose."""
    buffer: Annotated[int, Megabytes(0.001, 10_000)] = Field(64_000_000, validation_alias="ENDPOINT_BUFFER_MB")
    """Bytes of predictions that wait for the disk."""
    segment: Annotated[int, Megabytes(0.001, 10_000)] = Field(64_000_000, validation_alias="ENDPOINT_SEGMENT_MB")
    """Bytes after which a segment of the log is closed."""
    drain: Annotated[float, Within(0, 3_600)] = Field(1.0, validation_alias="ENDPOINT_DRAIN_SECONDS")
    """Seconds in which callers move on after SIGTERM."""
    grpc_host: str = Field("127.0.0.1", validation_alias="ENDPOINT_GRPC_HOST")
    grpc_port: Port = Field(3002, validation_alias="ENDPOINT_GRPC_PORT")  # 0: no gRPC
    traces: Traces | None = None  # none: nobody collects traces
    metrics: Folder = Field(default_factory=_under_home("run", "endpoint"), validation_alias="ENDPOINT_METRICS")
    """Folder in which the workers of one service share their counts."""
    seed: Annotated[int, Within(0, 2**63)] | None = Field(None, validation_alias="ENDPOINT_SEED")
    """Of exploration and samples; without it they differ each time."""

    @property
    def clocks(self) -> Path:
        """Folder of the clocks of models that live in the past."""
        return self.home / "clock"

    @property
    def has_features(self) -> bool:
        """False while there is no registry yet: rows bring their features."""
        file = self.registry.removeprefix(_SQLITE)
        return file == self.registry or Path(file).exists()


def read_settings(environment: Mapping[str, str] = ENVIRONMENT) -> Settings:
    """The settings that an environment gives."""
    return Settings.read({"ENDPOINT_BAKED": str(BAKED), **set_texts(environment), "traces": trace_texts(environment)})


def keep_quiet() -> None:
    """Tells every library not to report home, also where nobody set the variables."""
    for name, value in (("BENTOML_DO_NOT_TRACK", "True"), ("FEAST_USAGE", "False"), ("DO_NOT_TRACK", "1")):
        os.environ.setdefault(name, value)
