"""Bulk rows in Arrow's IPC stream format, in and out."""

import struct

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from serving.contract.guard import LONGEST_TEXT
from serving.contract.segments import STREAM_END
from serving.doors.bodies import too_large
from serving.engine.answer import Answer, answer_scores, list_by_row, list_labels
from serving.http.arrow_sizes import unpacked_bytes
from serving.http.messages import ARROW, Response
from serving.problems import Problem, RequestRefused

_MOST_COLUMNS = 10_000
_VIEW = 16  # bytes of a text's view
_LONGEST = 4 * LONGEST_TEXT  # bytes of a text
_PLAIN = (
    pt.is_null, pt.is_boolean, pt.is_integer, pt.is_floating, pt.is_decimal, pt.is_temporal,
    pt.is_string, pt.is_large_string, pt.is_string_view,
)  # fmt: skip


def read_table(body: bytes, most: int) -> pa.Table:
    """The rows of one stream of at most `most` bytes, unpacked. A caller may send anything: every failure is his."""
    try:
        if unpacked_bytes(pa.py_buffer(body)) > most:
            raise too_large(most)
        with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
            table = reader.read_all()
        table.validate(full=True)
        _check_columns(table)
    except (pa.ArrowException, OSError, ValueError, TypeError, MemoryError, struct.error) as err:
        raise RequestRefused(f"the body is no Arrow IPC stream: {err}"[:300]) from err
    return table


def _check_columns(table: pa.Table) -> None:
    """Refuses what grows when it is written out for every row: a few large texts that many rows share, and nesting."""
    if table.num_columns > _MOST_COLUMNS:
        raise RequestRefused(f"a table may have at most {_MOST_COLUMNS:,} columns")
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type.value_type if pt.is_dictionary(column.type) else column.type
        if not any(test(kind) for test in _PLAIN):
            reason = f"is {column.type}; a column holds numbers, booleans, times or texts"
            raise RequestRefused([Problem(name[:100], None, reason)])
        if any(_longest_shared(chunk) > _LONGEST for chunk in column.chunks):
            raise RequestRefused([Problem(name[:100], None, f"is longer than {LONGEST_TEXT} characters")])


def _longest_shared(chunk: pa.Array) -> int:
    """Bytes of the longest text that several rows may share; 0 where each row has its own."""
    texts = chunk.dictionary if isinstance(chunk, pa.DictionaryArray) else chunk
    if pt.is_string_view(texts.type):
        sizes = np.frombuffer(texts.buffers()[1], dtype=np.int32)[:: _VIEW // 4]  # the head of each view
        return int(sizes[texts.offset : texts.offset + len(texts)].max(initial=0))
    shares = isinstance(chunk, pa.DictionaryArray) and (pt.is_string(texts.type) or pt.is_large_string(texts.type))
    return (pc.max(pc.binary_length(texts)).as_py() or 0) if shares else 0


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
