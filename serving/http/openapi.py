"""The OpenAPI document, made from the contracts of the models that are served, and a page that shows it.

The page fetches nothing from elsewhere.
"""

from typing import Any

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
        "/v2/repository/index": {"post": _get("Open Inference Protocol: every version, and whether it answers")},
        "/v2": {"get": _get("Open Inference Protocol: server metadata")},
        "/v2/health/live": {"get": _get("Open Inference Protocol: liveness", media=None)},
        "/v2/health/ready": {"get": _get("Open Inference Protocol: readiness", media=None)},
    }
    for name, served in sorted(models.served.items()):
        paths |= _model_paths(name, served.champion.loaded.contract)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Model endpoint", "version": "1"},
        "paths": paths,
        "components": {
            "schemas": {"Error": _ERROR},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _model_paths(name: str, contract: Contract) -> dict[str, Any]:
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
        f"/v1/models/{name}/predict": {"post": _post("Predictions for rows", predict)},
        f"/v1/models/{name}/explain": {"post": _post("The contribution of each field to each answer", explain)},
        f"/v1/models/{name}/feedback": {"post": _post("Report an outcome", _FEEDBACK, status="202")},
        f"/v1/models/{name}/card": {"get": _get("The model card", media="text/markdown")},
        f"/v2/models/{name}": {"get": _get("Open Inference Protocol: inputs and outputs")},
        f"/v2/models/{name}/ready": {"get": _get("Open Inference Protocol: model readiness", media=None)},
        f"/v2/models/{name}/stats": {"get": _get("Open Inference Protocol: statistics")},
        f"/v2/models/{name}/infer": {
            "post": _post("Open Inference Protocol: tensors in, tensors out", _infer(contract))
        },
    }


def _row(contract: Contract) -> dict[str, Any]:
    keys = {name: {} for name in contract.entity}
    fields = {field.name: _field(field) for field in contract.fields}
    required = [] if contract.entity else list(fields)
    return _object(keys | fields, required)


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


def _post(summary: str, schema: dict[str, Any], *, status: str = "200") -> dict[str, Any]:
    refused = {
        "400": "The body cannot be read",
        "413": "The body is too large",
        "415": "The media type is not supported",
        "422": "Rows break the contract",
        "429": "The queue is full; see Retry-After",
        "503": "No version can answer",
        "504": "The deadline passed",
    }
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {_JSON: {"schema": schema}}},
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

PAGE = b"""<!doctype html><meta charset=utf-8><title>Model endpoint</title>
<style>body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}
code,pre{background:#f4f4f4;border-radius:4px;padding:.1em .3em}pre{padding:1em;overflow:auto}
summary{cursor:pointer;padding:.3em 0}b{display:inline-block;width:4em}</style>
<h1>Model endpoint</h1><p>From <a href=openapi.json>openapi.json</a>.</p><div id=all></div>
<script>
const put=(to,name,text)=>{const e=document.createElement(name);if(text)e.textContent=text;to.append(e);return e};
fetch('openapi.json').then(r=>r.json()).then(d=>{for(const [path,by] of Object.entries(d.paths))
for(const [method,op] of Object.entries(by)){const box=put(all,'details'),s=put(box,'summary');
put(s,'b',method.toUpperCase());put(s,'code',path);put(s,'span',' '+op.summary);
const schema=op.requestBody?.content['application/json'].schema;
if(schema)put(box,'pre',JSON.stringify(schema,null,1));
put(box,'p','Answers: '+Object.entries(op.responses).map(([c,r])=>c+' '+r.description).join(' | '))}});
</script>"""
