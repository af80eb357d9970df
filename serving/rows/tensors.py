"""Tensors of the Open Inference Protocol: from JSON or binary to arrays, and back.

One named tensor for each field, shape [n] or [n, 1]. BYTES are UTF-8 text. Knows no model.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from serving.problems import InvalidInput, Problem

NUMERIC: Mapping[str, np.dtype] = {
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "INT64": np.dtype("<i8"),
    "INT32": np.dtype("<i4"),
    "BOOL": np.dtype("?"),
}
TYPES = (*NUMERIC, "BYTES")
_MOST_TENSORS = 10_000


_FLOATS = frozenset({int, float, type(None)})
_TAKES = {
    "FP32": _FLOATS,
    "FP64": _FLOATS,
    "INT64": frozenset({int}),
    "INT32": frozenset({int}),
    "BOOL": frozenset({bool}),
}


class Tensor(NamedTuple):
    name: str
    datatype: str
    shape: list[int]
    values: np.ndarray | list[str]


class WrongTensor(ValueError):
    """What is wrong with one tensor."""


def read_tensors(inputs: Any, binary: memoryview) -> list[Tensor]:
    """The tensors of a request; `binary` is what follows the JSON part. InvalidInput lists everything wrong."""
    if not isinstance(inputs, list) or not 0 < len(inputs) <= _MOST_TENSORS:
        raise InvalidInput("`inputs` is a list of tensors, one for each field")
    problems, tensors, names = [], [], set()
    for index, item in enumerate(inputs):
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str):
            problems.append(Problem(f"inputs[{index}]", None, "is an object with name, shape and datatype"))
            continue
        try:
            tensor, binary = _tensor(name, item, binary)
            tensors.append(tensor)
        except WrongTensor as err:
            problems.append(Problem(name[:100], None, str(err)))
        if name in names:
            problems.append(Problem(name[:100], None, "stands twice"))
        names.add(name)
    if not problems and len(binary):
        problems.append(Problem(None, None, f"{len(binary)} bytes belong to no tensor"))
    if problems:
        raise InvalidInput(problems)
    return tensors


def one_count(tensors: Sequence[Tensor]) -> int:
    """The number of rows, which all tensors of a request share."""
    counts = {tensor.shape[0] for tensor in tensors}
    if len(counts) > 1:
        raise InvalidInput([Problem(t.name[:100], None, f"has {t.shape[0]} rows") for t in tensors])
    return counts.pop()


def _tensor(name: str, item: Mapping[str, Any], binary: memoryview) -> tuple[Tensor, memoryview]:
    datatype, shape, parameters = item.get("datatype"), item.get("shape"), item.get("parameters")
    if not isinstance(datatype, str) or datatype not in TYPES:
        raise WrongTensor(f"datatype is one of {', '.join(TYPES)}")
    if not isinstance(shape, list) or not is_column(shape):
        raise WrongTensor("shape is [n] or [n, 1]")
    if parameters is not None and not isinstance(parameters, dict):
        raise WrongTensor("parameters is an object")
    size = parameters.get("binary_data_size") if parameters else None
    if size is None:
        return Tensor(name, datatype, shape, _from_json(item.get("data"), datatype, shape[0])), binary
    if type(size) is not int or not 0 <= size <= len(binary):
        raise WrongTensor(f"binary_data_size is {size!r}, {len(binary)} bytes are left")
    return Tensor(name, datatype, shape, from_bytes(binary[:size], datatype, shape[0])), binary[size:]


def is_column(shape: Sequence[Any]) -> bool:
    """[n] or [n, 1], with at least one row."""
    if not shape or type(shape[0]) is not int or not 0 < shape[0] < 2**31:
        return False
    return len(shape) == 1 or (len(shape) == 2 and shape[1] == 1 and type(shape[1]) is int)


def _from_json(data: Any, datatype: str, count: int) -> np.ndarray | list[str]:
    if not isinstance(data, list):
        raise WrongTensor("data is a list, or parameters say binary_data_size")
    if data and isinstance(data[0], list):
        data = [value for row in data for value in (row if isinstance(row, list) else [row])]
    if len(data) != count:
        raise WrongTensor(f"shape says {count} values, data has {len(data)}")
    types = set(map(type, data))
    if datatype == "BYTES":
        if types - {str, type(None)}:
            raise WrongTensor("BYTES are texts")
        return ["" if value is None else value for value in data]
    if wrong := types - _TAKES[datatype]:
        raise WrongTensor(f"{datatype} takes other values than {', '.join(sorted(kind.__name__ for kind in wrong))}")
    try:
        return np.array(data, dtype=NUMERIC[datatype])
    except (OverflowError, ValueError) as err:
        raise WrongTensor(str(err)[:200]) from err


def from_bytes(content: memoryview | bytes, datatype: str, count: int) -> np.ndarray | list[str]:
    """Values of a binary tensor."""
    if datatype == "BYTES":
        return _texts(content, count)
    kind = NUMERIC[datatype]
    if len(content) != count * kind.itemsize:
        raise WrongTensor(f"{count} values of {datatype} are {count * kind.itemsize} bytes, not {len(content)}")
    if datatype == "BOOL":
        return np.frombuffer(content, dtype=np.uint8) != 0
    return np.frombuffer(content, dtype=kind)


def _texts(content: memoryview | bytes, count: int) -> list[str]:
    """Each text follows its length in four bytes."""
    texts, place, whole = [], 0, bytes(content)
    try:
        while place < len(whole):
            (length,) = struct.unpack_from("<I", whole, place)
            place += 4 + length
            if place > len(whole):
                raise WrongTensor("a text is longer than what is left")
            texts.append(whole[place - length : place].decode())
    except (struct.error, UnicodeDecodeError) as err:
        raise WrongTensor(f"BYTES are UTF-8 texts, each after its length: {err}") from err
    if len(texts) != count:
        raise WrongTensor(f"shape says {count} values, there are {len(texts)}")
    return texts


def to_bytes(values: np.ndarray | Sequence[str], datatype: str) -> bytes:
    if datatype == "BYTES":
        encoded = [text.encode() for text in values]
        return b"".join(struct.pack("<I", len(text)) + text for text in encoded)
    return np.ascontiguousarray(values, dtype=NUMERIC[datatype]).tobytes()
