"""Writes a file so that a reader, or the next try after a kill, finds all of it or the one before."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any


def write_atomically(path: Path, content: bytes) -> None:
    """Aside, to disk, renamed."""
    aside = path.with_name(path.name + ".aside")
    with aside.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    aside.replace(path)


def canonical_json(value: Any) -> bytes:
    """The same value, the same bytes."""
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, default=str).encode()


def digest_of(*parts: bytes) -> str:
    summary = hashlib.sha256()
    for part in parts:
        summary.update(len(part).to_bytes(8, "big"))
        summary.update(part)
    return summary.hexdigest()
