"""Where a model's rows come from: files, SQL or a Python class. Cuts readings to what was asked for.

Readers know one vendor each and may bring too much; what leaves here is exact: rows with start <= event
time < end, and those whose event time cannot be read. Nothing is changed, renamed or dropped.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

import pyarrow as pa

from mlops_assets.declaration.data import Every, FeedSpec
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.data.intake import Piece, cut, partitions_in
from mlops_assets.resources.sources.error import SourceError
from mlops_assets.resources.sources.files import FileReader
from mlops_assets.resources.sources.python import PythonReader
from mlops_assets.resources.sources.sql import SqlReader


class SourceReader(Protocol):
    """One feed of one vendor. May bring rows beside the window that was asked for."""

    def read(self, start: datetime | None, end: datetime | None, as_of: datetime) -> Iterable[pa.Table]: ...

    def arrived(self, since: datetime, as_of: datetime) -> Iterable[pa.Table]:
        """The rows that became known after `since`; some after `as_of` too, where the vendor cannot tell."""
        ...


def open_reader(spec: ModelSpec, feed: FeedSpec, databases: dict[str, str]) -> SourceReader:
    """The reader of one feed. `databases`: name of a connection → URL."""
    if spec.source.python is not None:
        return PythonReader(feed, spec.source.python)
    if feed.query is not None:
        return SqlReader(feed, _database(feed, databases))
    return FileReader(feed, by_file_age=spec.replay is None)


class DeclaredSource:
    """The readers of a model's feeds, cut to windows and, in a replay, to what was known."""

    def __init__(self, spec: ModelSpec, readers: dict[str, SourceReader]) -> None:
        self._spec = spec
        self._readers = readers

    def read(self, feed: str, start: datetime | None, end: datetime | None, as_of: datetime) -> list[Piece]:
        """The rows of a window in the order they came, in pieces whose types may differ."""
        declared = self._spec.source.feeds[feed]
        low, high = (None, None) if declared.static else (start, end)
        tables = self._readers[feed].read(low, high, as_of)
        return list(cut(tables, declared, low, high, known_by=self._known_by(as_of)))

    def changed(self, feed: str, since: datetime, as_of: datetime) -> frozenset[str]:
        """The partitions that hold rows which became known after `since` and not after `as_of`."""
        declared = self._spec.source.feeds[feed]
        every = Every.NONE if declared.static else self._spec.partitions.every
        tables = self._readers[feed].arrived(since, as_of)
        return partitions_in(cut(tables, declared, None, None, known_by=self._known_by(as_of)), every)

    def _known_by(self, as_of: datetime) -> datetime | None:
        """A replay's source has not yet released what becomes known later; a live one cannot know it."""
        return as_of if self._spec.replay is not None else None


def _database(feed: FeedSpec, databases: dict[str, str]) -> str:
    if feed.connection not in databases:
        known = ", ".join(sorted(databases)) or "none"
        raise SourceError(
            f"feed {feed.name}: no database is called {feed.connection!r} (known: {known}). "
            "Name it in the environment of the deployment, or correct `connection`."
        )
    return databases[feed.connection]
