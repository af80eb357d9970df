"""Messages of the gRPC service → columns for the engine, and its answers → messages. Knows no model.

What a request says about its tensors (name, datatype, shape) is the same again and again: it is read once.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from serving.doors.open_inference import OutputTensor, stamp
from serving.engine.answer import Answer
from serving.grpc.messages import MESSAGES
from serving.problems import InvalidInput, Problem
from serving.rows.row_shapes import ColumnRows, MatrixRows
from serving.rows.tensors import NUMERIC, TYPES, Tensor, WrongTensor, from_bytes, is_column, one_count, to_bytes

_CONTENTS = {
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "INT64": "int64_contents",
    "INT32": "int_contents",
    "BOOL": "bool_contents",
    "BYTES": "bytes_contents",
}
_Tensor, _Response, _Parameter = (
    MESSAGES["InferInputTensor"],
    MESSAGES["ModelInferResponse"],
    MESSAGES["InferParameter"],
)
_MOST_TENSORS = 10_000
_SMALL = 50_000  # bytes of descriptions that are worth keeping


class Described(NamedTuple):
    """The tensors of a request without their values."""

    names: tuple[str, ...]
    datatypes: list[str]
    counts: list[int]
    kind: np.dtype | None  # where all are floating-point numbers of one type and as many


def read_columns(message: Any) -> ColumnRows | MatrixRows:
    """One column for each tensor of a ModelInferRequest. InvalidInput lists everything wrong."""
    packed, raw = message.inputs[:], message.raw_input_contents[:]
    if not 0 < len(packed) <= _MOST_TENSORS:
        raise InvalidInput("`inputs` holds one tensor for each field")
    if raw and len(raw) != len(packed):
        raise InvalidInput(f"raw_input_contents has {len(raw)} entries for {len(packed)} inputs")
    if not raw:
        tensors = [_Tensor.FromString(item) for item in packed]
        described = _described(tensors)
        return _columns(described, [tensor.contents for tensor in tensors], _typed)
    small = sum(map(len, packed)) <= _SMALL
    described = _known(tuple(packed)) if small else _described([_Tensor.FromString(item) for item in packed])
    kind, count = described.kind, described.counts[0]
    if kind is not None and set(map(len, raw)) == {count * kind.itemsize}:
        whole = np.frombuffer(b"".join(raw), dtype=kind).reshape(len(raw), count)
        return MatrixRows(described.names, whole.astype(np.float64, copy=False))
    return _columns(described, raw, from_bytes)


@lru_cache(maxsize=256)
def _known(packed: tuple[bytes, ...]) -> Described:
    return _described([_Tensor.FromString(item) for item in packed])


def _described(tensors: Sequence[Any]) -> Described:
    names, problems = tuple(tensor.name for tensor in tensors), []
    for tensor in tensors:
        if tensor.datatype not in TYPES:
            problems.append(Problem(tensor.name[:100], None, f"datatype is one of {', '.join(TYPES)}"))
        if not is_column(tensor.shape[:]):
            problems.append(Problem(tensor.name[:100], None, "shape is [n] or [n, 1]"))
    if len(set(names)) < len(names):
        problems += [Problem(name[:100], None, "stands twice") for name in sorted(set(names)) if names.count(name) > 1]
    if problems:
        raise InvalidInput(problems)
    datatypes, counts = [tensor.datatype for tensor in tensors], [tensor.shape[0] for tensor in tensors]
    alike = len(set(datatypes)) == len(set(counts)) == 1 and datatypes[0] in ("FP32", "FP64")
    return Described(names, datatypes, counts, NUMERIC[datatypes[0]] if alike else None)


def _columns(described: Described, contents: Iterable[Any], read: Any) -> ColumnRows:
    tensors, problems = [], []
    for name, datatype, count, content in zip(
        described.names, described.datatypes, described.counts, contents, strict=True
    ):
        try:
            tensors.append(Tensor(name, datatype, [count], read(content, datatype, count)))
        except WrongTensor as err:
            problems.append(Problem(name[:100], None, str(err)))
    if problems:
        raise InvalidInput(problems)
    return ColumnRows({tensor.name: tensor.values for tensor in tensors}, one_count(tensors))


def _typed(contents: Any, datatype: str, count: int) -> np.ndarray | list[str]:
    """The values that stand in the message itself."""
    field = _CONTENTS[datatype]
    values = getattr(contents, field)
    if len(values) != count:
        raise WrongTensor(f"shape says {count} values, {field} has {len(values)}")
    if datatype != "BYTES":
        return np.array(values, dtype=NUMERIC[datatype])
    try:
        return [value.decode() for value in values]
    except UnicodeDecodeError as err:
        raise WrongTensor(f"BYTES are UTF-8 texts: {err}") from err


def read_parameters(entries: Iterable[Any]) -> dict[str, Any]:
    return {entry.key: _value(entry.value) for entry in entries}


def _value(parameter: Any) -> Any:
    chosen = parameter.WhichOneof("choice")
    return getattr(parameter, chosen) if chosen else None


def write_answer(answer: Answer, tensors: Iterable[OutputTensor], name: str) -> bytes:
    """A ModelInferResponse with raw contents, as clients of the protocol expect.

    Packed messages that follow one another are one message: what most answers share is packed once.
    """
    stamped = stamp(answer)
    own = _Response(id=name)
    own.parameters.add(key="request_id", value=_Parameter(string_param=stamped.pop("request_id")))
    for tensor in tensors:
        own.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        own.raw_output_contents.append(to_bytes(tensor.values, tensor.datatype))
    return _shared(answer.model, answer.version, tuple(stamped.items())) + own.SerializeToString()


@lru_cache(maxsize=256)
def _shared(model: str, version: str, stamped: tuple[tuple[str, Any], ...]) -> bytes:
    message = _Response(model_name=model, model_version=version)
    for key, value in stamped:
        message.parameters.add(key=key, value=_Parameter(**{_choice(value): value}))
    return message.SerializeToString()


def _choice(value: Any) -> str:
    return {bool: "bool_param", int: "int64_param", str: "string_param"}[type(value)]
