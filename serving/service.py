"""The BentoML service, which builds, serves and makes containers as any other. Our application gets its requests first.

`bentoml serve serving.service:Endpoint`, or a Bento built from it. BentoML's own request path is slow (see
infra/adr), so the worker hands its server an application that answers our routes itself and passes on the rest.
"""

import os
import sys
from typing import Any

import bentoml
from uvicorn.config import HTTP_PROTOCOLS

from serving.http.app import EndpointApplication as Application
from serving.settings.endpoint import keep_quiet, read_settings
from serving.settings.tls import read_tls
from serving.worker import Worker

keep_quiet()
_settings = read_settings()


class FrontedService(bentoml.Service):
    """A service whose application is ours, with BentoML's behind it."""

    def to_asgi(self, is_main: bool = True) -> Any:
        inner = super().to_asgi(is_main=is_main)
        HTTP_PROTOCOLS["auto"] = "serving.http.connections:Connection"  # what BentoML asks uvicorn for
        return Application(inner, Worker(_settings, parent=os.getppid(), tls=read_tls(sys.argv))) if is_main else inner


class _Models:
    """Serves every model that has a release: predictions, explanations, feedback, Open Inference Protocol."""


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
