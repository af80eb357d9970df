"""The routes that BentoML's own clients call: as the REST door, with the model's name in the body.

`serving/service.py` declares them, so that clients know them by the service's schema; here they are answered.
"""

from typing import Any

from serving.doors.bodies import parse_json
from serving.doors.context import Context
from serving.http.messages import Request, Response
from serving.http.rest import explain_rows, predict_rows, take_outcomes
from serving.problems import RequestRefused


async def predict(context: Context, request: Request) -> Response:
    model, content = await _read(context, request)
    try:
        return await predict_rows(context, request, model, content)
    except RequestRefused as err:
        context.engine.note_refusal(model, err)
        raise


async def explained(context: Context, request: Request) -> Response:
    model, content = await _read(context, request)
    return await explain_rows(context, request, model, content)


async def feedback(context: Context, request: Request) -> Response:
    model, content = await _read(context, request)
    outcomes = content.get("outcomes")
    if not isinstance(outcomes, list):
        raise RequestRefused('the body must be an object {"model": name, "outcomes": [{…}, …]}', status=422)
    return take_outcomes(context, context.engine.served(model), outcomes)


async def _read(context: Context, request: Request) -> tuple[str, dict[str, Any]]:
    """The model that a body names, and the rest of it. BentoML's clients send null for what is left out."""
    content = parse_json(await request.body(context.settings.body, context.budget))
    if not isinstance(content, dict) or not isinstance(content.get("model"), str):
        raise RequestRefused('the body must be an object with the name of the model: {"model": name, …}', status=422)
    rest = {name: value for name, value in content.items() if value is not None}
    return rest.pop("model"), rest
