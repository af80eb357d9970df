"""What a training run needs to go on after a kill, and how it is written. No pickle is ever executed."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from serving.contract.atomic import replace_file


@dataclass(frozen=True)
class Checkpoint:
    """State after a whole epoch. Every epoch draws from its own seed, so no generator needs to be kept."""

    epoch: int  # epochs done
    model: Mapping[str, Tensor]
    optimiser: Mapping[str, Any]
    best: Mapping[str, Tensor]  # the model after its best epoch
    history: list[dict[str, float]]  # one entry per epoch


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    buffer = io.BytesIO()
    torch.save(dict(vars(checkpoint)), buffer)
    replace_file(path, buffer.getvalue())


def load_checkpoint(path: Path | None, device: torch.device) -> Checkpoint | None:
    """None where there is none."""
    if path is None or not path.exists():
        return None
    return Checkpoint(**torch.load(path, map_location=device, weights_only=True))
