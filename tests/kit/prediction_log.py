"""Prediction logs and feedback for tests, written as the endpoint writes them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from serving.contract.segments import Writer
from serving.log.feedback import SCHEMA

PRICE = "price"


def live_rows(
    ids: Sequence[str],
    start: datetime,
    *,
    version: str = "1.0.0",
    bundle: str = "b" * 64,
    features: Sequence[str] = (PRICE,),
    apart: timedelta = timedelta(seconds=1),
    **columns: Any,
) -> pa.RecordBatch:
    """Rows of the log: a request for each id, one after the other."""
    rows = len(ids)
    moments = [start + place * apart for place in range(rows)]
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32))
    values: dict[str, Any] = {
        "request_id": pa.array(ids, pa.string()),
        "row": pa.array(np.zeros(rows, dtype=np.int32)),
        "time": pa.array(moments, pa.timestamp("us", "UTC")),
        "key": pa.array(ids, pa.string()),
        "version": pa.array([version] * rows),
        "arm": pa.array(["champion"] * rows),
        "role": pa.array(["champion"] * rows),
        "bundle": pa.array([bundle] * rows),
        "generation": pa.array(np.ones(rows, dtype=np.int64)),
        "latency_ms": pa.array(np.full(rows, 1.5)),
        "degraded": pa.array([False] * rows),
        "why": pa.array([""] * rows),
        "answer": pa.ListArray.from_arrays(offsets, pa.array(np.linspace(0, 1, rows))),
        "entities": pa.nulls(rows, pa.struct([])),
        "features": pa.StructArray.from_arrays([pa.array(np.arange(rows, dtype=float)) for _ in features], features),
    }
    return pa.record_batch(values | columns)


def outcome_rows(ids: Sequence[str], at: datetime, outcome: str = "1") -> pa.RecordBatch:
    """Rows of the feedback log: the same outcome for the first row of each request."""
    rows = len(ids)
    values = [list(ids), [0] * rows, [at] * rows, [outcome] * rows, [1.0] * rows, ["champion"] * rows]
    return pa.record_batch([pa.array(v, f.type) for v, f in zip(values, SCHEMA, strict=True)], schema=SCHEMA)


class SegmentLog:
    """One worker's log of one model; `begun` orders the segments."""

    def __init__(self, root: Path, model: str, worker: str = "w1") -> None:
        self._folder, self._worker, self._begun = root / model, worker, 0

    def open(self, *batches: pa.RecordBatch) -> Writer:
        """A segment that is being written."""
        self._begun += 1
        begun = float(self._begun)
        writer = Writer(self._folder, f"{self._worker}{self._begun}", most_bytes=10**12, most_seconds=1e12,
                        clock=lambda: begun)  # fmt: skip
        for batch in batches:
            writer.write(batch)
        return writer

    def closed(self, *batches: pa.RecordBatch) -> None:
        self.open(*batches).close()
