"""The bytes and digests by which a training run is kept."""

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> bytes:
    """The same value, the same bytes."""
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, default=str).encode()


def digest_of(*parts: bytes) -> str:
    summary = hashlib.sha256()
    for part in parts:
        summary.update(len(part).to_bytes(8, "big"))
        summary.update(part)
    return summary.hexdigest()
