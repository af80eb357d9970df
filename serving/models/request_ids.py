"""Ids of requests that only this endpoint can have issued: each carries a short keyed digest.

    <worker>-<number>-<rows>.<digest>-<generation>.<arm>

`rows.` is left out where it is 1. Whoever knows one id can neither guess another one nor name more rows than it has.
Every worker and replica needs the same secret: the setting, or a file in the home that the first one makes.
"""

import hmac
import logging
import os
import secrets
from hashlib import blake2b
from pathlib import Path

_BYTES = 8  # of the digest
_SECRET = 32  # bytes of a secret that is made here
_log = logging.getLogger("serving.models.request_ids")


class RequestIds:
    """Issues ids and knows its own again."""

    def __init__(self, secret: bytes) -> None:
        self._secret = blake2b(secret, digest_size=64).digest()  # whatever its length
        self._begun = {}

    def issue(self, model: str, number: str, rows: int, tail: str) -> str:
        """`number` ends with a hyphen and is unique; `tail` names generation and arm."""
        begin = number if rows == 1 else f"{number}{rows:x}."
        hashed = (self._begun.get(model) or self._begin(model)).copy()
        hashed.update(f"{number}\0{rows:x}\0{tail}".encode())
        return f"{begin}{hashed.hexdigest()}-{tail}"

    def find_problem(self, model: str, request_id: str, row: int) -> tuple[str, str] | None:
        """The field that is wrong and why, where no row with this id was ever answered; None: it may be labelled."""
        body, _, tail = request_id.rpartition("-")
        number, _, signed = body.rpartition("-")
        count = _read_rows(signed)
        own = self.issue(model, f"{number}-", count, tail)
        if not hmac.compare_digest(own.encode(), request_id.encode("utf-8", "replace")):
            return "request_id", f"was never issued by this endpoint for an answer of {model}"
        return ("row", f"is not one of the request's {count:,}") if row >= count else None

    def _begin(self, model: str) -> blake2b:
        self._begun[model] = blake2b(f"{model}\0".encode(), key=self._secret, digest_size=_BYTES)
        return self._begun[model]


def _read_rows(signed: str) -> int:
    rows, dot, _ = signed.rpartition(".")
    try:
        return int(rows[:8], 16) if dot else 1
    except ValueError:
        return 1


def open_request_ids(secret: str | None, file: Path) -> RequestIds:
    """By the secret of the settings, or else the one in the file, which is made once and is its owner's alone."""
    if secret is not None:
        return RequestIds(secret.encode())
    try:
        return RequestIds(_read_or_make(file))
    except OSError as err:
        _log.error("%s: no other worker can check this one's ids; set ENDPOINT_ID_SECRET", err)
        return RequestIds(secrets.token_bytes(_SECRET))


def _read_or_make(file: Path) -> bytes:
    try:
        return _read_whole(file)
    except FileNotFoundError:
        file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(secrets.token_hex(_SECRET).encode())
        stream.flush()
        os.fsync(stream.fileno())
    try:
        os.link(aside, file)  # whole or not at all; whoever comes second takes the first one's
    except FileExistsError:
        pass
    finally:
        aside.unlink()
    return _read_whole(file)


def _read_whole(file: Path) -> bytes:
    content = file.read_bytes()
    if len(content) < 2 * _SECRET:
        raise OSError(f"{file} holds {len(content)} of {2 * _SECRET} characters; delete it to have another one made")
    return content
