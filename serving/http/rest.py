"""The plain REST door: predict, explain, feedback, releases, card.

Turns requests into calls of the engine and answers into JSON or Arrow. Decides nothing.
"""

import math
from typing import Any

from serving.doors.bodies import parse_json
from serving.doors.context import Context
from serving.doors.named_rows import ROWS_RULE, read_named_rows, write_named_rows
from serving.doors.options import DEADLINE_RULE, LONGEST_DEADLINE, header_key
from serving.doors.releases import describe_releases
from serving.engine.answer import Answer
from serving.engine.explain import explain
from serving.http.arrow import read_table, write_answer
from serving.http.messages import ARROW, JSON, Request, Response, json_response
from serving.models.served_models import ServedModel
from serving.problems import Problem, RequestRefused
from serving.rows.row_shapes import RequestRows, TableRows

KEY = b"x-request-key"  # callers with the same key get the same arm


async def predict(context: Context, request: Request) -> Response:
    """`{"rows": [{field: value}]}` or an Arrow stream → predictions, in the same format."""
    body = await request.body(context.settings.body, context.budget)
    if _is_arrow(request):
        given = TableRows(read_table(body, context.settings.body))
        return write_answer(await _infer(context, request, request.params[0], given, key=None))
    return await predict_rows(context, request, request.params[0], parse_json(body))


async def predict_rows(context: Context, request: Request, model: str, content: Any) -> Response:
    """Predictions for the rows of a JSON body."""
    given, key = read_named_rows(content)
    return Response(write_named_rows(await _infer(context, request, model, given, key=key)))


async def explained(context: Context, request: Request) -> Response:
    """`{"rows": […], "method": "occlusion" | "shapley"}` → what each field did to each answer."""
    content = parse_json(await request.body(context.settings.body, context.budget))
    return await explain_rows(context, request, request.params[0], content)


async def explain_rows(context: Context, request: Request, model: str, content: Any) -> Response:
    """Explanations of the answers to the rows of a JSON body."""
    if not isinstance(content, dict) or not isinstance(content.get("rows"), list):
        raise RequestRefused(ROWS_RULE, status=422)
    key = header_key(request.headers.get(KEY))
    if key is not None:
        content.setdefault("key", key)
    return json_response(await explain(context.engine, context.engine.served(model), content))


async def feedback(context: Context, request: Request) -> Response:
    """`{"request_id", "row", "outcome"}`, or a list of them → how many were accepted."""
    served = context.engine.served(request.params[0])
    content = parse_json(await request.body(context.settings.body, context.budget))
    return take_outcomes(context, served, content if isinstance(content, list) else [content])


def take_outcomes(context: Context, served: ServedModel, outcomes: list[Any]) -> Response:
    return json_response({"accepted": context.feedback.take(served, outcomes)}, status=202)


async def releases(context: Context, request: Request) -> Response:
    """The release of every model on this worker, and why a newer one is not served."""
    here = request.scope.get("server") or (None, None)
    return json_response(describe_releases(context, *here))


async def card(context: Context, request: Request) -> Response:
    served = context.engine.served(request.params[0])
    text = served.champion.loaded.bundle.card.encode()
    return Response(text, type=b"text/markdown; charset=utf-8")


async def _infer(context: Context, request: Request, model: str, rows: RequestRows, *, key: str | None) -> Answer:
    return await context.engine.infer(
        model,
        rows,
        key=key or header_key(request.headers.get(KEY)),
        deadline=header_deadline(request),
        began=request.began,
    )


def header_deadline(request: Request) -> float | None:
    """`x-deadline-ms`, as seconds."""
    text = request.headers.get(b"x-deadline-ms")
    if text is None:
        return None
    try:
        milliseconds = float(text)
    except ValueError:
        milliseconds = math.nan
    if not 1 <= milliseconds <= LONGEST_DEADLINE:
        raise RequestRefused([Problem("x-deadline-ms", None, DEADLINE_RULE)])
    return milliseconds / 1_000


def _is_arrow(request: Request) -> bool:
    kind = request.headers.get(b"content-type")
    if kind is None or kind == JSON:
        return False
    plain = kind.partition(b";")[0].strip().lower()
    if plain == ARROW:
        return True
    if plain == JSON:
        return False
    raise RequestRefused(
        f"the body is application/json or {ARROW.decode()}, not {plain[:60].decode('latin-1')}",
        status=415,
        kind="media_type",
    )
