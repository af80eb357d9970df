"""One worker process: makes the parts, keeps their threads running, lets them go without losing a request."""

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
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from random import Random
from types import FrameType
from typing import Any

from serving import gpu
from serving.bandits import Bandits
from serving.bundle import open_bundle
from serving.config import Settings
from serving.context import Context
from serving.engine import Engine
from serving.feedback import Feedback
from serving.http import Budget
from serving.loaded import load
from serving.log import PredictionLog
from serving.meter import Labels, Meters
from serving.metrics import Gauges, Shared
from serving.models import Models
from serving.release import Arm, Guards, Release, Role, Strategy
from serving.tokens import Tokens

_SWITCH = 0.0005  # seconds a thread may keep the interpreter from the event loop
_log = logging.getLogger("serving.worker")


class Worker:
    """Lives from the server's start-up to its shutdown."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self.context = self._context(settings, secrets.token_hex(4))

    async def start(self) -> None:
        """Load what is released before the first request; then watch."""
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
        self._drain_on_sigterm(loop)
        gc.collect()
        gc.freeze()  # what is there now stays: the collector need not look at it again
        gc.set_threshold(50_000, 20, 50)

    async def stop(self) -> None:
        """After the last request: write everything down."""
        self._stopping.set()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        for thread in self._threads:
            thread.join(timeout=10)
        context = self.context
        context.engine.close()
        if self._prediction_log:
            self._prediction_log.close()
        context.feedback.close()
        self._bandits.settle(self._releases())
        context.metrics.write()

    def _context(self, settings: Settings, worker: str) -> Context:
        self._meters = Meters()
        self._bandits = Bandits(settings.home / "rewards")
        baked = baked_release(settings)
        models = Models(
            settings.releases,
            settings.bundles,
            meters=self._meters,
            load_bundle=partial(load, threads=settings.threads, most_rows=settings.rows),
            baked=baked,
            baked_path=settings.baked,
        )
        self._prediction_log = _prediction_log(settings, worker)
        engine = Engine(
            models,
            worker=worker,
            meters=self._meters,
            log=self._prediction_log,
            draw=Random(settings.seed),
            queue=settings.queue,
            deadline=settings.deadline,
            cache=settings.cache,
            threads=settings.threads,
            rewards=self._bandits.state,
        )
        feedback = Feedback(
            settings.home / "feedback", worker, self._bandits, self._meters,
            most_rows=settings.rows, segment=settings.segment,
        )  # fmt: skip
        return Context(
            worker=worker,
            settings=settings,
            models=models,
            engine=engine,
            feedback=feedback,
            metrics=Shared(self._meters, self._gauges, settings.metrics, worker, os.getpid()),
            tokens=Tokens(settings.tokens),
            budget=Budget(settings.bodies),
            draining=False,
        )

    def _look(self) -> None:
        """What the watching thread does each time."""
        if self.context.models.poll():
            self._open_features()
        self._bandits.settle(self._releases())
        self.context.tokens.reload()

    def _open_features(self) -> None:
        """Feast takes seconds to import: only where a model has its features looked up."""
        settings, engine = self._settings, self.context.engine
        served = self.context.models.served.values()
        keyed = any(arm.loaded.contract.entity for model in served for arm in model.arms.values())
        if keyed and settings.registry and engine.features is None:
            from serving.features import model_clock, open_features

            clock = model_clock(settings.clocks)
            engine.features = open_features(settings.registry, settings.online_store, self._meters, clock)

    def _releases(self) -> list[Release]:
        return [served.release for served in self.context.models.served.values()]

    def _flush(self) -> None:
        """What the writing thread does each time."""
        if self._prediction_log:
            self._prediction_log.flush()
            self._prediction_log.adopt()
        self.context.feedback.flush()
        self.context.feedback.adopt()
        self.context.metrics.write()

    def _repeat(self, work: Any, seconds: float) -> None:
        while not self._stopping.wait(seconds):
            try:
                work()
            except Exception:  # noqa: BLE001 - a thread's border: the next round must come
                _log.exception("%s failed; it goes on", threading.current_thread().name)

    def _drain_on_sigterm(self, loop: asyncio.AbstractEventLoop) -> None:
        """First tell everybody to go elsewhere, then let the server end as it would have."""
        if threading.current_thread() is not threading.main_thread():
            return
        before = signal.getsignal(signal.SIGTERM)

        def handle(number: int, frame: FrameType | None) -> None:
            if self.context.draining or not callable(before):
                signal.signal(signal.SIGTERM, before)
                os.kill(os.getpid(), signal.SIGTERM)
                return
            self.context.draining = True
            loop.call_soon_threadsafe(loop.call_later, self._settings.drain, before, number, frame)

        signal.signal(signal.SIGTERM, handle)

    def _gauges(self) -> Gauges:
        whole = Labels("", "", "")
        context = self.context
        gauges: dict[str, Mapping[Labels, float]] = {
            "waiting": {whole: float(context.engine.waiting)},
            "ready": {whole: float(context.ready)},
            "workers": {whole: 1.0},
            **{name: {whole: value} for name, value in gpu.usage().items()},
        }
        served = context.models.served
        gauges["generation"] = {Labels(n, "", ""): float(s.release.generation) for n, s in served.items()}
        gauges["circuit_open"] = {
            arm.meter.labels: float(arm.breaker.state != "closed") for s in served.values() for arm in s.arms.values()
        }
        self._count_losses()
        return gauges

    def _count_losses(self) -> None:
        counts = self._meters.of("", "", "").counts
        if self._prediction_log:
            for cause, rows in self._prediction_log.lost.items():
                counts["log_lost", cause] = rows
        counts["log_lost", "feedback"] = self.context.feedback.lost


def baked_release(settings: Settings) -> Release | None:
    """A Bento's own bundle, as the release that holds while there is none for its model."""
    if settings.baked is None:
        return None
    bundle = open_bundle(settings.baked)
    arm = Arm("champion", settings.baked_version, bundle.digest, Role.CHAMPION, 1.0)
    return Release(
        model=bundle.contract.model,
        generation=0,
        strategy=Strategy.BLUE_GREEN,
        arms=(arm,),
        guards=Guards(latency_ms=100.0, error_share=0.5),
        bandit=None,
        fallback=None,
        default=None,
        provider=settings.provider,
        salt="baked",
        opened_at=datetime.fromtimestamp(0, UTC),
    )


def _prediction_log(settings: Settings, worker: str) -> PredictionLog | None:
    if not settings.log:
        return None
    folder = settings.home / "predictions"
    return PredictionLog(folder, worker, buffer=settings.buffer, segment=settings.segment, clock=time.time)


def _use_all_files() -> None:
    """A connection is a file: allow as many as the system does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
