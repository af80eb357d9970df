"""The folder of a trained model: what is in it, how it is written and read. The result is written last."""

import dataclasses
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlops_assets.declaration.training import NetworkSpec, TrainingSpec
from mlops_assets.training.layout import Layout
from mlops_assets.training.loop import Fitted
from mlops_assets.training.network import Model, build
from mlops_assets.training.search import TrialResult
from serving.contract.atomic import replace_file

WEIGHTS, LAYOUT, PARAMETERS, RESULT = "weights.npz", "layout.json", "parameters.json", "result.json"
CHECKPOINT, TRIALS = "checkpoint.pt", "trials.log"  # only while it is being trained
_BASELINES = "baselines"


@dataclass(frozen=True)
class Trained:
    """A finished folder and what to tell about it."""

    folder: Path
    digest: str  # of the weights and the layout
    parameters: Mapping[str, Any]  # flat: network.width, training.learning_rate, …
    metric: str
    score: float  # on validation
    best_epoch: int
    history: tuple[Mapping[str, float], ...]  # one entry per epoch
    trials: tuple[TrialResult, ...]


def load_model(folder: Path) -> Model:
    """The model of a finished folder, in evaluation mode on the CPU."""
    layout = Layout.from_json((folder / LAYOUT).read_text())
    network = NetworkSpec(**json.loads((folder / PARAMETERS).read_text())["network"])
    model = build(layout, network)
    with np.load(folder / WEIGHTS, allow_pickle=False) as weights:
        model.load_state_dict({name: torch.from_numpy(weights[name]) for name in weights.files})
    return model.eval()


def load_baselines(folder: Path, part: str) -> dict[str, np.ndarray]:
    """Name → answers of each baseline on the validation or test rows."""
    found = sorted((folder / _BASELINES).glob(f"*-{part}.npy"))
    return {path.stem.removesuffix(f"-{part}"): np.load(path, allow_pickle=False) for path in found}


def read_result(folder: Path) -> Trained:
    content = json.loads((folder / RESULT).read_text())
    content["trials"] = tuple(TrialResult(**trial) for trial in content["trials"])
    content["history"] = tuple(content["history"])
    return Trained(folder=folder, **content)


def save_baselines(folder: Path, baselines: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Name → part → answers, one file each."""
    (folder / _BASELINES).mkdir(exist_ok=True)
    for name, answers in baselines.items():
        for part, values in answers.items():
            replace_file(folder / _BASELINES / f"{name}-{part}.npy", _npy(values))


def _npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    return buffer.getvalue()


def save_result(
    folder: Path,
    model: Model,
    network: NetworkSpec,
    training: TrainingSpec,
    *,
    fitted: Fitted,
    trials: tuple[TrialResult, ...],
    metric: str,
) -> Trained:
    """Write everything, the result last: a folder with a result is whole."""
    parameters = {"network": network.model_dump(), "training": training.model_dump()}
    replace_file(folder / PARAMETERS, canonical_json(parameters))
    result = {
        "digest": _save_weights(folder, model),
        "parameters": flatten_parameters(parameters),
        "metric": metric,
        "score": fitted.score,
        "best_epoch": fitted.best_epoch,
        "history": fitted.history,
        "trials": [dataclasses.asdict(trial) for trial in trials],
    }
    replace_file(folder / RESULT, canonical_json(result))
    for left in (folder / CHECKPOINT, folder / TRIALS, *folder.rglob(".*")):  # a kill may leave half a file aside
        left.unlink(missing_ok=True)
    return read_result(folder)


def _save_weights(folder: Path, model: Model) -> str:
    """The digest of layout and weights, whatever the file format does to them."""
    weights = {name: value.cpu().numpy() for name, value in sorted(model.state_dict().items())}
    buffer = io.BytesIO()
    np.savez(buffer, **weights)
    layout = model.layout.to_json().encode()
    replace_file(folder / WEIGHTS, buffer.getvalue())
    replace_file(folder / LAYOUT, layout)
    described = ((name.encode(), str(v.shape).encode(), v.tobytes()) for name, v in weights.items())
    return digest_bytes(layout, *(part for entry in described for part in entry))


def flatten_parameters(parameters: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """`network.width`, `training.learning_rate`, `network.options.heads`: as runs and versions record them."""
    entries = {f"{group}.{name}": v for group, fields in parameters.items() for name, v in fields.items()}
    options = entries.pop("network.options", {})
    entries |= {f"network.options.{name}": v for name, v in options.items()}
    plain = (bool, int, float, str)
    return {n: v if isinstance(v, plain) else str(v) for n, v in entries.items() if v is not None}


def canonical_json(value: Any) -> bytes:
    """The same bytes for the same value."""
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, default=str).encode()


def digest_bytes(*parts: bytes) -> str:
    summary = hashlib.sha256()
    for part in parts:
        summary.update(len(part).to_bytes(8, "big"))
        summary.update(part)
    return summary.hexdigest()
