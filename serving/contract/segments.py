"""Append-only Arrow files, written off the request path.

    <root>/<model>/<when>-<worker>-<number>.arrow.open    being written, locked by its writer
                   <when>-<worker>-<number>.arrow         closed: complete, will never change
                   <when>-<worker>-<number>.arrow.cut     not one whole batch: nothing to read

A segment is an Arrow IPC stream of one schema. Columns may be dictionaries, each batch with its own; who reads
with `read_batches` sees plain ones. Whoever was killed leaves an `.open` file with whole batches and perhaps a cut
one; `close_orphans` keeps the whole ones. Appends survive the process, not a power cut.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

CLOSED, OPEN, CUT = ".arrow", ".arrow.open", ".arrow.cut"


class Segment:
    """One open file. Every method may raise OSError: the disk is full."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.schema, self.size = path, schema, 0
        self._packer = _Packer(schema)
        self._stream: BinaryIO = path.open("xb", buffering=0)
        fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            self._append(memoryview(schema.serialize()))
        except OSError:
            self._stream.close()
            path.unlink(missing_ok=True)
            raise

    def write(self, batch: pa.RecordBatch) -> None:
        """Append one batch, or leave the file as it was."""
        self._append(self._packer.packed(batch))

    def close(self) -> None:
        """Complete the file and give it its final name; an empty one disappears."""
        with self._stream:
            if self.size <= _size_of(self.schema):
                self.path.unlink(missing_ok=True)
                return
            self._append(memoryview(STREAM_END))
            self.path.rename(self.path.with_name(self.path.name.removesuffix(OPEN) + CLOSED))

    def _append(self, content: memoryview) -> None:
        rest = content
        try:
            while rest:
                rest = rest[self._stream.write(rest) :]
        except OSError:
            self._stream.seek(self.size)
            self._stream.truncate()
            raise
        self.size += len(content)


class _Packer:
    """Batches as they stand in a stream: their dictionaries, then their columns. Always in the same memory."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema, self._before = schema, _size_of(schema)
        self._memory = bytearray()

    def packed(self, batch: pa.RecordBatch) -> memoryview:
        """To be used up before the next one is packed."""
        try:
            end = self._pack(batch, pa.FixedSizeBufferWriter(pa.py_buffer(self._memory)))
        except OSError:  # there is not room enough
            self._memory = bytearray(self._pack(batch, pa.MockOutputStream()))
            end = self._pack(batch, pa.FixedSizeBufferWriter(pa.py_buffer(self._memory)))
        return memoryview(self._memory)[self._before : end]

    def _pack(self, batch: pa.RecordBatch, sink: pa.NativeFile) -> int:
        """A stream of its own, without its end; the schema at its begin is in the file already."""
        pa.ipc.new_stream(sink, self._schema).write_batch(batch)
        return sink.tell()


STREAM_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"  # how an IPC stream ends


def _size_of(schema: pa.Schema) -> int:
    return schema.serialize().size


class Writer:
    """Writes batches of one kind into segments, a new one when the size, the age or the schema says so."""

    def __init__(
        self, folder: Path, worker: str, *, most_bytes: int, most_seconds: float, clock: Callable[[], float]
    ) -> None:
        self._folder, self._worker, self._clock = folder, worker, clock
        self._most_bytes, self._most_seconds = most_bytes, most_seconds
        self._number = 0
        self._began = 0.0
        self._segment: Segment | None = None

    def write(self, batch: pa.RecordBatch) -> None:
        if self._segment and self._segment.schema != batch.schema:
            self.close()
        if self._segment is None:
            self._segment = self._new(batch.schema)
        self._segment.write(batch)

    def close_if_due(self) -> None:
        if self._segment and (
            self._segment.size >= self._most_bytes or self._clock() - self._began >= self._most_seconds
        ):
            self.close()

    def close(self) -> None:
        segment, self._segment = self._segment, None
        if segment:
            segment.close()

    def _new(self, schema: pa.Schema) -> Segment:
        self._began, self._number = self._clock(), self._number + 1
        when = datetime.fromtimestamp(self._began, UTC).strftime("%Y%m%dT%H%M%S")
        return Segment(self._folder / f"{when}-{self._worker}-{self._number:05d}{OPEN}", schema)


def read_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """The whole batches of a segment; a cut one at its end is left out."""
    with path.open("rb") as stream:
        try:
            for batch in pa.ipc.open_stream(stream):
                yield decode_dictionaries(batch)
        except pa.ArrowInvalid:
            return  # nothing, or cut
        except OSError as err:
            if err.errno is not None:
                raise
            return  # Arrow's own word for a body that ends too early


def decode_dictionaries(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with its dictionaries written out."""
    if not any(pa.types.is_dictionary(kind) for kind in batch.schema.types):
        return batch
    columns = [c.dictionary_decode() if isinstance(c, pa.DictionaryArray) else c for c in batch.columns]
    return pa.record_batch(columns, names=batch.schema.names)


def close_orphans(root: Path) -> list[Path]:
    """Complete what killed workers left under `root`; returns the closed segments."""
    return [closed for path in sorted(root.glob(f"*/*{OPEN}")) if (closed := _close_orphan(path))]


def _close_orphan(path: Path) -> Path | None:
    try:
        opened = path.open("rb")
    except FileNotFoundError:
        return None  # another worker completed it
    with opened as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None  # its writer lives
        try:
            batches = list(read_batches(path))
        except (pa.ArrowException, MemoryError):
            batches = []  # nothing of it can be read
        if not batches:
            path.rename(path.with_name(path.name.removesuffix(OPEN) + CUT))
            return None
        target = path.with_name(path.name.removesuffix(OPEN) + CLOSED)
        aside = target.with_name(f".{target.name}.{os.getpid()}")
        with aside.open("wb") as stream, pa.ipc.new_stream(stream, batches[0].schema) as out:
            for batch in batches:
                out.write_batch(batch)
        aside.rename(target)
        path.unlink(missing_ok=True)
        return target
