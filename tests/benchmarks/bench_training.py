"""What training costs: an epoch against pre-made tensors; a search of 20 trials against one full training.

Ratios are of one run, medians of interleaved rounds; seconds are told, not demanded.
"""

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.training import NetworkSpec, SearchSpec
from mlops_assets.domain.evaluation.metrics import METRICS
from mlops_assets.domain.records import Inputs, TrainingSet
from mlops_assets.training.fits.task import Declared
from mlops_assets.training.fitting import learn_layout
from mlops_assets.training.loop import batch_size, fit
from mlops_assets.training.network import Model, build
from mlops_assets.training.rows import on_device, pack
from mlops_assets.training.steps import device_of, learning_rate, loss_of, optimiser_of, reproducible
from mlops_assets.training.train import Progress, train
from tests.training.synthetic import SEARCH, TRAINING, training_set

ROWS, NUMBERS, CATEGORIES, ROUNDS = 60_000, 18, 6, 5
EPOCH_GOAL, SEARCH_GOAL = 0.9, 8.0
NETWORK = NetworkSpec(type="tabular", width=128, depth=2, dropout=0.3, embedding=8, bins=32, options={})
SPEC = dataclasses.replace(TRAINING, epochs=12, batch_size=2048, learning_rate=2e-3, weight_decay=0.1, patience=12)
INPUTS = Inputs(tuple(f"n{i}" for i in range(NUMBERS)), tuple(f"c{i}" for i in range(CATEGORIES)))


def table(rows: int, seed: int) -> pa.Table:
    draw = np.random.default_rng(seed)
    numbers, groups = draw.normal(size=(rows, NUMBERS)), draw.integers(0, 50, (rows, CATEGORIES))
    strength = numbers[:, 0] * numbers[:, 1] + np.sin(3 * numbers[:, 2]) + (groups[:, 0] % 5 == 0)
    columns = {name: numbers[:, i] for i, name in enumerate(INPUTS.numbers)}
    columns |= {name: groups[:, i].astype(str) for i, name in enumerate(INPUTS.categories)}
    return pa.table({**columns, "label": (strength + draw.normal(size=rows) > 0.5).astype(np.int64)})


def plain_epoch(model: Model, batches: list[tuple[torch.Tensor, ...]]) -> None:
    """The least a training epoch can be: the same arithmetic on tensors that were sliced before."""
    optimiser = optimiser_of(model, SPEC)
    model.train()
    for step, (numbers, codes, targets) in enumerate(batches):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(SPEC, step, len(batches) * SPEC.epochs)
        optimiser.zero_grad(set_to_none=True)
        loss_of(model(numbers, codes), targets, Kind.BINARY, None).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()


def epoch_times(device: torch.device) -> tuple[float, float]:
    """Median seconds of an epoch: pre-made tensors, ours (its validation is one row)."""
    rows = pack(table(ROWS, 0), INPUTS)
    layout = learn_layout(rows, INPUTS, Kind.BINARY, classes=("no", "yes"), bins=NETWORK.bins, transform="none")
    data = on_device(rows, layout, device)
    few = on_device(rows.take(slice(0, 64)), layout, device)
    size = batch_size(SPEC, ROWS)
    batches = [
        tuple(t[start : start + size].clone() for t in (data.numbers, data.codes, data.targets))
        for start in range(0, ROWS, size)
    ]
    model = build(layout, NETWORK).to(device)
    one_epoch = SPEC.with_changes(epochs=1)

    def plain() -> None:
        with reproducible(device):
            plain_epoch(model, batches)

    def ours() -> None:
        fit(model, data, few, spec=one_epoch, metric=METRICS["auc"])

    return medians(plain, ours, device)


def medians(first: Callable[[], None], second: Callable[[], None], device: torch.device) -> tuple[float, float]:
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for work, kept in zip((first, second), times, strict=True):
            began = time.perf_counter()
            work()
            if device.type == "cuda":
                torch.cuda.synchronize()
            kept.append(time.perf_counter() - began)
    return statistics.median(times[0]), statistics.median(times[1])


def search_times() -> tuple[float, float]:
    """Seconds of one full training and of a search of 20 trials with the default shares."""
    found: TrainingSet = dataclasses.replace(training_set(Kind.BINARY), inputs=INPUTS)
    tables = {"train": table(ROWS, 0), "validation": table(ROWS // 5, 1), "test": table(ROWS // 5, 2)}
    with tempfile.TemporaryDirectory() as folder:
        search = SearchSpec(trials=20, sample=0.3, epochs=4, timeout=None, space=SEARCH.space)
        declared = Declared(NETWORK, SPEC, dataclasses.replace(search, trials=0), "none")
        full = timed(found, tables, declared, Path(folder))
        searched = timed(found, tables, dataclasses.replace(declared, search=search), Path(folder))
    return full, searched


def timed(found: TrainingSet, tables: dict[str, pa.Table], declared: Declared, root: Path) -> float:
    """Seconds until the last trial, or without a search the last epoch: baselines are not counted."""
    epochs: list[float] = []
    trials: list[float] = []
    began = time.perf_counter()
    train(
        found,
        tables,
        declared,
        metric=METRICS["auc"],
        root=root,
        progress=Progress(
            on_epoch=lambda epoch, metrics: epochs.append(time.perf_counter()),
            on_trial=lambda trial: trials.append(time.perf_counter()),
        ),
    )
    return (trials or epochs)[-1] - began


def tell(name: str, ratio: float, goal: float, *, more_is_better: bool) -> None:
    met = ratio >= goal if more_is_better else ratio <= goal
    bound = "at least" if more_is_better else "at most"
    print(f"{name}: {ratio:.2f}, goal {bound} {goal:g}{'' if met else ', short'}")


def main() -> None:
    device = device_of("auto")
    plain, ours = epoch_times(device)
    print(f"epoch of {ROWS} rows on {device}: pre-made tensors {plain:.2f} s, ours {ours:.2f} s")
    tell("epoch, speed against pre-made tensors", plain / ours, EPOCH_GOAL, more_is_better=True)
    full, searched = search_times()
    print(f"one full training {full:.1f} s, 20 trials {searched:.1f} s")
    tell("search, time against one full training", searched / full, SEARCH_GOAL, more_is_better=False)


if __name__ == "__main__":
    main()
