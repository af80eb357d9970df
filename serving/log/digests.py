"""What the endpoint answered, once more and apart from the log's columns: one number for each request.

Computed from the answers themselves, never from the columns made of them, so that a fault in packing, writing or
reading the log shows. `domain/traffic/answer_digests.py` computes the same from the rows that `predictions` wrote.

part     which answer: CRC-32 of the request's id, and of version and routed arm, as one number
digest   sum over rows of (2 * row + 1) * (sum over values of place * bits of the value) + 1, modulo 2**64
time     of the request
"""

import operator
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

DEFAULT_VERSION = "default"  # of an answer that no model gave
SCHEMA = pa.schema([("part", pa.int64()), ("digest", pa.int64()), ("time", pa.timestamp("us", "UTC"))])


def build_digest_batch(records: Sequence[Any]) -> pa.RecordBatch:
    """The digests of records of one model and one layout of rows."""
    times = (np.array([record.time for record in records]) * 1e6).astype(np.int64)
    arrays = [
        pa.array(np.array(_list_parts(records), dtype=np.uint64).view(np.int64)),
        pa.array(_digests(records).view(np.int64)),
        pa.array(times).cast(SCHEMA.field("time").type),
    ]
    return pa.record_batch(arrays, schema=SCHEMA)


def _list_parts(records: Sequence[Any]) -> list[int]:
    answered = records[0].scores is not None
    who = [(record.standing, record.routed) for record in records]
    checksums = {
        each: zlib.crc32(f"{each[0].version if answered else DEFAULT_VERSION}\0{each[1]}".encode())
        for each in dict.fromkeys(who)
    }
    ids = [zlib.crc32(record.request_id.encode()) << 32 for record in records]
    return list(map(operator.or_, ids, map(checksums.__getitem__, who)))


def _digests(records: Sequence[Any]) -> np.ndarray:
    counts = np.array([record.rows for record in records])
    rows = _positions(records, counts)
    answers = np.zeros(len(rows), dtype=np.uint64)
    if records[0].scores is not None:
        whole = np.concatenate([record.scores for record in records]).astype(np.float64).reshape(len(rows), -1)
        answers = (whole.view(np.uint64) * np.arange(1, whole.shape[1] + 1, dtype=np.uint64)).sum(axis=1)
    return np.add.reduceat((2 * rows + 1) * answers + np.uint64(1), np.cumsum(counts) - counts)


def _positions(records: Sequence[Any], counts: np.ndarray) -> np.ndarray:
    """The place of each row in its request."""
    places = [record.places for record in records]
    if counts.max() == 1 and not any(places):
        return np.zeros(len(records), dtype=np.uint64)
    each = [np.arange(count) if place is None else place for place, count in zip(places, counts, strict=True)]
    return np.concatenate(each).astype(np.uint64)
