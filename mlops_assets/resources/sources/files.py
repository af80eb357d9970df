"""Feeds that are files: Parquet or CSV, one or many, on disk or wherever fsspec reaches.

A path is a file, a folder (all files below it whose ending is known) or a glob. Of Parquet only the row
groups are read that can hold the window; `name=value` folders become columns. CSV cells keep their text;
columns of numbers, dates and booleans are recognised, and there the usual marks of "no value" and the
declared ones are null.
"""

import io
import zlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from pyarrow import csv

from mlops_assets.declaration.data import FeedSpec
from mlops_assets.domain.data.intake import known_after
from mlops_assets.domain.times import as_written
from mlops_assets.resources.sources.error import SourceError

_PARQUET = (".parquet", ".pq")
_CSV = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz", ".data", ".data.gz")
_SLACK = timedelta(days=2)  # a column's own times may be in any zone, and a day long


class FileReader:
    """Reads one feed's files."""

    def __init__(self, feed: FeedSpec, *, by_file_age: bool) -> None:
        self._feed = feed
        self._url = feed.path or ""
        self._by_file_age = by_file_age and feed.arrived is None

    def read(self, start: datetime | None, end: datetime | None, as_of: datetime) -> Iterable[pa.Table]:
        files, paths = self._paths()
        return self._all(files, paths, start, end)

    def arrived(self, since: datetime, as_of: datetime) -> Iterable[pa.Table]:
        """By the arrival column; where there is none, whatever stands in files written later."""
        files, paths = self._paths()
        if self._by_file_age:
            newer = [path for path in paths if _written(files, path) > since]
            return self._all(files, newer, None, None)
        return [known_after(rows, self._feed, since) for rows in self._all(files, paths, None, None)]

    def _all(
        self, files: AbstractFileSystem, paths: list[str], start: datetime | None, end: datetime | None
    ) -> list[pa.Table]:
        tables, broken = [], []
        for path in paths:
            try:
                tables.extend(self._one(files, path, start, end))
            except SourceError as err:
                broken.append(str(err))
        if broken:
            raise SourceError(
                f"feed {self._feed.name}: {'; '.join(broken)}. "
                "Bring the file again or take it away; nothing was written."
            )
        return tables

    def _one(
        self, files: AbstractFileSystem, path: str, start: datetime | None, end: datetime | None
    ) -> Iterator[pa.Table]:
        try:
            if path.endswith(_PARQUET):
                yield _with_folders(self._parquet(files, path, start, end), path)
            else:
                yield _with_folders(_csv(files, path, self._feed), path)
        except (ConnectionError, TimeoutError, PermissionError):
            raise
        except (pa.ArrowException, OSError, EOFError, zlib.error, UnicodeDecodeError) as err:
            form = "Parquet" if path.endswith(_PARQUET) else f"CSV with separator {self._feed.separator!r}"
            raise SourceError(f"{path} cannot be read as {form} ({str(err).splitlines()[0]})") from err

    def _parquet(self, files: AbstractFileSystem, path: str, start: datetime | None, end: datetime | None) -> pa.Table:
        with files.open(path, "rb") as stream:
            parquet = pq.ParquetFile(stream)
            time = self._feed.time[0] if self._feed.time else None
            groups = [
                group
                for group in range(parquet.num_row_groups)
                if time is None or start is None or end is None or _may_hold(parquet, group, time, start=start, end=end)
            ]
            rows = parquet.read_row_groups(groups)
        return rows.replace_schema_metadata(None)

    def _paths(self) -> tuple[AbstractFileSystem, list[str]]:
        files, path = fsspec.core.url_to_fs(self._url)
        if any(mark in path for mark in "*?["):
            names = files.glob(path)
        elif files.isdir(path):
            names = files.find(path)
        else:
            names = [path] if files.exists(path) else []
        paths = sorted(name for name in names if name == path or _is_data(name, path))
        if not paths:
            raise SourceError(
                f"feed {self._feed.name}: no file at {self._url}. Looked for {', '.join(_PARQUET + _CSV)}. "
                "Correct `path`, or bring the data there."
            )
        return files, paths


def _csv(files: AbstractFileSystem, path: str, feed: FeedSpec) -> pa.Table:
    marks = [*csv.ConvertOptions().null_values, *(text for text in feed.missing if not _is_number(text))]
    with files.open(path, "rb", compression="infer") as stream:
        rows = csv.read_csv(
            io.BytesIO(cast(bytes, stream.read())),
            parse_options=csv.ParseOptions(delimiter=feed.separator, newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                null_values=marks, strings_can_be_null=False, decimal_point=feed.decimal
            ),
        )
    foreign = [field.name for field in rows.schema if pa.types.is_binary(field.type)]
    if foreign:
        raise SourceError(f"{path} is not UTF-8 text (columns {', '.join(foreign)})")
    return rows


def _may_hold(parquet: pq.ParquetFile, group: int, time: str, *, start: datetime, end: datetime) -> bool:
    """False only where the statistics prove that every time lies outside the window."""
    columns = parquet.metadata.row_group(group)
    place = next((at for at in range(columns.num_columns) if columns.column(at).path_in_schema == time), None)
    statistics = columns.column(place).statistics if place is not None else None
    if statistics is None or not statistics.has_min_max or statistics.null_count != 0:
        return True
    if isinstance(statistics.min, str | bytes):  # among texts there may be some that are no time at all
        return True
    low, high = as_written(start - _SLACK, statistics.min), as_written(end + _SLACK, statistics.max)
    return low is None or high is None or (_at_least(statistics.max, low) and _at_least(high, statistics.min))


def _at_least(one: Any, other: Any) -> bool:
    try:
        return bool(one >= other)
    except TypeError:
        return True


def _with_folders(rows: pa.Table, path: str) -> pa.Table:
    for part in path.split("/")[:-1]:
        name, is_column, value = part.partition("=")
        if is_column and name not in rows.column_names:
            typed = int(value) if value.isdigit() else value
            rows = rows.append_column(name, pa.repeat(pa.scalar(typed), rows.num_rows))
    return rows


def _is_data(name: str, top: str) -> bool:
    """Known ending, and neither hidden nor a marker such as `_SUCCESS` below the folder that was named."""
    below = name.removeprefix(top).split("/")
    return name.endswith(_PARQUET + _CSV) and not any(part.startswith((".", "_")) for part in below if part)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _written(files: AbstractFileSystem, path: str) -> datetime:
    moment = files.modified(path)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
