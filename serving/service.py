"""The BentoML service, which builds, serves and makes containers as any other. Our application gets its requests first.

`bentoml serve serving.service:Endpoint`, or a Bento built from it. BentoML's own request path is slow (see
infra/adr), so the worker hands its server an application that answers our routes itself and passes on the rest.
"""

import os
import sys
from typing import Annotated, Any, Literal

import bentoml
import orjson
from pydantic import Field
from uvicorn.config import HTTP_PROTOCOLS

from serving.doors.context import Context
from serving.doors.named_rows import write_named_rows
from serving.engine.explain import explain
from serving.http.app import EndpointApplication as Application
from serving.settings.endpoint import keep_quiet, read_settings
from serving.settings.tls import read_tls
from serving.worker import Worker

keep_quiet()
_settings = read_settings()
_workers: list[Worker] = []
_Model = Annotated[str, Field(description="The model's name.", examples=["flight_delay"])]
_Rows = Annotated[
    list[dict[str, Any]], Field(description="The rows, each with its fields by name.", examples=[[{"distance": 733.0}]])
]
_Key = Annotated[str | None, Field(description="Callers with the same key get the same arm.", examples=["traveller 7"])]
_Method = Annotated[Literal["occlusion", "shapley"], Field(description="How a field's part in an answer is measured.")]
_Outcomes = Annotated[
    list[dict[str, Any]],
    Field(
        description="What happened: request_id of the answer, row within it, outcome or reward.",
        examples=[[{"request_id": "…", "row": 0, "outcome": 1}]],
    ),
]


class FrontedService(bentoml.Service):
    """A service whose application is ours, with BentoML's behind it."""

    def to_asgi(self, is_main: bool = True) -> Any:
        inner = super().to_asgi(is_main=is_main)
        HTTP_PROTOCOLS["auto"] = "serving.http.connections:Connection"  # what BentoML asks uvicorn for
        if not is_main:
            return inner
        _workers.append(Worker(_settings, parent=os.getppid(), tls=read_tls(sys.argv)))
        return Application(inner, _workers[-1])


class _Models:
    """Serves every model that has a release: predictions, explanations, feedback, Open Inference Protocol.

    On the wire the application in front answers these routes; the methods answer who calls the service in Python.
    """

    @bentoml.api
    async def predict(self, model: _Model, rows: _Rows, key: _Key = None) -> dict[str, Any]:
        """Predictions for rows, with the version that answered."""
        answer = await _context().engine.infer(model, rows, key=key)
        return orjson.loads(write_named_rows(answer))

    @bentoml.api
    async def explain(self, model: _Model, rows: _Rows, method: _Method = "occlusion") -> dict[str, Any]:
        """What each field did to each answer."""
        engine = _context().engine
        return await explain(engine, engine.served(model), {"rows": rows, "method": method})

    @bentoml.api
    async def feedback(self, model: _Model, outcomes: _Outcomes) -> dict[str, int]:
        """Outcomes of answers that were given before; returns how many were accepted."""
        context = _context()
        return {"accepted": context.feedback.take(context.engine.served(model), outcomes)}


def _context() -> Context:
    if not _workers:
        raise RuntimeError("the endpoint answers while it is served: start it with `bentoml serve`")
    return _workers[-1].context


Endpoint = FrontedService(
    name="endpoint",
    inner=_Models,
    config={
        "workers": _settings.workers,
        "traffic": {"timeout": 60},
        "metrics": {"enabled": True},
        "logging": {"access": {"enabled": False}},
    },
)
