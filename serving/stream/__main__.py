"""`python -m serving.stream --model <model>`: the endpoint's engine behind a Redis stream instead of HTTP.

The same releases, rows, prediction log and metrics. A small HTTP port answers readiness (/readyz, /livez) and metrics
(/metrics), no prediction. On SIGTERM the messages in hand are answered; the rest stays for other consumers.
"""

import argparse
import asyncio
import logging
import signal
import sys
from typing import Any

import uvicorn

from serving.http.app import EndpointApplication
from serving.http.messages import Receive, Scope, Send, json_response
from serving.settings.endpoint import keep_quiet, read_settings
from serving.settings.streams import StreamSettings, read_stream_settings
from serving.stream.consumer import Consumer
from serving.worker import Worker

_PATHS = frozenset({"/readyz", "/livez", "/healthz", "/metrics", "/releases"})
_STOP = 20  # seconds in which what is in hand is finished


class Application:
    """The HTTP port of a consumer, whose start and stop it drives."""

    def __init__(self, worker: Worker, consumer: Consumer) -> None:
        self._worker, self._consumer = worker, consumer
        self._endpoint = EndpointApplication(_nothing, worker)
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] != "http" or scope["path"] not in _PATHS:
            await _nothing(scope, receive, send)
        elif scope["path"] == "/readyz" and not self._consumer.connected:
            await json_response({"ready": False, "reason": "the broker does not answer"}, status=503).send(send)
        else:
            await self._endpoint(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._worker.start()
                self._running = asyncio.create_task(self._consumer.run())
            else:
                self._consumer.stop()
                if self._running:
                    await asyncio.wait([self._running], timeout=_STOP)
                await self._worker.stop()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return


def application(model: str, settings: StreamSettings, worker: Worker) -> Application:
    """The consumer of one model on a worker."""
    context = worker.context
    consumer = Consumer(
        model,
        settings,
        context.engine,
        worker,
        most_bytes=context.settings.body,
        draining=lambda: context.draining,
    )
    return Application(worker, consumer)


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await json_response({"error": "this port answers readiness and metrics only"}, status=404).send(send)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m serving.stream", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", required=True, help="the model that answers")
    model: str = parser.parse_args(arguments).model
    keep_quiet()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn raises it once more when everything has ended
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stream = read_stream_settings(model)
    app: Any = application(model, stream, Worker(read_settings()))
    uvicorn.run(app, host=stream.host, port=stream.port, lifespan="on", log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
