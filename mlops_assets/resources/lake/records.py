"""Hands records from asset to asset: a frozen dataclass is returned, lies as JSON, and is read as the same.

A record lies under the run that made it. A reader takes that of its own run, else of the run it repeats, else
the latest: so a re-execution goes on with what its first attempt made, whatever another run did meanwhile.
"""

import json
from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import TypeAdapter, ValidationError

from mlops_assets.domain.names import Layer
from mlops_assets.resources.lake.tables import put_atomically, read_json

LATEST = "latest"


class RecordMissingError(LookupError):
    """No run has made this record."""


class RecordIO(dg.ConfigurableIOManager):
    """The IO manager of unpartitioned assets with keys `[model, stage]`."""

    root: str  # of the lake

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        folder = self._folder(context.asset_key)
        content = to_json(obj)
        put_atomically(f"{folder}/{context.run_id}.json", content)
        put_atomically(f"{folder}/{LATEST}.json", content)

    def load_input(self, context: dg.InputContext) -> Any:
        folder = self._folder(context.asset_key)
        for name in _runs(context):
            try:
                found = read_json(f"{folder}/{name}.json")
            except FileNotFoundError:
                continue
            return from_json(context.dagster_type.typing_type, found, f"{folder}/{name}.json")
        raise RecordMissingError(
            f"{context.asset_key.to_user_string()} has no record in {folder}: materialise it first, e.g. "
            f"`dagster asset materialize -m mlops_assets.definitions --select "
            f"'key:\"{context.asset_key.to_user_string()}\"'`"
        )

    def latest(self, model: str, stage: str, kind: type) -> Any | None:
        """The newest record of a stage; None where there is none."""
        path = f"{self._folder(dg.AssetKey([model, stage]))}/{LATEST}.json"
        try:
            return from_json(kind, read_json(path), path)
        except FileNotFoundError:
            return None

    def _folder(self, key: dg.AssetKey) -> str:
        if len(key.path) != 2:
            raise ValueError(f"{key.to_user_string()}: records belong to assets with keys [model, stage]")
        model, stage = key.path
        return f"{self.root.rstrip('/')}/{model}/{Layer.RECORDS}/{stage}"


def _runs(context: dg.InputContext) -> Iterator[str]:
    """Where to look, nearest first."""
    run = context.step_context.dagster_run
    yield from dict.fromkeys(name for name in (run.run_id, run.parent_run_id, run.root_run_id, LATEST) if name)


def to_json(record: Any) -> bytes:
    """A record as JSON that a person can read; a wrong value in it is refused."""
    plain = TypeAdapter(type(record)).dump_python(record, mode="json", warnings="error")
    return json.dumps(plain, indent=1, ensure_ascii=False).encode()


def from_json(kind: Any, plain: Any, path: str) -> Any:
    """The record again; `path` is where it came from, for the message."""
    if kind is None or kind is Any:
        raise TypeError(f"{path}: the reading asset has to annotate this input with the record's type")
    try:
        return TypeAdapter(kind).validate_python(plain)
    except ValidationError as err:
        raise ValueError(
            f"{path} is no {getattr(kind, '__name__', kind)}: {err}. "
            "It was written by other code: materialise the asset again."
        ) from err
