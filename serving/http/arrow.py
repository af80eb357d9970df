"""Bulk rows in Arrow's IPC stream format, in and out."""

import struct

import numpy as np
import pyarrow as pa

from serving.contract.segments import STREAM_END
from serving.doors.bodies import too_large
from serving.engine.answer import Answer, answer_scores, list_by_row, list_labels
from serving.http.arrow_sizes import unpacked_bytes
from serving.http.messages import ARROW, Response
from serving.problems import RequestRefused


def read_table(body: bytes, most: int) -> pa.Table:
    """The rows of one stream of at most `most` bytes, unpacked. A caller may send anything: every failure is his."""
    try:
        if unpacked_bytes(pa.py_buffer(body)) > most:
            raise too_large(most)
        with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
            table = reader.read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, TypeError, MemoryError, struct.error) as err:
        raise RequestRefused(f"the body is no Arrow IPC stream: {err}"[:300]) from err
    return table


def write_answer(answer: Answer) -> Response:
    """A column for each output, and one for the label; the stamp stands in the schema's metadata.

    Where rows belong to several arms, version and arm are columns too.
    """
    columns = _columns(answer)
    stamp = {
        "request_id": answer.request_id,
        "model": answer.model,
        "version": answer.version,
        "arm": answer.arm,
        "provider": answer.provider,
        "degraded": str(answer.degraded).lower(),
        "why": "; ".join(answer.why),
        "notes": "; ".join(answer.notes),
    }
    batch = pa.record_batch(columns).replace_schema_metadata(stamp)
    return Response(b"".join((batch.schema.serialize(), batch.serialize(), STREAM_END)), type=ARROW)


def _columns(answer: Answer) -> dict[str, pa.Array]:
    scores = answer_scores(answer)
    if scores is None:
        return {name: pa.array([value] * answer.rows) for name, value in (answer.default or {}).items()}
    name = answer.contract.outputs[0].name
    if scores.ndim == 1:
        columns: dict[str, pa.Array] = {name: pa.array(scores)}
    else:
        flat = pa.array(np.ascontiguousarray(scores).ravel())
        columns = {name: pa.FixedSizeListArray.from_arrays(flat, scores.shape[1])}
    if answer.contract.kind != "regression":
        columns["label"] = _labels(answer, scores)
    if answer.parts:
        columns |= {field: pa.array(list_by_row(answer, field)) for field in ("version", "arm")}
    return columns


def _labels(answer: Answer, scores: np.ndarray) -> pa.Array:
    contract = answer.contract
    if contract.kind != "binary" or answer.parts:
        return pa.array(list_labels(answer))
    limit = 0.5 if contract.threshold is None else contract.threshold
    return pa.array(contract.classes).take(pa.array((scores >= limit).astype(np.int8)))
