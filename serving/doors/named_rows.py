"""The JSON body of `predict` and of its answer, which the REST door and the streams share."""

from typing import Any

import orjson

from serving.doors.options import KEY_RULE, is_key
from serving.engine.answer import Answer, list_by_row, list_predictions
from serving.problems import Problem, RequestRefused
from serving.rows.row_shapes import NamedRows, RequestRows

ROWS_RULE = 'the body must be an object {"rows": [{field: value, …}, …]}'
_FIELDS = frozenset({"rows", "key"})


def read_named_rows(content: Any) -> tuple[RequestRows, str | None]:
    """The rows of a body and the key that routes them."""
    if type(content) is not dict or type(rows := content.get("rows")) is not list:
        raise RequestRefused(ROWS_RULE, status=422)
    if len(content) == 1:
        return NamedRows(rows), None
    if unknown := sorted(content.keys() - _FIELDS):
        raise RequestRefused([Problem(name[:100], None, "is unknown; a body has rows and key") for name in unknown])
    if not is_key(content["key"]):
        raise RequestRefused([Problem("key", None, KEY_RULE)], status=422)
    return NamedRows(rows), content["key"]


def write_named_rows(answer: Answer) -> bytes:
    content: dict[str, Any] = {
        "request_id": answer.request_id,
        "model": answer.model,
        "version": answer.version,
        "arm": answer.arm,
        "provider": answer.provider,
        "degraded": answer.degraded,
        "predictions": list_predictions(answer),
    }
    if answer.parts:
        content |= {f"{field}s": list_by_row(answer, field) for field in ("arm", "version")}
    if answer.why:
        content["why"] = answer.why
    if answer.notes:
        content["notes"] = answer.notes
    return orjson.dumps(content)
