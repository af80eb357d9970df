"""What every door does with a body before it knows the protocol: bounds its size, unpacks it, parses its JSON."""

import zlib
from typing import Any

import orjson

from serving.problems import RETRY, RequestRefused

SLOWEST = 20.0  # seconds in which a body has to arrive


class Budget:
    """The bytes that the bodies of all requests may still take while they are being read."""

    __slots__ = ("left",)

    def __init__(self, total: int) -> None:
        self.left = total


def parse_json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as err:
        raise RequestRefused(f"the body is not JSON: {err}"[:300]) from err


def unpack(body: bytes, encoding: bytes, most: int) -> bytes:
    """The body without its gzip or deflate, never more than `most` bytes: a few bytes can unpack to gigabytes."""
    name = encoding.strip().lower()
    if name == b"identity":
        return body
    if name not in (b"gzip", b"deflate"):
        known = "content-encoding must be gzip, deflate or identity"
        raise RequestRefused(known, status=415, kind="media_type")
    unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # either format, by its header
    try:
        whole = unpacking.decompress(body, most + 1)
    except zlib.error as err:
        raise RequestRefused(f"the body cannot be unpacked: {err}") from err
    if len(whole) > most:
        raise too_large(most)
    if not unpacking.eof:
        raise RequestRefused("the packed body ends before its data does")
    return whole


def too_large(most: int) -> RequestRefused:
    return RequestRefused(f"a body may have at most {most:,} bytes", status=413, kind="too_large")


def too_many_bodies(status: int = 503) -> RequestRefused:
    """The budget of all bodies is spent."""
    return RequestRefused("too many bodies are being read", status=status, kind="overloaded", retry_after=RETRY)
