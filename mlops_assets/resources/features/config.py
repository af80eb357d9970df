"""Feast's configuration: the repository's `feature_store.yaml` with this deployment's places in it.

Opened stores are kept for the life of the process.
"""

from functools import lru_cache
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import feast
import yaml
from feast.repo_config import RepoConfig

_FILE = "feature_store.yaml"


@lru_cache(maxsize=8)
def open_store(repo: str, home: str, *, lake: str, online_store: str, registry: str) -> feast.FeatureStore:
    """The store of these places; folders of local ones are made."""
    settings = store_settings(repo, home, lake=lake, online_store=online_store, registry=registry)
    for path in (settings["online_store"].get("path"), _sqlite_path(registry)):
        if path:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
    config = RepoConfig(**settings)
    config.repo_path = Path(repo)
    return feast.FeatureStore(config=config)


def store_settings(repo: str, home: str, *, lake: str, online_store: str, registry: str) -> dict[str, Any]:
    """The settings as Feast takes them."""
    text = Path(repo, _FILE).read_text()
    settings = yaml.safe_load(Template(text).safe_substitute(MLOPS_HOME=home))
    settings["registry"] = {**settings["registry"], "path": registry}
    settings["offline_store"] = {**settings["offline_store"], "lake": lake}
    settings["online_store"] = online_settings(online_store)
    return settings


def online_settings(url: str) -> dict[str, Any]:
    """Feast's settings for `sqlite:///path`, `redis://…` or `rediss://…`; anything else is an error."""
    if url.startswith("sqlite:///"):
        return {"type": "sqlite", "path": url.removeprefix("sqlite:///")}
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise ValueError(
            f"online store {_without_secret(url)!r}: give sqlite:///<path>, "
            "redis://[user:password@]host[:port][/db] or rediss:// for TLS (MLOPS_ONLINE_STORE)."
        )
    return {"type": "redis", "connection_string": _redis_text(url)}


def _redis_text(url: str) -> str:
    """A Redis URL in Feast's own form, e.g. `host:6379,db=0,ssl=true,password=…`."""
    parts = urlsplit(url)
    options = {
        "db": parts.path.strip("/"),
        "ssl": "true" if parts.scheme == "rediss" else "",
        "username": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        **dict(parse_qsl(parts.query)),
    }
    set_options = [f"{name}={value}" for name, value in options.items() if value]
    return ",".join([f"{parts.hostname}:{parts.port or 6379}", *set_options])


def _sqlite_path(url: str) -> str | None:
    return url.removeprefix("sqlite:///") if url.startswith("sqlite:///") else None


def _without_secret(url: str) -> str:
    return url.rsplit("@", 1)[-1]
