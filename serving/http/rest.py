"""The plain REST door: predict, explain, feedback, releases, card.

Turns requests into calls of the engine and answers into JSON or Arrow. Decides nothing.
"""

import math

from serving.doors.bodies import parse_json
from serving.doors.context import Context
from serving.doors.named_rows import ROWS_RULE, read_named_rows, write_named_rows
from serving.doors.options import DEADLINE_RULE, LONGEST_DEADLINE, header_key
from serving.doors.releases import describe_releases
from serving.engine.explain import explain
from serving.http.arrow import read_table, write_answer
from serving.http.messages import ARROW, JSON, Request, Response, json_response
from serving.problems import Problem, RequestRefused
from serving.rows.row_shapes import TableRows

KEY = b"x-request-key"  # callers with the same key get the same arm


async def predict(context: Context, request: Request) -> Response:
    """`{"rows": [{field: value}]}` or an Arrow stream → predictions, in the same format."""
    model = request.params[0]
    body = await request.body(context.settings.body, context.budget)
    arrow = _is_arrow(request)
    if arrow:
        given, key = TableRows(read_table(body, context.settings.body)), None
    else:
        given, key = read_named_rows(parse_json(body))
    answer = await context.engine.infer(
        model,
        given,
        key=key or header_key(request.headers.get(KEY)),
        deadline=header_deadline(request),
        began=request.began,
    )
    return write_answer(answer) if arrow else Response(write_named_rows(answer))


async def explained(context: Context, request: Request) -> Response:
    """`{"rows": […], "method": "occlusion" | "shapley"}` → what each field did to each answer."""
    content = parse_json(await request.body(context.settings.body, context.budget))
    if not isinstance(content, dict) or not isinstance(content.get("rows"), list):
        raise RequestRefused(ROWS_RULE, status=422)
    served = context.engine.served(request.params[0])
    key = header_key(request.headers.get(KEY))
    if key is not None:
        content.setdefault("key", key)
    return json_response(await explain(context.engine, served, content))


async def feedback(context: Context, request: Request) -> Response:
    """`{"request_id", "row", "outcome"}`, or a list of them → how many were accepted."""
    model = request.params[0]
    served = context.engine.served(model)
    content = parse_json(await request.body(context.settings.body, context.budget))
    taken = context.feedback.take(served, content if isinstance(content, list) else [content])
    return json_response({"accepted": taken}, status=202)


async def releases(context: Context, request: Request) -> Response:
    """The release of every model on this worker, and why a newer one is not served."""
    here = request.scope.get("server") or (None, None)
    return json_response(describe_releases(context, *here))


async def card(context: Context, request: Request) -> Response:
    served = context.engine.served(request.params[0])
    text = served.champion.loaded.bundle.card.encode()
    return Response(text, type=b"text/markdown; charset=utf-8")


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
