"""One table of the lake: partitions written and read whole, or piece by piece where they do not fit into memory.

A partition is a manifest (`<partition>.json`) that names its Parquet file by content digest. Data is written first,
the manifest last and in one step, so a reader sees the old snapshot or the new one and never half of either.
Writing the same rows again changes nothing.
"""

import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from mlops_assets.domain.digest import content_digest
from mlops_assets.domain.names import SNAPSHOT
from mlops_assets.domain.records import Snapshot
from mlops_assets.resources.lake.files import file_system, get_several, is_local, names_in, put_bytes, put_file

PIECE = 65_536  # rows; the digest of rows that are written in pieces is one over pieces of this size

_SNAPSHOT = TypeAdapter(Snapshot)
_MANIFEST = ".json"
_DIGEST_IN_NAME = 12
_ASIDE = ".aside-"
_ABANDONED = 6 * 3600.0  # seconds after which the leftovers of a killed run are cleared away


@dataclass(frozen=True)
class Table:
    """One table: its folder, as a path or URL."""

    path: str

    def write(
        self,
        partition: str,
        rows: pa.Table,
        *,
        now: datetime,
        time_column: str | None = None,
        inputs: Mapping[str, str] | None = None,
    ) -> Snapshot:
        """Make `rows` the current snapshot of the partition; the snapshot there already is, where nothing changed."""
        ends = _ends(rows[time_column]) if time_column is not None and rows.num_rows else (None, None)
        made = _snapshot(partition, content_digest(rows), rows.num_rows, ends=ends, schema=rows.schema, now=now)
        made = replace(made, inputs=dict(inputs or {}))
        return self._publish(made, lambda target: put_bytes(target, _parquet_bytes(rows)))

    def write_pieces(
        self,
        partition: str,
        rows: Iterable[pa.Table],
        schema: pa.Schema,
        *,
        now: datetime,
        time_column: str,
        inputs: Mapping[str, str],
    ) -> Snapshot:
        """The same for rows that come in parts. The same rows in the same order give the same digest however cut."""
        with tempfile.TemporaryDirectory(prefix=_ASIDE, dir=self._folder_beside()) as folder:
            aside = Path(folder) / "rows.parquet"
            digest, count, ends = _write_parquet(aside, rows, schema, time_column)
            made = _snapshot(partition, digest, count, ends=ends, schema=schema, now=now)
            return self._publish(replace(made, inputs=dict(inputs)), lambda target: put_file(target, aside))

    def restate(self, snapshot: Snapshot, inputs: Mapping[str, str], *, now: datetime) -> Snapshot:
        """The same rows, made from other inputs: only the manifest is written, and only where it changed."""
        if snapshot.inputs == dict(inputs):
            return snapshot
        changed = replace(snapshot, inputs=dict(inputs), written_at=now)
        self._put_manifest(changed)
        return changed

    def snapshot(self, partition: str = SNAPSHOT) -> Snapshot | None:
        """What the partition holds; None where it was never written."""
        return self.snapshots([partition]).get(partition)

    def snapshots(self, partitions: Iterable[str] | None = None) -> dict[str, Snapshot]:
        """The snapshots of these partitions (default: all) that exist, in order of their names."""
        if partitions is None:
            names = [name for name in names_in(self.path) if name.endswith(_MANIFEST)]
        else:
            names = sorted({f"{partition}{_MANIFEST}" for partition in partitions})
        manifests = get_several(self.path, names)
        by_name = {name.removesuffix(_MANIFEST): content for name, content in manifests.items()}
        return {name: _SNAPSHOT.validate_json(by_name[name]) for name in sorted(by_name)}

    def read(self, partitions: Iterable[str] | None = None, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of the partitions in order; columns that some partitions lack are null there."""
        return self.read_snapshots(self.snapshots(partitions).values(), columns)

    def read_snapshots(self, snapshots: Iterable[Snapshot], columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of exactly these snapshots, as long as their files are kept."""
        tables = []
        for snapshot in snapshots:
            if snapshot.file:
                wanted = _present(snapshot, columns)
                with self._opened(snapshot) as file:
                    rows = file.read(columns=wanted)
                    tables.append(rows if wanted is None else rows.select(wanted))
        return pa.concat_tables(tables, promote_options="permissive") if tables else pa.table({})

    def read_pieces(self, snapshot: Snapshot, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows of a snapshot, a piece at a time."""
        if not snapshot.file:
            return
        with self._opened(snapshot) as file:
            for batch in file.iter_batches(PIECE, columns=_present(snapshot, columns)):
                yield pa.Table.from_batches([batch])

    def schema(self, snapshot: Snapshot) -> pa.Schema | None:
        """The columns of a snapshot; None where it has no rows."""
        if not snapshot.file:
            return None
        with self._opened(snapshot) as file:
            return file.schema_arrow

    def is_sound(self, snapshot: Snapshot) -> bool:
        """Whether the file that a manifest names exists, is readable, and has as many rows as the manifest says."""
        if not snapshot.file:
            return snapshot.rows == 0
        try:
            with self._opened(snapshot) as file:
                return file.metadata.num_rows == snapshot.rows
        except (FileNotFoundError, pa.ArrowException):
            return False

    def _publish(self, made: Snapshot, place: Callable[[str], None]) -> Snapshot:
        """Put the rows in place, then the manifest; rows that are already there keep their file."""
        current = self.snapshot(made.partition)
        if current is not None and current.digest == made.digest:
            return self.restate(current, made.inputs, now=made.written_at)
        if made.file:
            place(f"{self.path}/{made.file}")
        self._put_manifest(made)
        return made

    def _put_manifest(self, snapshot: Snapshot) -> None:
        put_bytes(f"{self.path}/{snapshot.partition}{_MANIFEST}", _SNAPSHOT.dump_json(snapshot, indent=1))

    @contextmanager
    def _opened(self, snapshot: Snapshot) -> Iterator[pq.ParquetFile]:
        files, path = file_system(f"{self.path}/{snapshot.file}")
        with files.open(path, "rb") as stream, pq.ParquetFile(stream) as file:
            yield file

    def _folder_beside(self) -> Path | None:
        """A folder on the table's own disk, so that a finished file only has to be renamed; None: any."""
        if not is_local(self.path):
            return None
        folder = Path(file_system(self.path)[1])
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(f"{_ASIDE}*"):
            if time.time() - leftover.stat().st_mtime > _ABANDONED:
                shutil.rmtree(leftover, ignore_errors=True)
        return folder


def _snapshot(
    partition: str,
    digest: str,
    rows: int,
    *,
    ends: tuple[datetime | None, datetime | None],
    schema: pa.Schema,
    now: datetime,
) -> Snapshot:
    return Snapshot(
        partition=partition,
        digest=digest,
        rows=rows,
        file=f"{partition}-{digest[:_DIGEST_IN_NAME]}.parquet" if rows else "",
        start=ends[0],
        watermark=ends[1],
        columns={field.name: str(field.type) for field in schema},
        inputs={},
        written_at=now,
    )


def _present(snapshot: Snapshot, columns: Sequence[str] | None) -> list[str] | None:
    return None if columns is None else [name for name in columns if name in snapshot.columns]


def _parquet_bytes(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd", compression_level=1)
    return sink.getvalue().to_pybytes()


def _write_parquet(
    file: Path, rows: Iterable[pa.Table], schema: pa.Schema, time_column: str
) -> tuple[str, int, tuple[datetime | None, datetime | None]]:
    """Write the pieces; returns their digest, how many rows they have, and the first and last time."""
    digest, count = hashlib.sha256(), 0
    moments: list[datetime] = []
    with pq.ParquetWriter(file, schema, compression="zstd", compression_level=1) as out:
        for piece in _even_pieces(rows):
            digest.update(content_digest(piece).encode())
            out.write_table(piece, row_group_size=PIECE)
            count += piece.num_rows
            moments.extend(moment for moment in _ends(piece[time_column]) if moment is not None)
    return digest.hexdigest(), count, (min(moments, default=None), max(moments, default=None))


def _even_pieces(rows: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Pieces of exactly PIECE rows, the last one shorter."""
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


def _ends(times: pa.ChunkedArray) -> tuple[datetime | None, datetime | None]:
    ends = pc.min_max(times).as_py()
    return ends["min"], ends["max"]
