"""The folder of a trained model: what is in it, how it is written and read. The result is written last."""

import dataclasses
import hashlib
import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlops_assets.declaration.training import NetworkSpec, TrainingSpec
from mlops_assets.domain.records import FoldScore
from mlops_assets.training.layout import Layout
from mlops_assets.training.loop import Fitted
from mlops_assets.training.network import Model, build
from mlops_assets.training.search import TrialResult
from serving.contract.atomic import replace_file

WEIGHTS, LAYOUT, PARAMETERS, RESULT = "weights.npz", "layout.json", "parameters.json", "result.json"
CHECKPOINT, TRIALS = "checkpoint.pt", "trials.log"  # only while it is being trained
_BASELINES, _FOLDS, _OUT_OF_TIME = "baselines", "folds", "out_of_time.npz"


@dataclass(frozen=True)
class Trained:
    """A finished folder and what to tell about it."""

    folder: Path
    digest: str  # of the weights, the layout and the answers of the folds
    parameters: Mapping[str, Any]  # flat: network.width, training.learning_rate, …
    metric: str
    score: float  # on validation
    best_epoch: int
    history: tuple[Mapping[str, float], ...]  # one entry per epoch
    trials: tuple[TrialResult, ...]
    folds: tuple[FoldScore, ...]  # none: the model learnt the train part alone


@dataclass(frozen=True, eq=False)
class FoldAnswers:
    """What one fold made of its test rows."""

    logits: np.ndarray  # [rows, outputs]
    answers: np.ndarray
    baselines: Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class OutOfTime:
    """The test rows' answers by models that had not learnt them, in the order of the test rows."""

    answers: np.ndarray
    fold: np.ndarray  # the number of the fold that scored each row, counted from 1
    baselines: dict[str, np.ndarray]
    scores: tuple[float | None, ...]  # one a fold; none: a fold's rows cannot be measured


def load_model(folder: Path) -> Model:
    """The model of a finished folder, in evaluation mode on the CPU."""
    layout = Layout.from_json((folder / LAYOUT).read_text())
    network = NetworkSpec(**json.loads((folder / PARAMETERS).read_text())["network"])
    model = build(layout, network)
    with np.load(folder / WEIGHTS, allow_pickle=False) as weights:
        model.load_state_dict({name: torch.from_numpy(weights[name]) for name in weights.files})
    return model.eval()


def load_baselines(folder: Path) -> dict[str, np.ndarray]:
    """Name → answers of each baseline on the test rows."""
    found = sorted((folder / _BASELINES).glob("*.npy"))
    return {path.stem: np.load(path, allow_pickle=False) for path in found}


def load_out_of_time(folder: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """The test rows' answers by models that had not learnt them, and each one's fold; none without a refit."""
    if not (folder / _OUT_OF_TIME).exists():
        return None
    with np.load(folder / _OUT_OF_TIME, allow_pickle=False) as kept:
        return kept["answers"], kept["fold"]


def load_fold(folder: Path, number: int) -> FoldAnswers | None:
    """What a fold left before the training was cut off."""
    path = folder / _FOLDS / f"{number}.npz"
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as kept:
        arrays = dict(kept)
    return FoldAnswers(arrays.pop("logits"), arrays.pop("answers"), arrays)


def save_fold(folder: Path, number: int, answered: FoldAnswers) -> None:
    """Keep a finished fold until the training is finished."""
    (folder / _FOLDS).mkdir(exist_ok=True)
    content = _npz({"logits": answered.logits, "answers": answered.answers, **answered.baselines})
    replace_file(folder / _FOLDS / f"{number}.npz", content)


def read_result(folder: Path) -> Trained:
    content = json.loads((folder / RESULT).read_text())
    content["trials"] = tuple(TrialResult(**trial) for trial in content["trials"])
    content["history"] = tuple(content["history"])
    content["folds"] = tuple(_fold_of(fold) for fold in content["folds"])
    return Trained(folder=folder, **content)


def _fold_of(content: Mapping[str, Any]) -> FoldScore:
    moments = {name: content[name] for name in ("learnt_until", "first", "last")}
    read = {name: datetime.fromisoformat(moment) if moment else None for name, moment in moments.items()}
    return FoldScore(**{**content, **read})


def save_baselines(folder: Path, baselines: Mapping[str, np.ndarray]) -> None:
    """Name → answers on the test rows, one file each."""
    (folder / _BASELINES).mkdir(exist_ok=True)
    for name, answers in baselines.items():
        replace_file(folder / _BASELINES / f"{name}.npy", _npy(answers))


def save_out_of_time(folder: Path, found: OutOfTime) -> None:
    """Keep the answers of the folds, and of the baselines in them."""
    replace_file(folder / _OUT_OF_TIME, _npz({"answers": found.answers, "fold": found.fold}))
    save_baselines(folder, found.baselines)


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


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
    folds: tuple[FoldScore, ...],
) -> Trained:
    """Write everything, the result last: a folder with a result is whole."""
    parameters = {"network": network.model_dump(), "training": training.model_dump()}
    replace_file(folder / PARAMETERS, canonical_json(parameters))
    result = {
        "digest": _digest(_save_weights(folder, model), folder),
        "parameters": flatten_parameters(parameters),
        "metric": metric,
        "score": fitted.score,
        "best_epoch": fitted.best_epoch,
        "history": fitted.history,
        "trials": [dataclasses.asdict(trial) for trial in trials],
        "folds": [dataclasses.asdict(fold) for fold in folds],
    }
    replace_file(folder / RESULT, canonical_json(result))
    for left in (folder / TRIALS, *folder.glob("*.pt"), *folder.rglob(".*")):  # a kill may leave half a file aside
        left.unlink(missing_ok=True)
    shutil.rmtree(folder / _FOLDS, ignore_errors=True)
    return read_result(folder)


def _save_weights(folder: Path, model: Model) -> str:
    """The digest of layout and weights, whatever the file format does to them."""
    weights = {name: value.cpu().numpy() for name, value in sorted(model.state_dict().items())}
    layout = model.layout.to_json().encode()
    replace_file(folder / WEIGHTS, _npz(weights))
    replace_file(folder / LAYOUT, layout)
    described = ((name.encode(), str(v.shape).encode(), v.tobytes()) for name, v in weights.items())
    return digest_bytes(layout, *(part for entry in described for part in entry))


def _digest(weights: str, folder: Path) -> str:
    """Of the weights and of the answers by which they are judged."""
    judged = load_out_of_time(folder)
    return weights if judged is None else digest_bytes(weights.encode(), *(array.tobytes() for array in judged))


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
