"""Publishes a local file: written aside, synced, renamed. Readers see the old content or the new, never a part."""

import os
import tempfile
from pathlib import Path


def replace_file(path: Path, content: bytes) -> None:
    """Replace the file's content, durably."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    aside = Path(name)
    try:
        write_synced(aside, content)
        aside.chmod(0o644)  # the reader may run as another user
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def sync(path: Path) -> None:
    """Flush a file to the disk, or a folder: a name is on disk only once its folder is."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def move_file(aside: Path, path: Path) -> None:
    """Put a finished file in another's place on the same disk, durably: its content first, then its name."""
    sync(aside)
    aside.replace(path)
    sync(path.parent)
