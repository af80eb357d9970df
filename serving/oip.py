"""The Open Inference Protocol, version 2, over REST: JSON and binary tensors, so that `tritonclient.http` works.

Speaks the protocol's words, calls the engine, decides nothing.
"""

from typing import Any

import orjson

from serving.answer import Answer, labels
from serving.context import Context
from serving.contract import Contract
from serving.given import Columns
from serving.http import Headers, Request, Response, json_response, parse_json
from serving.models import Served, Standing
from serving.problems import InvalidInput, NotFound, Problem, RequestRefused
from serving.rest import header_deadline, header_key
from serving.tensors import read_tensors, to_bytes

NAME, VERSION = "mlops_assets", "1"
_LENGTH = b"inference-header-content-length"
_DATATYPES = {"number": "FP64", "integer": "INT64", "boolean": "BOOL", "text": "BYTES"}


async def server(context: Context, request: Request) -> Response:
    return json_response({"name": NAME, "version": VERSION, "extensions": ["binary_tensor_data", "statistics"]})


async def live(context: Context, request: Request) -> Response:
    return Response(b"")


async def ready(context: Context, request: Request) -> Response:
    return Response(b"", status=200 if context.ready else 503)


async def model_ready(context: Context, request: Request) -> Response:
    """200 where the model, and the version if one is named, would answer."""
    _standing(context, request)
    return Response(b"")


async def model(context: Context, request: Request) -> Response:
    """The model's inputs and outputs."""
    served, standing = _standing(context, request)
    return json_response(described(served, standing))


def described(served: Served, standing: Standing) -> dict[str, Any]:
    contract = standing.loaded.contract
    return {
        "name": served.release.model,
        "versions": sorted({arm.version for arm in served.arms.values()}),
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": f.name, "datatype": _DATATYPES[f.type], "shape": [-1]} for f in contract.fields],
        "outputs": output_tensors(contract),
    }


def output_tensors(contract: Contract) -> list[dict[str, Any]]:
    output = contract.outputs[0]
    shape = [-1] if output.size == 1 else [-1, output.size]
    tensors: list[dict[str, Any]] = [{"name": output.name, "datatype": "FP32", "shape": shape}]
    if contract.kind != "regression":
        tensors.append({"name": "label", "datatype": "BYTES", "shape": [-1]})
    return tensors


async def statistics(context: Context, request: Request) -> Response:
    """Counts and seconds of each version, in the words of Triton's statistics extension."""
    name = request.params[0] if request.params else None
    names = sorted(context.models.served) if name is None else [name]
    wanted = request.params[1] if len(request.params) > 1 else None
    return json_response({"model_stats": [entry for n in names for entry in statistics_of(context, n, wanted)]})


def statistics_of(context: Context, model: str, version: str | None = None) -> list[dict[str, Any]]:
    served = context.engine.served(model)
    told = []
    for standing in served.arms.values():
        meter = standing.meter
        if version is not None and standing.version != version:
            continue
        meter.fold()
        count, nanoseconds = int(meter.latency.counts.sum()), int(meter.latency.total * 1e9)
        failed = sum(n for (name, _), n in meter.counts.items() if name == "errors")
        told.append(
            {
                "name": model,
                "version": standing.version,
                "inference_count": int(meter.rows.total),
                "execution_count": count,
                "inference_stats": {
                    "success": {"count": count, "ns": nanoseconds},
                    "fail": {"count": failed, "ns": 0},
                },
            }
        )
    if version is not None and not told:
        raise NotFound(f"version {version[:100]} of {model} is not served")
    return told


async def infer(context: Context, request: Request) -> Response:
    """Tensors in, tensors out."""
    body = await request.body(context.settings.body, context.budget)
    header, binary = _split(body, request.headers.get(_LENGTH))
    content = parse_json(header)
    if not isinstance(content, dict):
        raise RequestRefused('the body is an object {"inputs": [tensors]}')
    tensors = read_tensors(content.get("inputs"), binary)
    counts = {tensor.shape[0] for tensor in tensors}
    if len(counts) > 1:
        raise InvalidInput([Problem(t.name[:100], None, f"has {t.shape[0]} rows") for t in tensors])
    given = Columns({tensor.name: tensor.values for tensor in tensors}, counts.pop())
    answer = await context.engine.infer(
        request.params[0],
        given,
        key=header_key(request),
        deadline=header_deadline(request),
        version=request.params[1] if len(request.params) > 1 else None,
        began=request.began,
    )
    return _respond(answer, content, len(binary) > 0)


def _split(body: bytes, said: bytes | None) -> tuple[bytes, memoryview]:
    if said is None:
        return body, memoryview(b"")
    length = int(said) if said.isdigit() and len(said) < 15 else -1
    if not 0 <= length <= len(body):
        raise RequestRefused(f"Inference-Header-Content-Length is {said[:20]!r}, the body has {len(body)} bytes")
    return body[:length], memoryview(body)[length:]


def stamp(answer: Answer) -> dict[str, Any]:
    return {
        "request_id": answer.request_id,
        "arm": answer.arm,
        "provider": answer.provider,
        "degraded": answer.degraded,
        "why": "; ".join(answer.why),
        "notes": "; ".join(answer.notes),
    }


def _respond(answer: Answer, content: dict[str, Any], came_binary: bool) -> Response:
    if answer.scores is None:
        raise RequestRefused(
            "no version could answer, and the declared default is no tensor; ask /v1/models for it",
            status=503,
            kind="unavailable",
        )
    asked = _asked_outputs(answer.contract, content)
    head: dict[str, Any] = {
        "model_name": answer.model,
        "model_version": answer.version,
        "parameters": stamp(answer),
        "outputs": [],
    }
    if isinstance(content.get("id"), str):
        head["id"] = content["id"]
    parts: list[bytes] = []
    for name, binary in asked:
        head["outputs"].append(_output(answer, name, binary, parts))
    if not parts:
        return Response(orjson.dumps(head, option=orjson.OPT_SERIALIZE_NUMPY))
    front = orjson.dumps(head, option=orjson.OPT_SERIALIZE_NUMPY)
    headers: Headers = ((_LENGTH, b"%d" % len(front)),)
    return Response(b"".join([front, *parts]), type=b"application/octet-stream", headers=headers)


def _output(answer: Answer, name: str, binary: bool, parts: list[bytes]) -> dict[str, Any]:
    scores = answer.scores
    assert scores is not None
    if name == "label":
        values, datatype, shape = labels(answer.contract, scores) or [], "BYTES", [len(scores)]
    else:
        values, datatype, shape = scores, "FP32", list(scores.shape)
    told: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
    if binary:
        content = to_bytes(values, datatype)
        parts.append(content)
        return told | {"parameters": {"binary_data_size": len(content)}}
    return told | {"data": values if isinstance(values, list) else values.ravel().astype("<f4")}


def _asked_outputs(contract: Contract, content: dict[str, Any]) -> list[tuple[str, bool]]:
    """Which outputs, and whether each comes as binary data. Without a word: the scores, as JSON."""
    there = [tensor["name"] for tensor in output_tensors(contract)]
    parameters = content.get("parameters") or {}
    outputs = content.get("outputs")
    if not isinstance(parameters, dict) or not isinstance(outputs, list | None):
        raise RequestRefused("parameters is an object, outputs a list")
    all_binary = parameters.get("binary_data_output") is True
    if not outputs:
        return [(name, all_binary) for name in there]
    asked, problems = [], []
    for item in outputs:
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str) or name not in there:
            problems.append(Problem(str(name)[:100], None, f"is no output; there are {', '.join(there)}"))
            continue
        own = item.get("parameters")
        own = own if isinstance(own, dict) else {}
        asked.append((name, own.get("binary_data", all_binary) is True))
    if problems:
        raise InvalidInput(problems)
    return asked


def _standing(context: Context, request: Request) -> tuple[Served, Standing]:
    served = context.engine.served(request.params[0])
    if len(request.params) == 1:
        return served, served.champion
    standing = served.by_version(request.params[1])
    if standing is None:
        raise NotFound(f"version {request.params[1][:100]} is not served")
    return served, standing
