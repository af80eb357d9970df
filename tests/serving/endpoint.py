"""The endpoint for tests: in this process over ASGI, or as a real process under BentoML."""

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from serving.http.app import EndpointApplication
from serving.settings.endpoint import read_settings
from serving.worker import Worker

PROJECT = Path(__file__).parents[2]


async def nothing_inside(scope: Any, receive: Any, send: Any) -> None:
    """Stands where BentoML's application does."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b"inner"})


async def _let_others_run(request: httpx.Request) -> None:
    """Nothing between this client and the application waits, so the loop's timers would never come up."""
    await asyncio.sleep(0)  # takes up the timers that are due
    await asyncio.sleep(0)  # runs them: the worker's beat is of this moment, however long the test kept the loop


@asynccontextmanager
async def in_process(home: Path, **settings: str) -> AsyncIterator[tuple[httpx.AsyncClient, Worker]]:
    """A client and the worker it talks to; threads run as in a real one."""
    quick = {"MLOPS_HOME": str(home), "ENDPOINT_POLL_SECONDS": "0.02", "ENDPOINT_GRPC_PORT": "off"}
    worker = Worker(read_settings(quick | settings))
    app = EndpointApplication(nothing_inside, worker)
    await worker.start()
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
    try:
        hooks = {"request": [_let_others_run]}
        async with httpx.AsyncClient(transport=transport, base_url="http://endpoint", event_hooks=hooks) as client:
            yield client, worker
    finally:
        await worker.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """`bentoml serve` with its workers, in a process group of its own."""

    def __init__(
        self,
        home: Path,
        settings: Mapping[str, str] = {},
        *,
        options: Sequence[str] = (),
        tls: ssl.SSLContext | None = None,
        patience: float = 40,
    ) -> None:
        """`options` are those of `bentoml serve`; `tls` is the caller's side of what they ask for."""
        self.port, self.grpc_port, self.home, self._tls = free_port(), free_port(), home, tls
        self.patience = patience  # seconds until it has to be ready
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._output = (home / "serve.log").open("ab")
        own = {"MLOPS_HOME": str(home), "PYTHONPATH": str(PROJECT), "ENDPOINT_GRPC_PORT": str(self.grpc_port)}
        environment = {**os.environ, **own, **settings}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bentoml", "serve", "serving.service:Endpoint", "--host", "127.0.0.1",
             "--port", str(self.port), *options],
            cwd=PROJECT, env=environment, stdout=self._output, stderr=self._output, start_new_session=True,
        )  # fmt: skip

    def __enter__(self) -> "Process":
        try:
            self.wait_ready(self.patience)
        except BaseException:
            self.stop()  # a supervisor starts failing workers for ever
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    def stop(self) -> None:
        """End the supervisor with its workers."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self._output.close()

    def wait_ready(self, seconds: float = 40) -> float:
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            try:
                if httpx.get(f"{self.url}/readyz", timeout=2, verify=self._tls or True).status_code == 200:
                    return time.monotonic() - began
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise TimeoutError((self.home / "serve.log").read_text()[-3_000:])

    def workers(self) -> list[int]:
        children = psutil.Process(self.process.pid).children(recursive=True)
        alive = [p for p in children if p.status() != psutil.STATUS_ZOMBIE]
        return [p.pid for p in alive if "_bentoml_impl.worker.service" in " ".join(p.cmdline())]
