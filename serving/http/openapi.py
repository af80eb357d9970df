"""The OpenAPI document, made from the contracts of the models that are served."""

from typing import Any

from serving.contract.bundle import Bundle
from serving.contract.fields import Contract, Field
from serving.contract.guard import LONGEST_TEXT
from serving.models.served_models import ServedModels

_TEXTS = {"type": "string"}
_JSON = "application/json"
_TYPES = {"number": "number", "integer": "integer", "boolean": "boolean", "text": "string"}


def document(models: ServedModels) -> dict[str, Any]:
    """OpenAPI 3.1 for everything this worker answers."""
    paths: dict[str, Any] = {
        "/releases": {"get": _get("The open ports, and every served version with its bundle and provider")},
        "/livez": {"get": _get("Whether the process is alive")},
        "/healthz": {"get": _get("Whether the process is alive")},
        "/readyz": {
            "get": _get(
                "Whether the worker takes traffic", {"503": _error("The worker takes no traffic; the body says why")}
            )
        },
        "/metrics": {"get": _get("Metrics for Prometheus", media="text/plain")},
        "/predict": {"post": _post("Predictions, as BentoML's client asks for them", _named(_ROWS, ["rows"]))},
        "/explain": {"post": _post("Explanations, as BentoML's client asks for them", _named(_ROWS, ["rows"]))},
        "/feedback": {
            "post": _post("Outcomes, as BentoML's client reports them", _named(_OUTCOMES, ["outcomes"]), status="202")
        },
        "/v2/repository/index": {"post": _get("Open Inference Protocol: every version, and whether it answers")},
        "/v2": {"get": _get("Open Inference Protocol: server metadata")},
        "/v2/health/live": {"get": _get("Open Inference Protocol: liveness", media=None)},
        "/v2/health/ready": {"get": _get("Open Inference Protocol: readiness", media=None)},
    }
    for name, served in sorted(models.served.items()):
        loaded = served.champion.loaded
        paths |= _model_paths(name, loaded.contract, example_of(loaded.bundle))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Model endpoint", "version": "1"},
        "paths": paths,
        "components": {
            "schemas": {"Error": _ERROR},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def example_of(bundle: Bundle) -> dict[str, Any] | None:
    """A body that every release of the bundle's model has to answer: its first golden request."""
    requests = bundle.golden.get("requests")
    return {"rows": [requests[0]["row"]]} if requests else None


def _model_paths(name: str, contract: Contract, example: dict[str, Any] | None) -> dict[str, Any]:
    rows = {"type": "array", "minItems": 1, "items": _row(contract)}
    predict = _object({"rows": rows, "key": {"type": "string", "minLength": 1, "maxLength": 200}}, ["rows"])
    explain = _object(
        {
            "rows": rows | {"maxItems": 16},
            "method": {"enum": ["occlusion", "shapley"]},
            "samples": {"type": "integer", "minimum": 1, "maximum": 64},
            "seed": {"type": "integer", "minimum": 0},
            "version": _TEXTS,
        },
        ["rows"],
    )
    return {
        f"/v1/models/{name}/predict": {"post": _post("Predictions for rows", predict, example=example)},
        f"/v1/models/{name}/explain": {
            "post": _post("The contribution of each field to each answer", explain, example=example)
        },
        f"/v1/models/{name}/feedback": {"post": _post("Report an outcome", _FEEDBACK, status="202")},
        f"/v1/models/{name}/card": {"get": _get("The model card", media="text/markdown")},
        f"/v2/models/{name}": {"get": _get("Open Inference Protocol: inputs and outputs")},
        f"/v2/models/{name}/ready": {"get": _get("Open Inference Protocol: model readiness", media=None)},
        f"/v2/models/{name}/stats": {"get": _get("Open Inference Protocol: statistics")},
        f"/v2/models/{name}/infer": {
            "post": _post("Open Inference Protocol: tensors in, tensors out", _infer(contract))
        },
    }


def _named(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    """A body that names its model."""
    return {"type": "object", "properties": {"model": _TEXTS, **properties}, "required": ["model", *required]}


def _row(contract: Contract) -> dict[str, Any]:
    keys = {name: {} for name in contract.entity}
    fields = {field.name: _field(field) for field in contract.fields}
    if not contract.entity:
        return _object(keys | fields, list(fields))
    return _object(keys | fields, []) | {"anyOf": [{"required": list(keys)}, {"required": list(fields)}]}


def _field(field: Field) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": [_TYPES[field.type], "null"]}
    if field.type == "text":
        schema["maxLength"] = LONGEST_TEXT
    if field.lower is not None:
        schema["description"] = f"In the training data: {field.lower:g} to {field.upper:g}."
    elif field.categories:
        schema["examples"] = list(field.categories[:5])
    return schema


def _infer(contract: Contract) -> dict[str, Any]:
    tensor = _object(
        {
            "name": {"enum": [field.name for field in contract.fields]},
            "shape": {
                "type": "array",
                "items": {"type": "integer", "minimum": 1},
                "minItems": 1,
                "maxItems": 2,
            },
            "datatype": {"enum": ["FP32", "FP64", "INT64", "INT32", "BOOL", "BYTES"]},
            "data": {"type": "array"},
        },
        ["name", "shape", "datatype", "data"],
    )
    return {
        "type": "object",
        "properties": {"id": _TEXTS, "inputs": {"type": "array", "minItems": 1, "items": tensor}},
        "required": ["inputs"],
    }


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _get(summary: str, more: dict[str, Any] | None = None, *, media: str | None = _JSON) -> dict[str, Any]:
    content = {media: {}} if media else {}
    return {"summary": summary, "responses": {"200": {"description": "OK", "content": content}} | (more or {})}


def _post(
    summary: str, schema: dict[str, Any], *, status: str = "200", example: dict[str, Any] | None = None
) -> dict[str, Any]:
    refused = {
        "400": "The body cannot be read",
        "413": "The body is too large",
        "415": "The media type is not supported",
        "422": "Rows break the contract",
        "429": "The queue is full; see Retry-After",
        "503": "No version can answer",
        "504": "The deadline passed",
    }
    content = {"schema": schema} if example is None else {"schema": schema, "example": example}
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {_JSON: content}},
        "responses": {status: {"description": "OK", "content": {_JSON: {}}}}
        | {code: _error(reason) for code, reason in refused.items()},
    }


def _error(description: str) -> dict[str, Any]:
    return {"description": description, "content": {_JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}}


_ERROR = {
    "type": "object",
    "properties": {
        "error": _TEXTS,
        "kind": _TEXTS,
        "problems": {"type": "array", "items": {"type": "object"}},
        "omitted": {"type": "integer"},
    },
}
_FEEDBACK = _object(
    {
        "request_id": {"type": "string", "minLength": 1, "maxLength": 100},
        "row": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
        "outcome": {"type": ["number", "string", "boolean"], "maxLength": 900},
        "reward": {"type": "number", "minimum": -(2**53), "maximum": 2**53},
    },
    ["request_id", "outcome"],
)
_ROWS = {"rows": {"type": "array", "minItems": 1, "items": {"type": "object"}}}
_OUTCOMES = {"outcomes": {"type": "array", "minItems": 1, "items": _FEEDBACK}}
