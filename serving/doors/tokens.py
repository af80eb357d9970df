"""Bearer tokens: a file of SHA-256 hashes, one a line, several at a time, read again when it changes.

    # name: hash
    mobile: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

While the file has never been readable, no token is valid; after a broken change the earlier tokens stay valid.
"""

import hashlib
import logging
import re
from pathlib import Path

from serving.problems import RequestRefused

_LINE = re.compile(r"(?:(?P<name>[\w.-]{1,100})\s*:\s*)?(?P<digest>[0-9a-fA-F]{64})")
_log = logging.getLogger("serving.doors.tokens")


class Tokens:
    """The tokens that open the endpoint."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._version: tuple[int, ...] | None = None
        self._digests: frozenset[bytes] = frozenset()
        self.reload()

    def reload(self) -> None:
        """Read the file again where it changed."""
        if self._path is None:
            return
        try:
            stat = self._path.stat()
            version = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            if version == self._version:
                return
            self._digests = _read(self._path)
            self._version = version
        except (OSError, ValueError) as err:
            _log.error("tokens cannot be read, the ones before stay valid: %s", err)

    def check(self, authorization: bytes | None) -> None:
        """Refuse a request without a valid token; without a file of tokens every request may pass."""
        if self._path is None:
            return
        scheme, _, token = (authorization or b"").partition(b" ")
        if scheme.lower() != b"bearer" or hashlib.sha256(token.strip()).digest() not in self._digests:
            raise RequestRefused(
                "a valid bearer token is needed (Authorization: Bearer …)", status=401, kind="unauthorised"
            )


def _read(path: Path) -> frozenset[bytes]:
    digests, wrong = set(), []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        if match := _LINE.fullmatch(content):
            digests.add(bytes.fromhex(match["digest"]))
        else:
            wrong.append(str(number))
    if wrong:
        raise ValueError(f"{path}: lines {', '.join(wrong)} are not `name: sha256 in hexadecimal`")
    return frozenset(digests)
