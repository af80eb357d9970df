"""The clock: wall time, or for a model that lives in the past (`replay:`) a moment that a demonstration moves on."""

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.resources.lake.files import put_bytes


class Clock(dg.ConfigurableResource["Clock"]):
    """Says what "now" is for a model."""

    folder: str

    def now(self, spec: ModelSpec) -> datetime:
        """Wall time, or where the model's replay stands."""
        if spec.replay is None:
            return datetime.now(UTC)
        moved = self._file(spec.model)
        return datetime.fromisoformat(moved.read_text()) if moved.exists() else spec.replay

    def move(self, spec: ModelSpec, moment: datetime) -> None:
        """Set a replay on to `moment`. Time only goes forward."""
        if spec.replay is None:
            raise ValueError(f"{spec.model} lives on wall time: declare `replay:` to move its clock")
        if moment < self.now(spec):
            raise ValueError(f"{spec.model}: its clock stands at {self.now(spec)}, it cannot go back to {moment}")
        put_bytes(str(self._file(spec.model)), moment.isoformat().encode())

    def _file(self, model: str) -> Path:
        return Path(self.folder) / f"{model}.txt"
