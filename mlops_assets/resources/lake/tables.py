"""The lake: Parquet on disk or in an object store, one folder a table, one snapshot a partition.

A partition is a manifest (`<partition>.json`) that names its Parquet file by content digest. Data is written first,
the manifest last and in one step, so a reader sees the old snapshot or the new one and never half of either.
Writing the same rows again changes nothing. Knows nothing of models beyond their folder names.
"""

import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import TypeAdapter

from mlops_assets.domain.names import SNAPSHOT, Layer
from mlops_assets.domain.records import Snapshot

if TYPE_CHECKING:
    import pyarrow as pa
    from fsspec import AbstractFileSystem

_SNAPSHOT = TypeAdapter(Snapshot)
_DIGEST_IN_NAME = 12


class Lake(dg.ConfigurableResource["Lake"]):
    """Tables and immutable folders under one root."""

    root: str

    def table(self, model: str, layer: Layer, name: str) -> "Table":
        """One table of one model, e.g. `lake.table("flight_delay", Layer.RAW, "weather")`."""
        return Table(f"{self.root.rstrip('/')}/{model}/{layer}/{name}")

    def names(self, model: str, layer: Layer) -> list[str]:
        """The tables a layer holds."""
        files = _filesystem(self.root)
        folder = f"{_plain(self.root)}/{model}/{layer}"
        if not files.isdir(folder):
            return []
        return sorted(entry.rsplit("/", 1)[-1] for entry in files.ls(folder, detail=False))

    def publish(self, model: str, layer: Layer, name: str, folder: Path) -> str:
        """Move a finished local folder into the lake under a name that is never reused; returns its relative path.

        A folder of that name that is already there is the same content: the new one is dropped.
        """
        relative = f"{model}/{layer}/{name}"
        target = f"{_plain(self.root)}/{relative}"
        files = _filesystem(self.root)
        if files.exists(target):
            shutil.rmtree(folder)
        elif _is_local(self.root):
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            aside = Path(f"{target}.{uuid.uuid4().hex}")
            shutil.move(folder, aside)
            _rename_folder(aside, Path(target))
        else:
            files.put(f"{folder}/", f"{target}/", recursive=True)
            shutil.rmtree(folder)
        return relative

    def publish_copy(self, model: str, layer: Layer, name: str, folder: Path) -> str:
        """The same with a copy: the folder stays where it is for the next run to find."""
        with tempfile.TemporaryDirectory() as aside:
            copy = Path(aside) / name
            shutil.copytree(folder, copy)
            return self.publish(model, layer, name, copy)

    def fetch(self, relative: str, cache: Path) -> Path:
        """A published folder as a local path; remote ones are copied into `cache` once."""
        source = f"{_plain(self.root)}/{relative}"
        if not _filesystem(self.root).exists(source):
            raise FileNotFoundError(f"{source}: not in the lake. Materialise the asset that makes it, then try again.")
        if _is_local(self.root):
            return Path(source)
        local = cache / relative
        if not local.exists():
            aside = local.with_name(f"{local.name}.{uuid.uuid4().hex}")
            _filesystem(self.root).get(f"{source}/", f"{aside}/", recursive=True)
            _rename_folder(aside, local)
        return local


@dataclass(frozen=True)
class Table:
    """One table: its folder, as a path or URL."""

    path: str

    @cached_property
    def _files(self) -> "AbstractFileSystem":
        return _filesystem(self.path)

    def write(
        self,
        partition: str,
        rows: "pa.Table",
        *,
        now: datetime,
        time_column: str | None = None,
        inputs: Mapping[str, str] | None = None,
    ) -> Snapshot:
        """Make `rows` the current snapshot of the partition; the snapshot there already is, where nothing changed."""
        digest = content_digest(rows)
        current = self.snapshot(partition)
        if current is not None and current.digest == digest and current.inputs == dict(inputs or {}):
            return current
        start, watermark = _time_range(rows, time_column)
        file = f"{partition}-{digest[:_DIGEST_IN_NAME]}.parquet" if rows.num_rows else ""
        if file:
            self._put(file, _parquet_bytes(rows))
        snapshot = Snapshot(
            partition=partition,
            digest=digest,
            rows=rows.num_rows,
            file=file,
            start=start,
            watermark=watermark,
            columns={field.name: str(field.type) for field in rows.schema},
            inputs=dict(inputs or {}),
            written_at=now,
        )
        self._put(f"{partition}.json", _SNAPSHOT.dump_json(snapshot, indent=1))
        return snapshot

    def snapshot(self, partition: str = SNAPSHOT) -> Snapshot | None:
        """What the partition holds; None where it was never written."""
        try:
            return _SNAPSHOT.validate_json(self._files.cat_file(f"{_plain(self.path)}/{partition}.json"))
        except FileNotFoundError:
            return None

    def snapshots(self, partitions: Iterable[str] | None = None) -> dict[str, Snapshot]:
        """The snapshots of the partitions asked for (default: all) that exist, in order of their names."""
        names = self._partitions() if partitions is None else sorted(set(partitions))
        found = ((name, self.snapshot(name)) for name in names)
        return {name: snapshot for name, snapshot in found if snapshot is not None}

    def read(self, partitions: Iterable[str] | None = None, columns: Sequence[str] | None = None) -> "pa.Table":
        """The rows of the partitions in order; columns that some partitions lack are null there."""
        return self.read_snapshots(self.snapshots(partitions).values(), columns)

    def read_snapshots(self, snapshots: Iterable[Snapshot], columns: Sequence[str] | None = None) -> "pa.Table":
        """The rows of exactly these snapshots, as long as their files are kept."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        tables = []
        for snapshot in snapshots:
            if snapshot.file:
                wanted = None if columns is None else [name for name in columns if name in snapshot.columns]
                with self._files.open(f"{_plain(self.path)}/{snapshot.file}", "rb") as stream:
                    tables.append(pq.read_table(stream, columns=wanted))
        return pa.concat_tables(tables, promote_options="permissive") if tables else pa.table({})

    def _partitions(self) -> list[str]:
        folder = _plain(self.path)
        if not self._files.isdir(folder):
            return []
        names = (entry.rsplit("/", 1)[-1] for entry in self._files.ls(folder, detail=False))
        return sorted(name.removesuffix(".json") for name in names if name.endswith(".json"))

    def _put(self, name: str, content: bytes) -> None:
        put_atomically(f"{self.path}/{name}", content)


def put_atomically(path: str, content: bytes) -> None:
    """Write a file so that a reader sees all of it or the one before. An object store's put does that by itself."""
    if not _is_local(path):
        _filesystem(path).pipe_file(_plain(path), content)
        return
    target = Path(_plain(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        aside.write_bytes(content)
        os.replace(aside, target)
    except OSError as err:
        aside.unlink(missing_ok=True)
        raise OSError(
            err.errno,
            f"{err.strerror} while writing {len(content):,} bytes; nothing was changed",
            str(target),
        ) from err


def read_json(path: str) -> Any:
    """A small JSON file of the lake."""
    return json.loads(_filesystem(path).cat_file(_plain(path)))


def content_digest(rows: "pa.Table") -> str:
    """SHA-256 over names, types and values, whatever the chunks and whoever wrote the file."""
    from mlops_assets.domain import digest

    return digest.content_digest(rows)


def _parquet_bytes(rows: "pa.Table") -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd", compression_level=1)
    return sink.getvalue().to_pybytes()


def _time_range(rows: "pa.Table", column: str | None) -> tuple[datetime | None, datetime | None]:
    if column is None or not rows.num_rows:
        return None, None
    import pyarrow.compute as pc

    ends = pc.min_max(rows[column]).as_py()
    return ends["min"], ends["max"]


def _rename_folder(aside: Path, target: Path) -> None:
    """Rename, or drop what was made where another process was first."""
    try:
        os.rename(aside, target)
    except OSError:
        if not target.is_dir():
            raise
        shutil.rmtree(aside)


def _filesystem(url: str) -> "AbstractFileSystem":
    import fsspec

    return fsspec.core.url_to_fs(url)[0]


def _plain(url: str) -> str:
    """The path as its file system wants it, without the protocol."""
    return str(_filesystem(url)._strip_protocol(url))


def _is_local(url: str) -> bool:
    return "://" not in url or url.startswith("file://")


def utc(moment: datetime) -> datetime:
    """Times without a zone are UTC."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
