"""What the watching stages leave behind, a folder for each day: the record that others decide on, and files beside it.

`<lake>/<model>/monitoring/<stage>/<day>/record.json` is written last and in one step: a day without one has not been
judged. Knows nothing of what the records say.
"""

from typing import Protocol, TypeVar

import dagster as dg

from mlops_assets.domain.names import Layer, Stage
from mlops_assets.resources.lake.files import get_bytes, names_in, put_bytes
from mlops_assets.resources.lake.records import read_record, to_json

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
        return self.put(model, stage, record.day, RECORD, content=to_json(record))

    def read(self, model: str, stage: Stage, kind: type[_Kind], *, since: str | None = None) -> dict[str, _Kind]:
        """Day → its record, oldest first. `since`: the first day to read, e.g. `2013-07-02`."""
        days = names_in(self.place(f"{model}/{Layer.MONITORING}/{stage}"))
        records = {
            day: read_record(kind, self.place(_path(model, stage, day, RECORD)))
            for day in days
            if since is None or day >= since
        }
        return {day: record for day, record in records.items() if record is not None}

    def put(self, model: str, stage: Stage, day: str, name: str, *, content: bytes) -> str:
        """Keep a file beside the day's record; returns its path, relative to the lake."""
        relative = _path(model, stage, day, name)
        put_bytes(self.place(relative), content)
        return relative

    def get(self, model: str, stage: Stage, day: str, name: str) -> bytes | None:
        """A file beside the day's record; None where there is none."""
        return get_bytes(self.place(_path(model, stage, day, name)))

    def place(self, relative: str) -> str:
        """The path or URL of a file in the lake."""
        return f"{self.root.rstrip('/')}/{relative}"


def _path(model: str, stage: Stage, day: str, name: str) -> str:
    return f"{model}/{Layer.MONITORING}/{stage}/{day}/{name}"
