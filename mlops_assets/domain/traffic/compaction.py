"""Says which rows of a log make a day: one schema for all of them, each row once. Pure; reads and writes no file.

A row of answers is known by request, position and version, an outcome by request, position and outcome, a refusal by
request and kind, a digest by what it is. The same row may come again: from a part of the log that was read before, or
from a process that was killed before it could say that it had answered. The first one counts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ANSWERS, OUTCOMES, REFUSALS, DIGESTS = "answers", "outcomes", "refusals", "digests"
IDENTITY: Mapping[str, tuple[str, ...]] = {
    ANSWERS: ("request_id", "row", "version"),
    OUTCOMES: ("request_id", "row", "outcome"),
    REFUSALS: ("request_id", "kind"),
    DIGESTS: ("part", "digest"),
}
DAY = timedelta(days=1)
_AT_ONCE = 16_384  # rows


@dataclass(frozen=True)
class KeptRows:
    """Which of the rows that were read make the day, in their order."""

    mask: np.ndarray
    repeated: int  # rows that had come before
    elsewhere: int  # rows that a day beside this one holds already

    @property
    def rows(self) -> int:
        return int(self.mask.sum())


def select_rows(keys: pa.Table, beside: Sequence[pa.Table]) -> KeptRows:
    """The first row of each identity, without those that the days beside this one hold."""
    first = _firsts(keys)
    elsewhere = np.zeros(len(keys), dtype=bool)
    for other in beside:
        elsewhere |= _among(keys, other)
    mask = first & ~elsewhere
    return KeptRows(mask, int((~first).sum()), int((first & elsewhere).sum()))


def count_distinct(keys: pa.Table) -> int:
    """How many identities there are."""
    return keys.group_by(keys.column_names).aggregate([]).num_rows


def rows_of_day(rows: pa.Table, start: datetime) -> pa.Table:
    """The rows whose time lies in the day that begins at `start`."""
    kind = rows.schema.field("time").type
    mask = pc.and_(
        pc.greater_equal(rows["time"], pa.scalar(start, kind)), pc.less(rows["time"], pa.scalar(start + DAY, kind))
    )
    return rows.filter(mask)


def count_by_day(times: pa.ChunkedArray | pa.Array) -> dict[str, int]:
    """Day → rows."""
    micros = pc.cast(times, pa.int64()).to_numpy(zero_copy_only=False)
    days, counts = np.unique(micros // (DAY // timedelta(microseconds=1)), return_counts=True)
    return {day_name(int(day)): int(count) for day, count in zip(days, counts, strict=True)}


def day_name(number: int) -> str:
    """The name of the day that is so many after 1970 began."""
    return f"{datetime(1970, 1, 1, tzinfo=UTC) + number * DAY:%Y-%m-%d}"


def gather_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Batches of one schema in larger pieces: a log that is flushed each second has many small ones."""
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        waiting.append(batch)
        rows += batch.num_rows
        if rows >= _AT_ONCE:
            yield pa.Table.from_batches(waiting)
            waiting, rows = [], 0
    if waiting:
        yield pa.Table.from_batches(waiting)


def common_schema(schemas: Iterable[pa.Schema]) -> pa.Schema:
    """One schema that rows of all these fit, as versions differ in their features. Empty structs are left out."""
    kinds: dict[str, pa.DataType] = {}
    for schema in schemas:
        for field in schema:
            kinds[field.name] = _common(kinds[field.name], field.type) if field.name in kinds else field.type
    return pa.schema([(name, kind) for name, kind in kinds.items() if not _is_empty(kind)])


def fit_schema(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows in the common schema; what they do not have is null."""
    columns = [_fitted(rows[field.name], field.type) if field.name in rows.column_names
               else pa.chunked_array([pa.nulls(len(rows), field.type)]) for field in schema]  # fmt: skip
    return pa.table(columns, schema=schema)


def _firsts(keys: pa.Table) -> np.ndarray:
    places = keys.append_column("place", pa.array(np.arange(len(keys))))
    first = places.group_by(keys.column_names).aggregate([("place", "min")])["place_min"]
    mask = np.zeros(len(keys), dtype=bool)
    mask[first.to_numpy()] = True
    return mask


def _among(keys: pa.Table, other: pa.Table) -> np.ndarray:
    """Which keys the other table has too. Hardly any request does, so requests are compared first."""
    mask = np.zeros(len(keys), dtype=bool)
    requests = keys.column_names[0]
    likely = np.flatnonzero(pc.is_in(keys[requests], other[requests]).to_numpy(zero_copy_only=False))
    if len(likely):
        names = list(keys.column_names)
        there = {tuple(row.values()) for row in other.select(names).filter(
            pc.is_in(other[requests], keys[requests].take(pa.array(likely)))).to_pylist()}  # fmt: skip
        rows = keys.take(pa.array(likely)).to_pylist()
        mask[likely] = [tuple(row.values()) in there for row in rows]
    return mask


def _common(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """The type that takes both: of structs the fields of both, of what does not go together text."""
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if pa.types.is_struct(one) and pa.types.is_struct(other):
        fields = {field.name: field.type for field in one}
        for field in other:
            fields[field.name] = _common(fields[field.name], field.type) if field.name in fields else field.type
        return pa.struct(list(fields.items()))
    return pa.string()


def _is_empty(kind: pa.DataType) -> bool:
    return pa.types.is_null(kind) or (pa.types.is_struct(kind) and kind.num_fields == 0)


def _fitted(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if column.type == kind:
        return column
    if not (pa.types.is_struct(kind) and pa.types.is_struct(column.type)):
        return column.cast(kind)
    return pa.chunked_array([_struct(chunk, kind) for chunk in column.chunks], kind)


def _struct(rows: pa.StructArray, kind: pa.StructType) -> pa.StructArray:
    have = {field.name for field in rows.type}
    fields = list(kind)
    parts = [rows.field(f.name).cast(f.type) if f.name in have else pa.nulls(len(rows), f.type) for f in fields]
    return pa.StructArray.from_arrays(parts, fields=fields, mask=rows.is_null())
