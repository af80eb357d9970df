"""What the endpoint is told from outside. The only file of `serving` that reads the environment.

Every setting has a default that is right on one machine; one error lists every setting that is wrong.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from serving.contract.release import Provider
from serving.settings.environment import Asked, WrongSettings
from serving.settings.traces import Traces, read_traces

BAKED = Path(__file__).resolve().parents[2] / "baked"  # where a Bento carries <digest>/ and VERSION
ENVIRONMENT: Mapping[str, str] = os.environ
_MEGABYTE = 1_000_000


_SQLITE = "sqlite:///"
_STORES = "sqlite:///<path>, redis://…, rediss://…"


@dataclass(frozen=True)
class Settings:
    home: Path  # state: logs of predictions and feedback, rewards of bandits
    releases: Path  # folder of <model>.json
    bundles: Path  # folder of bundles, each named by its digest
    baked: Path | None  # the one bundle that a Bento carries
    baked_version: str
    registry: str  # Feast's, as SQL URL
    online_store: Mapping[str, Any]  # Feast's settings of it
    clocks: Path  # folder of the clocks of models that live in the past
    tokens: Path | None  # file of hashed bearer tokens; none: anybody may ask
    provider: Provider  # for the baked bundle; a release says its own
    workers: int
    threads: int  # of one model's arithmetic
    poll: float  # seconds between two looks at the releases
    body: int  # bytes of one request
    bodies: int  # bytes of all requests that are being read
    rows: int  # of one request
    queue: int  # requests that wait for an answer
    deadline: float  # seconds, where the caller names none
    cache: int  # predictions kept; 0: none
    log: bool
    flush: float  # seconds of predictions that a killed process may lose
    buffer: int  # bytes of predictions that wait for the disk
    segment: int  # bytes after which a segment of the log is closed
    drain: float  # seconds in which callers move on after SIGTERM
    grpc_host: str
    grpc_port: int  # 0: no gRPC
    traces: Traces | None  # none: nobody collects traces
    metrics: Path  # folder in which the workers of one service tell each other what they counted
    seed: int | None  # of exploration and samples; none: by chance

    @property
    def has_features(self) -> bool:
        """False while there is no registry yet: rows bring their features."""
        file = self.registry.removeprefix(_SQLITE)
        return file == self.registry or Path(file).exists()


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings that an environment gives."""
    asked = Asked(environment)
    home = asked.path("MLOPS_HOME") or Path(".mlops").resolve()
    holder = asked.path("ENDPOINT_BAKED") or BAKED
    settings = Settings(
        home=home,
        releases=asked.path("ENDPOINT_RELEASES") or home / "releases",
        bundles=asked.path("ENDPOINT_BUNDLES") or home / "bundles",
        baked=_bundle_in(holder),
        baked_version=environment.get("ENDPOINT_BAKED_VERSION", "") or _version_in(holder),
        registry=environment.get("MLOPS_FEATURE_REGISTRY", "") or f"{_SQLITE}{home}/feast/registry.db",
        online_store=asked.one("MLOPS_ONLINE_STORE", _online_store, _STORES, _sqlite(home / "feast" / "online.db")),
        clocks=home / "clock",
        tokens=asked.path("ENDPOINT_TOKENS"),
        provider=asked.one("ENDPOINT_PROVIDER", Provider, ", ".join(Provider), Provider.AUTO),
        workers=asked.whole("ENDPOINT_WORKERS", 1, 1, 256),
        threads=asked.whole("ENDPOINT_THREADS", 1, 1, 256),
        poll=asked.number("ENDPOINT_POLL_SECONDS", 0.1, 0.01, 60),
        body=int(_MEGABYTE * asked.number("ENDPOINT_BODY_MB", 16, 0.001, 2_000)),
        bodies=int(_MEGABYTE * asked.number("ENDPOINT_BODIES_MB", 256, 0.001, 100_000)),
        rows=asked.whole("ENDPOINT_ROWS", 10_000, 1, 10_000_000),
        queue=asked.whole("ENDPOINT_QUEUE", 1_024, 1, 1_000_000),
        deadline=asked.number("ENDPOINT_DEADLINE_SECONDS", 2.0, 0.001, 3_600),
        cache=asked.whole("ENDPOINT_CACHE", 0, 0, 10_000_000),
        log=asked.one("ENDPOINT_LOG", _switch, "on, off", True),
        flush=asked.number("ENDPOINT_FLUSH_SECONDS", 1.0, 0.01, 3_600),
        buffer=int(_MEGABYTE * asked.number("ENDPOINT_BUFFER_MB", 64, 0.001, 10_000)),
        segment=int(_MEGABYTE * asked.number("ENDPOINT_SEGMENT_MB", 64, 0.001, 10_000)),
        drain=asked.number("ENDPOINT_DRAIN_SECONDS", 1.0, 0, 3_600),
        grpc_host=environment.get("ENDPOINT_GRPC_HOST", "") or "127.0.0.1",
        grpc_port=asked.port("ENDPOINT_GRPC_PORT", 3002),
        traces=read_traces(asked),
        metrics=asked.path("ENDPOINT_METRICS") or home / "run" / "endpoint",
        seed=asked.whole("ENDPOINT_SEED", None, 0, 2**63),
    )
    asked.check()
    return settings


def keep_quiet() -> None:
    """No library reports home, also where nobody set the variables."""
    for name, value in (("BENTOML_DO_NOT_TRACK", "True"), ("FEAST_USAGE", "False"), ("DO_NOT_TRACK", "1")):
        os.environ.setdefault(name, value)


def _bundle_in(holder: Path) -> Path | None:
    """The bundle that lies in a folder, under its digest."""
    found = sorted(path.parent for path in holder.glob("*/manifest.json"))
    if len(found) > 1:
        raise WrongSettings(f"{holder} holds {len(found)} bundles; a Bento carries one")
    return found[0] if found else None


def _version_in(holder: Path) -> str:
    """Beside a baked bundle lies its semantic version, which the bundle itself cannot know."""
    file = holder / "VERSION"
    return file.read_text(encoding="utf-8").strip() if file.is_file() else "baked"


def _sqlite(path: Path) -> Mapping[str, Any]:
    return {"type": "sqlite", "path": str(path)}


def _online_store(url: str) -> Mapping[str, Any]:
    """Feast's settings for sqlite:///path, redis://… or rediss://…"""
    if url.startswith(_SQLITE):
        return _sqlite(Path(url.removeprefix(_SQLITE)))
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise ValueError(url)
    options = {
        "db": parts.path.strip("/"),
        "ssl": "true" if parts.scheme == "rediss" else "",
        "username": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
    }
    given = [f"{name}={value}" for name, value in options.items() if value]
    return {"type": "redis", "connection_string": ",".join([f"{parts.hostname}:{parts.port or 6379}", *given])}


def _switch(text: str) -> bool:
    return {"on": True, "off": False}[text]
