"""The parts of one worker, as every door uses them. `worker.py` puts them together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from serving.doors.bodies import Budget
from serving.doors.pressure import Pressure
from serving.doors.tokens import Tokens
from serving.engine.engine import Engine
from serving.log.feedback import Feedback
from serving.models.served_models import ServedModels
from serving.settings.endpoint import Settings
from serving.telemetry.metrics import SharedMetrics


@dataclass
class Door:
    """A port of its own, besides the one that the server listens on."""

    protocol: str
    host: str
    port: int
    trouble: str | None = None  # why the port is not open


@dataclass
class Context:
    worker: str
    settings: Settings
    models: ServedModels
    engine: Engine
    feedback: Feedback
    metrics: SharedMetrics
    tokens: Tokens
    budget: Budget
    pressure: Pressure
    draining: bool  # SIGTERM came: callers should use another worker
    doors: Sequence[Door] = ()
    arrived: Callable[[Any, Any], None] | None = None  # takes a caller's traceparent and tracestate; none: no traces

    @property
    def ready(self) -> bool:
        return self.models.ready and not self.draining and not self.shut

    @property
    def shut(self) -> dict[str, str]:
        """The doors that should be open and are not, each with its reason."""
        return {door.protocol: door.trouble for door in self.doors if door.trouble}
