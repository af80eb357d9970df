"""Hands records from asset to asset: a frozen dataclass is returned, kept as JSON, and read as the same dataclass.

A record is kept under the run that made it. A reader takes that of its own run, else of the run it repeats, else
the latest: so a re-execution goes on with what its first attempt made, whatever another run did meanwhile.
"""

import json
from collections.abc import Iterator
from typing import Any, TypeVar

import dagster as dg
from pydantic import TypeAdapter, ValidationError

from mlops_assets.domain.names import Layer
from mlops_assets.resources.lake.files import get_bytes, put_bytes

LATEST = "latest"

_Kind = TypeVar("_Kind")


class RecordMissingError(LookupError):
    """No run has made this record."""


class RecordIO(dg.ConfigurableIOManager):
    """The IO manager of unpartitioned assets with keys `[model, stage]`."""

    root: str  # of the lake

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        folder = self._folder(context.asset_key)
        content = to_json(obj)
        put_bytes(f"{folder}/{context.run_id}.json", content)
        put_bytes(f"{folder}/{LATEST}.json", content)

    def load_input(self, context: dg.InputContext) -> Any:
        folder = self._folder(context.asset_key)
        for name in _runs(context):
            record = read_record(context.dagster_type.typing_type, f"{folder}/{name}.json")
            if record is not None:
                return record
        raise RecordMissingError(
            f"{context.asset_key.to_user_string()} has no record in {folder}: materialise it first, e.g. "
            f"`dagster asset materialize -m mlops_assets.definitions --select "
            f"'key:\"{context.asset_key.to_user_string()}\"'`"
        )

    def latest(self, model: str, stage: str, kind: type[_Kind]) -> _Kind | None:
        """The newest record of a stage; None where there is none."""
        return read_record(kind, f"{self._folder(dg.AssetKey([model, stage]))}/{LATEST}.json")

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
    content = TypeAdapter(type(record)).dump_python(record, mode="json", warnings="error")
    return json.dumps(content, indent=1, ensure_ascii=False).encode()


def read_record(kind: type[_Kind], path: str) -> _Kind | None:
    """The record kept at a path or URL; None where there is no such file."""
    content = get_bytes(path)
    return None if content is None else from_json(kind, content, path)


def from_json(kind: type[_Kind], content: bytes, path: str) -> _Kind:
    """The record again. `path` says in an error message where it came from."""
    if kind is None or kind is Any:
        raise TypeError(f"{path}: the reading asset has to annotate this input with the record's type")
    try:
        return TypeAdapter(kind).validate_python(json.loads(content))
    except ValidationError as err:
        raise ValueError(
            f"{path} is no {getattr(kind, '__name__', kind)}: {err}. "
            "It was written by other code: materialise the asset again."
        ) from err
