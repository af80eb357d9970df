"""The Open Inference Protocol over gRPC: the handler of each method, on the same engine as every door.

Takes messages and returns messages; `door.py` does the transport. `tritonclient.grpc` works unchanged.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from serving.doors import open_inference as inference
from serving.doors.context import Context
from serving.doors.options import header_key, read_options
from serving.grpc.messages import MESSAGES
from serving.grpc.tensors import read_columns, read_parameters, write_answer
from serving.problems import RequestRefused


class Call(NamedTuple):
    """What the transport knows about a request."""

    metadata: Mapping[bytes, bytes]
    left: float | None  # seconds until the caller's deadline
    began: float  # on the engine's clock


Handler = Callable[[Context, Call, Any], Awaitable[bytes]]


class Method(NamedTuple):
    request: Any  # message class
    handler: Handler
    open: bool  # no token needed


async def server_live(context: Context, call: Call, message: Any) -> bytes:
    return _packed("ServerLive", live=True)


async def server_ready(context: Context, call: Call, message: Any) -> bytes:
    return _packed("ServerReady", ready=context.ready)


async def server_metadata(context: Context, call: Call, message: Any) -> bytes:
    return _packed("ServerMetadata", name=inference.NAME, version=inference.VERSION, extensions=inference.EXTENSIONS)


async def model_ready(context: Context, call: Call, message: Any) -> bytes:
    """False where the model, or the version that is named, would not answer."""
    try:
        inference.check_ready(context.engine, message.name, message.version or None)
    except RequestRefused:
        return _packed("ModelReady", ready=False)
    return _packed("ModelReady", ready=True)


async def model_metadata(context: Context, call: Call, message: Any) -> bytes:
    served, arm = inference.find_arm(context.engine, message.name, message.version or None)
    return _packed("ModelMetadata", **inference.describe_model(served, arm))


async def model_statistics(context: Context, call: Call, message: Any) -> bytes:
    entries = inference.statistics(context.engine, message.name or None, message.version or None)
    return _packed("ModelStatistics", model_stats=entries)


async def repository_index(context: Context, call: Call, message: Any) -> bytes:
    return _packed("RepositoryIndex", models=inference.repository(context.engine, ready=message.ready))


async def model_infer(context: Context, call: Call, message: Any) -> bytes:
    """Tensors in, tensors out. The shortest of the deadlines that are named counts."""
    try:
        return await _infer(context, call, message)
    except RequestRefused as err:
        context.engine.note_refusal(message.model_name, err)
        raise


async def _infer(context: Context, call: Call, message: Any) -> bytes:
    options = read_options(read_parameters(message.parameters))
    deadlines = [seconds for seconds in (options.deadline, call.left) if seconds is not None]
    answer = await context.engine.infer(
        message.model_name,
        read_columns(message),
        key=options.key or header_key(call.metadata.get(b"x-request-key")),
        deadline=min(deadlines) if deadlines else None,
        version=message.model_version or None,
        began=call.began,
    )
    tensors = inference.answer_tensors(answer, [output.name for output in message.outputs])
    return write_answer(answer, tensors, message.id)


def _packed(name: str, /, **fields: Any) -> bytes:
    return MESSAGES[f"{name}Response"](**fields).SerializeToString()


def _method(name: str, handler: Handler, *, open: bool = False) -> tuple[str, Method]:
    return name, Method(MESSAGES[f"{name}Request"], handler, open)


METHODS = dict(
    (
        _method("ServerLive", server_live, open=True),
        _method("ServerReady", server_ready, open=True),
        _method("ServerMetadata", server_metadata),
        _method("ModelReady", model_ready),
        _method("ModelMetadata", model_metadata),
        _method("ModelStatistics", model_statistics),
        _method("RepositoryIndex", repository_index),
        _method("ModelInfer", model_infer),
    )
)
