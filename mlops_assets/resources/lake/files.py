"""Files of the lake, at a path on disk or a URL of an object store: the one way to publish and the one to read them.

A file on disk is written aside, flushed to the disk and renamed; an object store's put does that by itself. What
several files make together is published by the last of them, so a reader never finds a part.
"""

import json
import os
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fsspec

from serving.contract.atomic import move_file, replace_file


def file_system(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system of a path or URL, and the path as that file system writes it."""
    return fsspec.core.url_to_fs(url)


def is_local(url: str) -> bool:
    """Whether the path is on this machine's disk."""
    return "://" not in url or url.startswith("file://")


def put_bytes(url: str, content: bytes) -> None:
    """Write a file so that a reader finds all of it or the one before."""
    files, path = file_system(url)
    if not is_local(url):
        files.pipe_file(path, content)
        return
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        replace_file(target, content)
    except OSError as err:
        text = f"{err.strerror} while writing {len(content):,} bytes; nothing was changed"
        raise OSError(err.errno, text, str(target)) from err


def put_file(url: str, aside: Path) -> None:
    """Move a finished file to its place; on disk, `aside` has to be on the same one."""
    files, path = file_system(url)
    if is_local(url):
        move_file(aside, Path(path))
    else:
        files.put_file(str(aside), path)
        aside.unlink()


def put_folder(url: str, folder: Path) -> None:
    """Move a finished folder to a name that is never reused: what is there already is the same content."""
    files, path = file_system(url)
    if not is_local(url):
        there = {name.removeprefix(f"{path}/") for name in files.find(path)}
        for file in sorted(each for each in folder.rglob("*") if each.is_file()):
            name = file.relative_to(folder).as_posix()
            if name not in there:  # a killed upload left those before it, each of them whole
                files.put_file(str(file), f"{path}/{name}")
        shutil.rmtree(folder)
    elif Path(path).exists():
        shutil.rmtree(folder)
    else:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        aside = Path(f"{path}.{uuid.uuid4().hex}")
        shutil.move(folder, aside)
        _rename_folder(aside, Path(path))


def fetch_folder(url: str, local: Path) -> Path:
    """A local copy of a remote folder, made once."""
    if not local.exists():
        files, path = file_system(url)
        aside = local.with_name(f"{local.name}.{uuid.uuid4().hex}")
        files.get(f"{path}/", f"{aside}/", recursive=True)
        _rename_folder(aside, local)
    return local


def get_bytes(url: str) -> bytes | None:
    """A file's content; None where there is none."""
    files, path = file_system(url)
    try:
        content = files.cat_file(path)
    except FileNotFoundError:
        return None
    return content if isinstance(content, bytes) else content.encode()


def get_several(folder: str, names: Sequence[str]) -> dict[str, bytes]:
    """The content of those of a folder's files that exist; a remote file system reads them side by side."""
    files, path = file_system(folder)
    paths = [f"{path}/{name}" for name in names]
    contents = files.cat_ranges(paths, [None] * len(paths), [None] * len(paths), on_error="return") if paths else []
    for each in contents:
        if isinstance(each, BaseException) and not isinstance(each, FileNotFoundError):
            raise each
    return {name: each for name, each in zip(names, contents, strict=True) if isinstance(each, bytes)}


def read_json(url: str) -> Any:
    """A small JSON file; FileNotFoundError where there is none."""
    files, path = file_system(url)
    return json.loads(files.cat_file(path))


def names_in(folder: str) -> list[str]:
    """What a folder holds, sorted; nothing where there is no folder."""
    files, path = file_system(folder)
    if not files.isdir(path):
        return []
    return sorted(entry.rstrip("/").rsplit("/", 1)[-1] for entry in files.ls(path, detail=False))


def _rename_folder(aside: Path, target: Path) -> None:
    """Rename, or drop what was made where another process was first."""
    try:
        os.rename(aside, target)
    except OSError:
        if not target.is_dir():
            raise
        shutil.rmtree(aside)
