"""Compares the rows that `predictions` wrote with the digests that the endpoint wrote when it answered. Pure.

The endpoint computes its digests from the answers themselves (`serving/log/digests.py`), this module from the rows that
were compacted: a row that is missing, doubled or altered on the way gives another number. A row without a digest is
not judged: a process that was killed may have written the one and not the other.
"""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

ROW_COLUMNS = ("request_id", "row", "version", "routed", "answer")
DIGEST_COLUMNS = ("part", "digest", "time")
MOST_NAMED = 5
Parts = NDArray[np.uint64]


@dataclass(frozen=True)
class DigestFindings:
    """What differs between answers and rows."""

    missing: tuple[str, ...] = ()  # times of answers of which no row is there
    altered: tuple[str, ...] = ()  # ids of requests whose rows are not the answer
    missing_count: int = 0
    altered_count: int = 0
    compared: int = 0


def compare_digests(digests: pa.Table, pieces: Iterable[pa.Table], beside: Iterable[pa.Table]) -> DigestFindings:
    """`pieces`: the rows of the day, read twice; `beside`: those of the days beside it, read where some are missing."""
    pieces = list(pieces)
    told, sums = _unsigned(digests["part"]), _unsigned(digests["digest"])
    parts, found = _sum_by_part(pieces)
    expected = set(zip(told.tolist(), sums.tolist(), strict=True))
    wrong = [
        part for part, digest in zip(parts.tolist(), found.tolist(), strict=True) if (part, digest) not in expected
    ]
    altered = np.intersect1d(np.array(wrong, dtype=np.uint64), told)
    missing = np.setdiff1d(told, parts)
    if len(missing):
        missing = np.setdiff1d(missing, _sum_by_part(beside)[0])
    times = digests["time"].filter(pa.array(np.isin(told, missing)))[:MOST_NAMED]
    return DigestFindings(
        missing=tuple(f"{time:%H:%M:%S}" for time in times.to_pylist()),
        altered=tuple(_ids_of(pieces, altered)),
        missing_count=len(missing),
        altered_count=len(altered),
        compared=len(np.intersect1d(told, parts)),
    )


def _unsigned(column: pa.ChunkedArray) -> Parts:
    return column.to_numpy().astype(np.int64).view(np.uint64)


def _sum_by_part(pieces: Iterable[pa.Table]) -> tuple[Parts, Parts]:
    """The parts of requests in these rows, and the digest of each."""
    found = [(_parts_of(piece), _digests_of(piece)) for piece in pieces if len(piece)]
    if not found:
        return np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.uint64)
    parts, places = np.unique(np.concatenate([each for each, _ in found]), return_inverse=True)
    sums = np.zeros(len(parts), dtype=np.uint64)
    np.add.at(sums, places, np.concatenate([each for _, each in found]))
    return parts, sums


def _parts_of(piece: pa.Table) -> Parts:
    answered_by = pc.binary_join_element_wise(piece["version"], piece["routed"], "\0")
    return _checksums(piece["request_id"]) << np.uint64(32) | _checksums(answered_by)


def _checksums(texts: pa.ChunkedArray) -> Parts:
    encoded = pc.dictionary_encode(texts.combine_chunks())
    values = np.array([zlib.crc32(text.encode()) for text in encoded.dictionary.to_pylist()], dtype=np.uint64)
    return values[encoded.indices.to_numpy()]


def _digests_of(piece: pa.Table) -> Parts:
    """What each row adds to the digest of its request."""
    answers = piece["answer"].combine_chunks()
    values = pc.list_flatten(answers).to_numpy(zero_copy_only=False).astype(np.float64).view(np.uint64)
    rows = pc.list_parent_indices(answers).to_numpy()
    firsts = np.searchsorted(rows, rows)  # of the values of one row
    sums = np.zeros(len(piece), dtype=np.uint64)
    np.add.at(sums, rows, values * (np.arange(len(rows)) - firsts + 1).astype(np.uint64))
    return (2 * piece["row"].to_numpy().astype(np.uint64) + 1) * sums + np.uint64(1)


def _ids_of(pieces: Iterable[pa.Table], parts: Parts) -> Iterator[str]:
    """Some of the requests that these parts belong to."""
    named: dict[str, None] = {}
    for piece in pieces:
        if len(parts) and len(named) < MOST_NAMED:
            mine = piece["request_id"].filter(pa.array(np.isin(_parts_of(piece), parts)))
            named |= dict.fromkeys(mine.to_pylist())
    yield from list(named)[:MOST_NAMED]
