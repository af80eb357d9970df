"""Tables of the lake whose partitions do not fit into memory: written and read piece by piece.

The digest is that of pieces of a fixed number of rows, so the same rows in the same order give the same one however
they came in. As with `lake.py`, data is written first and the manifest last.
"""

import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from mlops_assets.domain.records import Snapshot
from mlops_assets.resources.lake.tables import Table, content_digest, put_atomically

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

PIECE = 65_536  # rows
_SNAPSHOT = TypeAdapter(Snapshot)
_DIGEST_IN_NAME = 12
_ASIDE = ".aside-"
_LEFT = 6 * 3600.0  # seconds after which what a killed run left is cleared away


def write_pieces(
    table: Table,
    partition: str,
    rows: "Iterable[pa.Table]",
    schema: "pa.Schema",
    *,
    now: datetime,
    time_column: str,
    inputs: Mapping[str, str],
) -> Snapshot:
    """Make these rows the partition's snapshot; the one there already is, where nothing changed."""
    with tempfile.TemporaryDirectory(prefix=_ASIDE, dir=_beside(table)) as folder:
        aside = Path(folder) / "rows.parquet"
        made = _write(aside, partition, rows, schema, time_column, now)
        current = table.snapshot(partition)
        if current is not None and current.digest == made.digest:
            return restate(table, current, inputs, now=now)
        if made.file:
            _place(aside, f"{table.path}/{made.file}")
    snapshot = replace(made, inputs=dict(inputs))
    put_atomically(f"{table.path}/{partition}.json", _SNAPSHOT.dump_json(snapshot, indent=1))
    return snapshot


def restate(table: Table, snapshot: Snapshot, inputs: Mapping[str, str], *, now: datetime) -> Snapshot:
    """The same rows, made from more: only the manifest is written, and only where it changed."""
    if snapshot.inputs == dict(inputs):
        return snapshot
    changed = replace(snapshot, inputs=dict(inputs), written_at=now)
    put_atomically(f"{table.path}/{snapshot.partition}.json", _SNAPSHOT.dump_json(changed, indent=1))
    return changed


def read_pieces(table: Table, snapshot: Snapshot, columns: Sequence[str] | None = None) -> "Iterator[pa.Table]":
    """The rows of a snapshot, a piece at a time."""
    import pyarrow as pa

    if not snapshot.file:
        return
    wanted = None if columns is None else [name for name in columns if name in snapshot.columns]
    with _opened(table, snapshot) as file:
        for batch in file.iter_batches(PIECE, columns=wanted):
            yield pa.Table.from_batches([batch])


def schema_of(table: Table, snapshot: Snapshot) -> "pa.Schema | None":
    """The columns of a snapshot; None where it has no rows."""
    if not snapshot.file:
        return None
    with _opened(table, snapshot) as file:
        return file.schema_arrow


def is_sound(table: Table, snapshot: Snapshot) -> bool:
    """Whether the file that a manifest names is there, readable, and has as many rows as it says."""
    import pyarrow as pa

    if not snapshot.file:
        return snapshot.rows == 0
    try:
        with _opened(table, snapshot) as file:
            return file.metadata.num_rows == snapshot.rows
    except (FileNotFoundError, pa.ArrowException):
        return False


def _write(
    aside: Path, partition: str, rows: "Iterable[pa.Table]", schema: "pa.Schema", time_column: str, now: datetime
) -> Snapshot:
    import pyarrow.parquet as pq

    digest, count = hashlib.sha256(), 0
    first: datetime | None = None
    last: datetime | None = None
    with pq.ParquetWriter(aside, schema, compression="zstd", compression_level=1) as out:
        for piece in _pieces(rows):
            digest.update(content_digest(piece).encode())
            out.write_table(piece, row_group_size=PIECE)
            count += piece.num_rows
            low, high = _ends(piece[time_column])
            first = low if first is None or (low is not None and low < first) else first
            last = high if last is None or (high is not None and high > last) else last
    name = digest.hexdigest()
    return Snapshot(
        partition=partition,
        digest=name,
        rows=count,
        file=f"{partition}-{name[:_DIGEST_IN_NAME]}.parquet" if count else "",
        start=first,
        watermark=last,
        columns={field.name: str(field.type) for field in schema},
        inputs={},
        written_at=now,
    )


def _pieces(rows: "Iterable[pa.Table]") -> "Iterator[pa.Table]":
    """Pieces of exactly so many rows, the last one shorter."""
    import pyarrow as pa

    waiting: list[pa.Table] = []
    count = 0
    for each in rows:
        waiting.append(each)
        count += each.num_rows
        while count >= PIECE:
            whole = pa.concat_tables(waiting)
            yield whole.slice(0, PIECE)
            waiting = [whole.slice(PIECE)]
            count -= PIECE
    if count:
        yield pa.concat_tables(waiting)


def _ends(times: "pa.ChunkedArray") -> tuple[datetime | None, datetime | None]:
    import pyarrow.compute as pc

    ends = pc.min_max(times).as_py()
    return ends["min"], ends["max"]


@contextmanager
def _opened(table: Table, snapshot: Snapshot) -> "Iterator[pq.ParquetFile]":
    import fsspec
    import pyarrow.parquet as pq

    files, path = fsspec.core.url_to_fs(f"{table.path}/{snapshot.file}")
    with files.open(path, "rb") as stream, pq.ParquetFile(stream) as file:
        yield file


def _local(path: str) -> bool:
    return "://" not in path or path.startswith("file://")


def _beside(table: Table) -> Path | None:
    """A folder on the table's own disk, so that a finished file only has to be renamed; None: any."""
    if not _local(table.path):
        return None
    folder = Path(table.path.removeprefix("file://"))
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{_ASIDE}*"):
        if time.time() - left.stat().st_mtime > _LEFT:
            shutil.rmtree(left, ignore_errors=True)
    return folder


def _place(aside: Path, target: str) -> None:
    import fsspec

    if _local(target):
        aside.replace(target.removeprefix("file://"))
        return
    files, path = fsspec.core.url_to_fs(target)
    files.put_file(str(aside), path)
