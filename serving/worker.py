"""One worker process: makes the parts, runs their threads, and stops them without losing a request."""

import asyncio
import gc
import logging
import os
import resource
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from ssl import SSLContext
from types import FrameType
from typing import Any

from serving.doors.bodies import SLOWEST, Budget
from serving.doors.context import Context, Door
from serving.doors.pressure import Pressure
from serving.doors.tokens import Tokens
from serving.engine.engine import Engine
from serving.features.clock import open_model_clock
from serving.http.connections import Sweep, stop_accepting
from serving.log.logs import Logs
from serving.models.baked import open_baked_release
from serving.models.bandits import Bandits
from serving.models.loaded_model import load_model
from serving.models.request_ids import open_request_ids
from serving.models.served_models import ServedModel, ServedModels
from serving.settings.endpoint import Settings
from serving.telemetry import gpu
from serving.telemetry.meter import Labels, Meters
from serving.telemetry.metrics import Gauges, SharedMetrics, claim_metrics_folder

GRPC = "Open Inference Protocol v2 over gRPC"
_SWEEP = 1.0  # seconds between two looks at the connections
_SWITCH = 0.0005  # seconds a thread may keep the interpreter from the event loop
_log = logging.getLogger("serving.worker")


class Worker:
    """Lives from the server's start-up to its shutdown."""

    def __init__(self, settings: Settings, *, parent: int | None = None, tls: SSLContext | None = None) -> None:
        """`parent`: the process without which this one ends; none: it runs alone. `tls`: of the gRPC port."""
        self._settings, self._parent, self._tls = settings, parent, tls
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._doors: list[Any] = []
        self._traces: Any = None
        self._taken_up: dict[str, tuple[int, float]] = {}
        self.context = self._context(settings, secrets.token_hex(4))

    async def start(self) -> None:
        """Load every release before the first request; then watch for changes."""
        loop = asyncio.get_running_loop()
        _use_all_files()
        logging.getLogger("uvicorn.access").propagate = False  # nobody reads it; every request would pay
        sys.setswitchinterval(_SWITCH)
        self.context.engine.attach(loop)
        await asyncio.to_thread(self._look)
        for name, work, seconds in (
            ("watch", self._look, self._settings.poll),
            ("flush", self._flush, self._settings.flush),
        ):
            thread = threading.Thread(target=self._repeat, args=(work, seconds), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)
        self._logs.start(self._settings.flush)
        self._drain_on_sigterm(loop)
        await self._open_doors()
        self._sweep(loop, Sweep(SLOWEST))
        self.context.pressure.beat(loop)
        gc.collect()
        gc.freeze()  # what is there now stays: the collector need not look at it again
        gc.set_threshold(50_000, 20, 50)

    async def stop(self) -> None:
        """After the last request: write everything down."""
        for door in self._doors:
            await door.stop()
        await self.context.engine.leave()
        self._stopping.set()
        await asyncio.to_thread(self._close)

    async def _open_doors(self) -> None:
        for door in self.context.doors:
            from serving.grpc.door import GrpcDoor  # imported only where it is used

            self._doors.append(GrpcDoor(self.context, door, self._tls))
            await self._doors[-1].start()

    def write_down(self) -> bool:
        """Put the log's rows on disk now; False where some were lost since the last time."""
        return self._logs.write_down()

    def _close(self) -> None:
        for thread in self._threads:
            thread.join(timeout=10)
        context = self.context
        context.engine.close()
        self._logs.close()
        self._bandits.settle(self._served())
        context.metrics.write()
        if self._traces:
            self._traces.shutdown()

    def _context(self, settings: Settings, worker: str) -> Context:
        self._meters = Meters()
        self._bandits = Bandits(settings.home / "rewards", settings.home / "feedback")
        ids = open_request_ids(settings.id_secret, settings.home / "request-ids.key")
        self._model_now = open_model_clock(settings.clocks)
        baked = open_baked_release(settings)
        models = ServedModels(
            settings.releases,
            settings.bundles,
            meters=self._meters,
            load_bundle=partial(load_model, threads=settings.threads, most_rows=settings.rows),
            baked=baked,
            baked_path=settings.baked,
            drain=settings.drain,
        )
        self._logs = Logs(settings, worker, ids=ids, meters=self._meters, now=self._model_now)
        make, arrived = self._engine_kind(worker)
        engine = make(
            models,
            worker=worker,
            meters=self._meters,
            log=self._logs.answers,
            refusals=self._logs.refusals,
            draw=Random(settings.seed),
            queue=settings.queue,
            deadline=settings.deadline,
            cache=settings.cache,
            threads=settings.threads,
            ids=ids,
            rewards=self._bandits.state,
            now=self._model_now,
        )
        return Context(
            worker=worker,
            settings=settings,
            models=models,
            engine=engine,
            feedback=self._logs.feedback,
            metrics=SharedMetrics(
                self._meters, self._gauges, claim_metrics_folder(settings.metrics), worker, os.getpid()
            ),
            tokens=Tokens(settings.tokens),
            budget=Budget(settings.bodies),
            pressure=Pressure(settings.deadline / 2),
            draining=False,
            doors=[Door(GRPC, settings.grpc_host, settings.grpc_port)] if settings.grpc_port else [],
            arrived=arrived,
        )

    def _engine_kind(self, worker: str) -> tuple[Callable[..., Engine], Callable[[Any, Any], None] | None]:
        """The plain engine, or the traced one. OpenTelemetry is imported only for that."""
        if self._settings.traces is None:
            return Engine, None
        from serving.engine.tracing import TracedEngine, open_provider, take_caller_trace

        self._traces = open_provider(self._settings.traces, worker)
        return partial(TracedEngine, tracer=self._traces.get_tracer("serving")), take_caller_trace

    def _sweep(self, loop: asyncio.AbstractEventLoop, sweep: Sweep) -> None:
        sweep(loop.time())
        loop.call_later(_SWEEP, self._sweep, loop, sweep)

    def _look(self) -> None:
        """What the watching thread does each time."""
        if self._parent and os.getppid() != self._parent:
            self._parent = None
            _log.error("the server that started this worker is gone; it makes room for the next one's")
            os.kill(os.getpid(), signal.SIGTERM)
        if self.context.models.poll():
            self._bandits.settle(self._served())
            self._open_features()
        self.context.tokens.reload()

    def _open_features(self) -> None:
        """Feast takes seconds to import: only where a model has its features looked up."""
        settings, engine = self._settings, self.context.engine
        served = self.context.models.served.values()
        keyed = any(arm.loaded.contract.entity for model in served for arm in model.arms.values())
        if keyed and engine.completion.features is None and settings.has_features:
            from serving.features.online import open_features

            engine.completion.features = open_features(
                settings.registry, settings.online_store, self._meters, self._model_now
            )

    def _served(self) -> list[ServedModel]:
        return list(self.context.models.served.values())

    def _flush(self) -> None:
        """What the writing thread does each time."""
        self._logs.flush()
        self._bandits.settle(self._served())
        self.context.metrics.write()

    def _repeat(self, work: Any, seconds: float) -> None:
        while not self._stopping.wait(seconds):
            try:
                work()
            except Exception:  # noqa: BLE001 - a thread's border: the next round must come
                _log.exception("%s failed; it goes on", threading.current_thread().name)

    def _drain_on_sigterm(self, loop: asyncio.AbstractEventLoop) -> None:
        """First report that the worker drains, then let the server end as it would have."""
        if threading.current_thread() is not threading.main_thread():
            return
        before = signal.getsignal(signal.SIGTERM)

        def handle(number: int, frame: FrameType | None) -> None:
            if self.context.draining or not callable(before):
                signal.signal(signal.SIGTERM, before)
                os.kill(os.getpid(), signal.SIGTERM)
                return
            self.context.draining = True
            loop.call_soon_threadsafe(loop.call_later, self._settings.drain, leave, number, frame)

        def leave(number: int, frame: FrameType | None) -> None:
            stop_accepting()
            if callable(before):
                before(number, frame)

        signal.signal(signal.SIGTERM, handle)

    def _gauges(self) -> Gauges:
        whole = Labels("", "", "")
        context = self.context
        gauges: dict[str, Mapping[Labels, float]] = {
            "waiting": {whole: float(context.engine.waiting)},
            "ready": {whole: float(context.ready)},
            "workers": {whole: 1.0},
            **{name: {whole: value} for name, value in gpu.read_gpu_usage().items()},
        }
        served, troubles = context.models.served, context.models.troubles
        gauges["behind"] = {Labels(n, "", ""): float(n in troubles) for n in (*served, *troubles)}
        gauges["loaded_unixtime"] = {Labels(n, "", ""): self._since(n, s.release.generation) for n, s in served.items()}
        gauges["generation"] = {Labels(n, "", ""): float(s.release.generation) for n, s in served.items()}
        gauges["circuit_open"] = {
            arm.meter.labels: float(arm.breaker.state != "closed") for s in served.values() for arm in s.arms.values()
        }
        self._count_losses()
        return gauges

    def _since(self, model: str, generation: int) -> float:
        """The time at which this worker began to serve the generation."""
        if self._taken_up.get(model, (None, 0.0))[0] != generation:
            self._taken_up[model] = (generation, time.time())
        return self._taken_up[model][1]

    def _count_losses(self) -> None:
        counts = self._meters.of("", "", "").counts
        for cause, rows in self._logs.count_losses().items():
            counts["log_lost", cause] = rows


def _use_all_files() -> None:
    """A connection is a file: allow as many as the system does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
