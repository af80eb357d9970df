"""What a door needs: the parts of one worker, put together by `worker.py`."""

from dataclasses import dataclass

from serving.config import Settings
from serving.engine import Engine
from serving.feedback import Feedback
from serving.http import Budget
from serving.metrics import Shared
from serving.models import Models
from serving.tokens import Tokens


@dataclass
class Context:
    worker: str
    settings: Settings
    models: Models
    engine: Engine
    feedback: Feedback
    metrics: Shared
    tokens: Tokens
    budget: Budget
    draining: bool  # SIGTERM came: callers should go elsewhere

    @property
    def ready(self) -> bool:
        return self.models.ready and not self.draining
