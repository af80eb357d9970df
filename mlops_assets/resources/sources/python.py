"""Feeds that a Python class reads: named by its dotted path, made without arguments.

The class has `read(feed, start, end, as_of)`, which gives a pandas frame or an Arrow table with at least
the rows of the window (all rows where start and end are None), and may have `changed(feed, since,
as_of)`, which gives the rows that became known since.
"""

from collections.abc import Iterable
from datetime import datetime
from functools import cache
from importlib import import_module
from typing import Any

import pandas as pd
import pyarrow as pa

from mlops_assets.declaration.data import FeedSpec
from mlops_assets.domain.data.intake import known_after
from mlops_assets.resources.sources.error import SourceError


class PythonReader:
    """Reads one feed through the model's own class."""

    def __init__(self, feed: FeedSpec, dotted: str) -> None:
        self._feed = feed
        self._dotted = dotted

    def read(self, start: datetime | None, end: datetime | None, as_of: datetime) -> Iterable[pa.Table]:
        return [self._table(_made(self._dotted).read(self._feed.name, start, end, as_of))]

    def arrived(self, since: datetime, as_of: datetime) -> Iterable[pa.Table]:
        source = _made(self._dotted)
        if hasattr(source, "changed"):
            return [self._table(source.changed(self._feed.name, since, as_of))]
        return [known_after(rows, self._feed, since) for rows in self.read(None, None, as_of)]

    def _table(self, rows: Any) -> pa.Table:
        if isinstance(rows, pd.DataFrame):
            rows = pa.Table.from_pandas(rows, preserve_index=False)
        if not isinstance(rows, pa.Table):
            raise SourceError(
                f"{self._dotted} gave {type(rows).__name__} for feed {self._feed.name}: "
                "return a pandas DataFrame or a pyarrow Table"
            )
        return rows.replace_schema_metadata(None)


@cache
def _made(dotted: str) -> Any:
    """One instance a process, so that a class may keep what is slow to prepare."""
    module, _, name = dotted.rpartition(".")
    try:
        return getattr(import_module(module), name)()
    except (ImportError, AttributeError, ValueError) as err:
        raise SourceError(f"source {dotted!r} cannot be loaded ({err}): give the dotted name of a class") from err
