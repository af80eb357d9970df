"""What the watching stages leave behind, a folder for each day: the record that others decide on, and files beside it.

`<lake>/<model>/monitoring/<stage>/<day>/record.json`, written last and in one step: a day without one is a day that
nobody has judged. Knows nothing of what the records say.
"""

from typing import Any, Protocol, TypeVar

import dagster as dg

from mlops_assets.domain.names import Layer, Stage
from mlops_assets.resources.lake.records import from_json, to_json
from mlops_assets.resources.lake.tables import put_atomically, read_json

RECORD = "record.json"


class Daily(Protocol):
    """A record of one day."""

    @property
    def day(self) -> str: ...


_Kind = TypeVar("_Kind", bound=Daily)


class Monitoring(dg.ConfigurableResource["Monitoring"]):
    """Records and files of watched days, in the lake."""

    root: str  # of the lake

    def write(self, model: str, stage: Stage, record: Daily) -> str:
        """Make this the day's record; returns its path, relative to the lake. Write the files beside it first."""
        return self.put(model, stage, record.day, RECORD, to_json(record))

    def read(self, model: str, stage: Stage, kind: type[_Kind], *, since: str | None = None) -> dict[str, _Kind]:
        """Day → its record, oldest first. `since`: the first day that is wanted, e.g. `2013-07-02`."""
        days = (day for day in self._days(model, stage) if since is None or day >= since)
        found = {day: self._record(_path(model, stage, day, RECORD), kind) for day in days}
        return {day: record for day, record in found.items() if record is not None}

    def put(self, model: str, stage: Stage, day: str, name: str, content: bytes) -> str:
        """Keep a file beside the day's record; returns its path, relative to the lake."""
        relative = _path(model, stage, day, name)
        put_atomically(self.place(relative), content)
        return relative

    def get(self, model: str, stage: Stage, day: str, name: str) -> bytes | None:
        """A file beside the day's record; None where there is none."""
        files, path = _filesystem(self.place(_path(model, stage, day, name)))
        if not files.exists(path):
            return None
        with files.open(path, "rb") as stream:
            return stream.read()

    def place(self, relative: str) -> str:
        """Where a file lies: a path or a URL."""
        return f"{self.root.rstrip('/')}/{relative}"

    def _days(self, model: str, stage: Stage) -> list[str]:
        files, folder = _filesystem(self.place(f"{model}/{Layer.MONITORING}/{stage}"))
        if not files.isdir(folder):
            return []
        return sorted(entry.rstrip("/").rsplit("/", 1)[-1] for entry in files.ls(folder, detail=False))

    def _record(self, relative: str, kind: type) -> Any | None:
        path = self.place(relative)
        try:
            return from_json(kind, read_json(path), path)
        except FileNotFoundError:
            return None


def _path(model: str, stage: Stage, day: str, name: str) -> str:
    return f"{model}/{Layer.MONITORING}/{stage}/{day}/{name}"


def _filesystem(url: str) -> tuple[Any, str]:
    import fsspec

    return fsspec.core.url_to_fs(url)
