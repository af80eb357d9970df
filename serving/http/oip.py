"""The Open Inference Protocol over REST: JSON and binary tensors, so that `tritonclient.http` works.

Speaks the protocol's JSON, calls the engine, decides nothing. `doors/open_inference.py` holds what gRPC shares with it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from serving.doors import open_inference as inference
from serving.doors.bodies import parse_json
from serving.doors.context import Context
from serving.doors.open_inference import OutputTensor
from serving.doors.options import header_key, read_options
from serving.engine.answer import Answer
from serving.http.messages import Headers, Request, Response, json_response
from serving.http.rest import KEY, header_deadline
from serving.problems import RequestRefused
from serving.rows.plain_tensors import read_float_matrix
from serving.rows.row_shapes import ColumnRows
from serving.rows.tensors import one_count, read_tensors, to_bytes

_LENGTH = b"inference-header-content-length"


async def server(context: Context, request: Request) -> Response:
    content = {"name": inference.NAME, "version": inference.VERSION, "extensions": inference.EXTENSIONS}
    return json_response(content)


async def live(context: Context, request: Request) -> Response:
    return Response(b"")


async def ready(context: Context, request: Request) -> Response:
    return Response(b"", status=200 if context.ready else 503)


async def model_ready(context: Context, request: Request) -> Response:
    """200 where the model, and the version if one is named, would answer."""
    inference.check_ready(context.engine, request.params[0], _version(request))
    return Response(b"")


async def model(context: Context, request: Request) -> Response:
    """The model's inputs and outputs."""
    served, arm = inference.find_arm(context.engine, request.params[0], _version(request))
    return json_response(inference.describe_model(served, arm))


async def statistics(context: Context, request: Request) -> Response:
    name = request.params[0] if request.params else None
    return json_response({"model_stats": inference.statistics(context.engine, name, _version(request))})


async def repository(context: Context, request: Request) -> Response:
    """`{"ready": true}`: only what answers."""
    body = await request.body(context.settings.body, context.budget)
    content = parse_json(body) if body else {}
    ready = isinstance(content, dict) and content.get("ready") is True
    return json_response(inference.repository(context.engine, ready=ready))


async def infer(context: Context, request: Request) -> Response:
    """Tensors in, tensors out."""
    body = await request.body(context.settings.body, context.budget)
    header, binary = _split(body, request.headers.get(_LENGTH))
    content = parse_json(header)
    if not isinstance(content, dict):
        raise RequestRefused('the body is an object {"inputs": [tensors]}')
    given = read_float_matrix(content.get("inputs"), binary) or _columns(content.get("inputs"), binary)
    asked, names = _parameters(content), _outputs(content)
    options = read_options(asked)
    answer = await context.engine.infer(
        request.params[0],
        given,
        key=options.key or header_key(request.headers.get(KEY)),
        deadline=options.deadline or header_deadline(request),
        version=_version(request),
        began=request.began,
    )
    all_binary = asked.get("binary_data_output") is True
    tensors = inference.answer_tensors(answer, [*names])
    return _respond(answer, content.get("id"), [(tensor, names.get(tensor.name, all_binary)) for tensor in tensors])


def _columns(inputs: Any, binary: memoryview) -> ColumnRows:
    tensors = read_tensors(inputs, binary)
    return ColumnRows({tensor.name: tensor.values for tensor in tensors}, one_count(tensors))


def _version(request: Request) -> str | None:
    return request.params[1] if len(request.params) > 1 else None


def _split(body: bytes, said: bytes | None) -> tuple[bytes, memoryview]:
    if said is None:
        return body, memoryview(b"")
    length = int(said) if said.isdigit() and len(said) < 15 else -1
    if not 0 <= length <= len(body):
        raise RequestRefused(f"Inference-Header-Content-Length is {said[:20]!r}, the body has {len(body)} bytes")
    return body[:length], memoryview(body)[length:]


def _parameters(content: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = content.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise RequestRefused("parameters is an object, outputs a list")
    return parameters


def _outputs(content: Mapping[str, Any]) -> dict[str, bool]:
    """The outputs that are asked for by name, and whether each comes as binary data."""
    outputs = content.get("outputs")
    if not isinstance(outputs, list | None):
        raise RequestRefused("parameters is an object, outputs a list")
    all_binary = _parameters(content).get("binary_data_output") is True
    asked = {}
    for item in outputs or []:
        name = item.get("name") if isinstance(item, dict) else None
        own = item.get("parameters") if isinstance(item, dict) else None
        binary = own.get("binary_data", all_binary) if isinstance(own, dict) else all_binary
        asked[str(name)] = binary is True
    return asked


def _respond(answer: Answer, name: Any, tensors: Sequence[tuple[OutputTensor, bool]]) -> Response:
    parts: list[bytes] = []
    head: dict[str, Any] = {
        "model_name": answer.model,
        "model_version": answer.version,
        "parameters": inference.stamp(answer),
        "outputs": [_output(tensor, parts if binary else None) for tensor, binary in tensors],
    }
    if isinstance(name, str):
        head["id"] = name
    front = orjson.dumps(head, option=orjson.OPT_SERIALIZE_NUMPY)
    if not parts:
        return Response(front)
    headers: Headers = ((_LENGTH, b"%d" % len(front)),)
    return Response(b"".join([front, *parts]), type=b"application/octet-stream", headers=headers)


def _output(tensor: OutputTensor, parts: list[bytes] | None) -> dict[str, Any]:
    """The tensor as JSON tells it; its values in `parts` where they are binary."""
    values = tensor.values
    entry: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
    if parts is None:
        return entry | {"data": values if isinstance(values, list) else values.ravel().astype("<f4")}
    parts.append(to_bytes(values, tensor.datatype))
    return entry | {"parameters": {"binary_data_size": len(parts[-1])}}
