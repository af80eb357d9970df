"""Reads feature rows for the offline store: a lake table through its manifests, or ordinary Parquet.

Of a lake table, partitions outside the time asked for are not opened.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from operator import and_
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
from pyarrow.fs import FSSpecHandler, LocalFileSystem, PyFileSystem

from mlops_assets.domain.records import Snapshot
from mlops_assets.resources.lake.table import Table

MICROSECONDS = pa.timestamp("us", "UTC")
_UNTYPED = "null"
# Read as needed: by default the whole compressed file is held beside its rows.
_PARQUET = pads.ParquetFileFormat(
    default_fragment_scan_options=pads.ParquetFragmentScanOptions(use_buffered_stream=True, pre_buffer=False)
)


@dataclass(frozen=True)
class RowSource:
    """Where the rows of one view lie and which columns are times."""

    path: str  # file, folder or fsspec URL
    event: str
    created: str | None

    def read(self, columns: Sequence[str], first: datetime | None, last: datetime | None) -> pa.Table:
        """The columns asked for, and the times, of rows with first <= event time <= last; times in UTC."""
        wanted = list(dict.fromkeys([*columns, *self._times]))
        files = fsspec.core.url_to_fs(self.path)[0]
        partitions = self._partitions(files)
        if partitions is None:
            return self._scan(self._plain_dataset(files, wanted), wanted, first, last)
        chosen = [part for part in partitions if part.file and _overlaps(part, first, last)]
        dataset = self._partitions_dataset(files, chosen or partitions[-1:], wanted)
        return self._scan(dataset, wanted, first, last)

    @property
    def _times(self) -> list[str]:
        return [self.event, *([self.created] if self.created else [])]

    def schema(self) -> dict[str, str]:
        """The columns there are, with their Arrow types; empty where nothing was written yet."""
        files = fsspec.core.url_to_fs(self.path)[0]
        if not files.exists(self.path):
            return {}
        partitions = self._partitions(files)
        if partitions is None:
            found = self._plain_dataset(files, []).schema
            return {field.name: str(field.type) for field in found}
        return {name: kind for part in partitions for name, kind in part.columns.items()}

    def watermark(self) -> datetime | None:
        """The latest event time there is; None where there are no rows."""
        files = fsspec.core.url_to_fs(self.path)[0]
        partitions = self._partitions(files) if files.exists(self.path) else []
        if partitions is None:
            return pc.max(self.read([], None, None)[self.event]).as_py()
        return max((part.watermark for part in partitions if part.watermark), default=None)

    def _partitions(self, files: Any) -> list[Snapshot] | None:
        if not files.exists(self.path):
            raise FileNotFoundError(f"{self.path}: there are no feature rows. Materialise `features`, then try again.")
        if not files.isdir(self.path):
            return None
        return list(Table(self.path).snapshots().values()) or None

    def _partitions_dataset(self, files: Any, partitions: list[Snapshot], wanted: list[str]) -> pads.Dataset:
        schema = self._common_schema(files, partitions, wanted)
        paths = [self._inside(files, part.file) for part in partitions if part.file]
        if not paths:
            return pads.dataset(schema.empty_table())
        return pads.dataset(paths, schema=schema, format=_PARQUET, filesystem=_arrow_files(files))

    def _common_schema(self, files: Any, partitions: list[Snapshot], wanted: list[str]) -> pa.Schema:
        """One type for each column; partitions that disagree are an error that names them all."""
        types_by_column = {name: _types_of(name, partitions) for name in wanted}
        problems = [_disagreement(name, types) for name, types in types_by_column.items() if len(types) != 1]
        if problems:
            raise ValueError(
                f"{self.path}: the partitions do not fit together. {'; '.join(problems)}. "
                "Materialise `features` again for these partitions."
            )
        holders = {name: next(iter(types.values())) for name, types in types_by_column.items()}
        by_name = {part.partition: part for part in holders.values()}
        schemas = {name: self._file_schema(files, part) for name, part in by_name.items()}
        return pa.schema([schemas[holders[name].partition].field(name) for name in wanted])

    def _file_schema(self, files: Any, partition: Snapshot) -> pa.Schema:
        if not partition.file:
            return pa.schema([(name, _parse(kind)) for name, kind in partition.columns.items()])
        return pads.dataset(self._inside(files, partition.file), format=_PARQUET, filesystem=_arrow_files(files)).schema

    def _inside(self, files: Any, file: str) -> str:
        return f"{files._strip_protocol(self.path)}/{file}"

    def _plain_dataset(self, files: Any, wanted: Sequence[str]) -> pads.Dataset:
        dataset = pads.dataset(files._strip_protocol(self.path), format=_PARQUET, filesystem=_arrow_files(files))
        known = dataset.schema.names
        if missing := [name for name in wanted if name not in known]:
            raise ValueError(f"{self.path}: no column {', '.join(missing)}; it has {', '.join(known)}.")
        return dataset

    def _scan(
        self, dataset: pads.Dataset, wanted: list[str], first: datetime | None, last: datetime | None
    ) -> pa.Table:
        times = {name: _in_utc(name, dataset.schema) for name in self._times}
        bounds = [times[self.event] >= _scalar(first)] if first is not None else []
        bounds += [times[self.event] <= _scalar(last)] if last is not None else []
        return dataset.to_table(
            columns={name: times.get(name, pc.field(name)) for name in wanted},
            filter=reduce(and_, bounds) if bounds else None,
        )


def known_by(rows: pa.Table, created: str | None, moment: datetime) -> pa.Table:
    """The rows that had become known by then; a row without a created time was known from its event on."""
    if created is None:
        return rows
    known = pc.less_equal(rows[created], _scalar(moment))
    return rows.filter(pc.fill_null(known, True))


def _overlaps(partition: Snapshot, first: datetime | None, last: datetime | None) -> bool:
    too_early = first is not None and partition.watermark is not None and partition.watermark < first
    too_late = last is not None and partition.start is not None and partition.start > last
    return not (too_early or too_late)


def _types_of(name: str, partitions: list[Snapshot]) -> dict[str, Snapshot]:
    """Each type the column has, with the first partition that has it. A column of nulls fits any."""
    types: dict[str, Snapshot] = {}
    for part in partitions:
        types.setdefault(part.columns.get(name, "missing"), part)
    if len(types) > 1:
        types.pop(_UNTYPED, None)
    return types


def _disagreement(name: str, types: dict[str, Snapshot]) -> str:
    return f"{name}: " + ", ".join(f"{kind} in {part.partition}" for kind, part in types.items())


def _in_utc(name: str, schema: pa.Schema) -> pc.Expression:
    """The column as microseconds in UTC, which is also what a time without a zone is taken for."""
    column = pc.field(name)
    return column if schema.field(name).type == MICROSECONDS else column.cast(MICROSECONDS, safe=False)


def _scalar(moment: datetime) -> pa.Scalar:
    return pa.scalar(moment if moment.tzinfo else moment.replace(tzinfo=UTC), MICROSECONDS)


def _arrow_files(files: Any) -> LocalFileSystem | PyFileSystem:
    return LocalFileSystem() if "file" in files.protocol else PyFileSystem(FSSpecHandler(files))


def _parse(kind: str) -> pa.DataType:
    """The Arrow type a manifest wrote down as text."""
    if kind.startswith("timestamp"):
        return MICROSECONDS if "tz=" in kind else pa.timestamp("us")
    return pa.type_for_alias(kind)
