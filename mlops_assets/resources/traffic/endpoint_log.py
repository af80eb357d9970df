"""What the endpoint wrote down: answers (the prediction log), outcomes (feedback), refusals. Reads, writes nothing.

`read_log` reads the files and loads Arrow; this class names the places and is loaded with the code location.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    import pyarrow as pa

    from mlops_assets.domain.release.replay_rows import Replayable
    from serving.contract.fields import Field


class Traffic(dg.ConfigurableResource["Traffic"]):
    """The logs of every model."""

    home: str

    def folder(self, log: str, model: str) -> Path:
        """Where the endpoint writes a log of the model."""
        return Path(self.home) / log / model

    def answers(
        self,
        model: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        columns: Sequence[str] | None = None,
        generation: int | None = None,
        problems: list[str] | None = None,
    ) -> "Iterator[pa.RecordBatch]":
        """The logged rows with `since` <= time < `until`, file by file.

        What cannot be read is put into `problems`; without that list a TrafficError names it after the last row.
        """
        from mlops_assets.resources.traffic.read_log import RowFilter, read_rows

        return read_rows(self.folder("predictions", model), RowFilter(since, until, generation), columns, problems)

    def outcomes(
        self,
        model: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        problems: list[str] | None = None,
    ) -> "Iterator[pa.RecordBatch]":
        """The outcomes that came with `since` <= time < `until`, file by file."""
        from mlops_assets.resources.traffic.read_log import RowFilter, read_rows

        return read_rows(self.folder("feedback", model), RowFilter(since, until, None), None, problems)

    def refused(
        self,
        model: str,
        *,
        since: datetime | None = None,
        generation: int | None = None,
        problems: list[str] | None = None,
    ) -> "Iterator[pa.RecordBatch]":
        """The requests that got no prediction, from `since` on, file by file."""
        from mlops_assets.resources.traffic.read_log import RowFilter, read_rows

        return read_rows(self.folder("refusals", model), RowFilter(since, None, generation), None, problems)

    def latest(
        self,
        model: str,
        *,
        bundle: str,
        fields: "Sequence[Field]",
        most: int,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> "Replayable":
        """The latest rows that this bundle answered in the window, as requests for a version with these fields."""
        from mlops_assets.resources.traffic.read_log import read_latest

        folders = (self.folder(log, model) for log in ("predictions", "feedback"))
        return read_latest(*folders, bundle=bundle, fields=fields, most=most, since=since, until=until)

    def segments(self, model: str) -> list[Path]:
        """The files of the prediction log, closed and open, in the order in which they were begun."""
        from mlops_assets.resources.traffic.read_log import segments_in

        return segments_in(self.folder("predictions", model))
