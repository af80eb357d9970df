"""Makes fp16 and int8 of an exported model, measures each against torch (parity, size, latency), then chooses.

Differences are of answers: probabilities as they are, regression in standard deviations of the training
labels (on the scale that was learnt), so that one tolerance serves all kinds.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort

from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.release import Precision
from mlops_assets.domain.records import Compressed
from mlops_assets.training.export import export_core, with_vocabulary
from mlops_assets.training.layout import Layout
from mlops_assets.training.loop import answers_of
from mlops_assets.training.network import Model
from mlops_assets.training.precision import CONVERSIONS, ConversionError
from mlops_assets.training.rows import Rows, on_device
from mlops_assets.training.steps import device_of
from serving.contract.bundle import open_session

EXACT = 1e-4  # the most fp32 may differ from torch
SLOWER = 1.05  # a variant may take this much longer than fp32, and no more
_FASTER = 0.95
_BATCH = 1_000
_FAR = 1e9  # stands for "not a number": records are JSON, which has no infinity
_ROUNDS = 15
_SINGLES = 20  # single rows in a round

Clock = Callable[[], float]


@dataclass(frozen=True)
class Difference:
    """How far a variant's answers are from torch's on some of the rows."""

    rows: int
    worst: float
    mean: float
    shift: float  # signed mean: a slice that is moved as a whole


@dataclass(frozen=True)
class Variant:
    measured: Compressed
    content: bytes
    slices: Mapping[str, Difference]


def measure_variants(
    model: Model,
    rows: Rows,
    precisions: Iterable[Precision],
    parity: float,
    *,
    slices: Mapping[str, np.ndarray] | None = None,
    clock: Clock = time.perf_counter,
) -> tuple[Variant, ...]:
    """fp32 and each precision asked for, measured side by side on the same rows. `slices`: name → mask."""
    core = export_core(model)
    wanted = [Precision.FP32, *(p for p in Precision if p in set(precisions) and p is not Precision.FP32)]
    contents, impossible = _contents(core, wanted, model.layout)
    sessions = {p: open_session(content, "cpu", threads=1) for p, content in contents.items()}
    feed = _feed(rows)
    reference = answers_of(model, on_device(rows, model.layout, device_of("cpu")))
    times = _latencies({p: _runner(session) for p, session in sessions.items()}, feed, clock)
    found = {p: differences(np.asarray(s.run(None, feed)[0]), reference, model.layout) for p, s in sessions.items()}
    raw = {p: _reading(p, contents[p], times[p], _summary(found[p])) for p in contents}
    measured = (
        Variant(
            judge(raw[p], raw[Precision.FP32], parity),
            contents[p],
            {name: _summary(found[p][mask]) for name, mask in (slices or {}).items() if mask.any()},
        )
        for p in contents
    )
    return (*measured, *(_impossible(p, reason) for p, reason in impossible.items()))


def judge(measured: Compressed, exact: Compressed, parity: float) -> Compressed:
    """Whether a variant may be served: near enough to torch, and worth it against fp32 (`exact`)."""
    limit = EXACT if measured.precision is Precision.FP32 else parity
    problems = []
    if not measured.worst_difference <= limit:
        problems.append(f"differs from torch by up to {measured.worst_difference:.2g}, more than {limit:.2g}")
    single, batch = measured.single_row_ms / exact.single_row_ms, measured.batch_ms / exact.batch_ms
    size = measured.bytes / exact.bytes
    if max(single, batch) > SLOWER:
        problems.append(f"slower than fp32: {single:.2f} of its time for one row, {batch:.2f} for a batch")
    elif measured.precision is not Precision.FP32 and size >= 1 and min(single, batch) > _FASTER:
        problems.append(f"neither smaller nor faster than fp32: {size:.2f} of its size, {single:.2f} of its time")
    good = f"within {limit:.2g} of torch; {size:.2f} of fp32's size, {single:.2f} of its time for one row"
    return dataclasses.replace(measured, passed=not problems, reason="; ".join(problems) or good)


def choose(measured: Sequence[Compressed]) -> Compressed:
    """The fastest, then smallest, of the variants that passed; fp32 where none did."""
    exact = next(m for m in measured if m.precision is Precision.FP32)
    if not exact.passed:
        raise ValueError(f"fp32 differs from torch, so nothing can be served: {exact.reason}")
    better = [m for m in measured if m.passed and m is not exact]
    return min(better, key=lambda m: (m.single_row_ms, m.bytes), default=exact)


def differences(answers: np.ndarray, reference: np.ndarray, layout: Layout) -> np.ndarray:
    """Signed, [n]; of several probabilities the one furthest off. What is not finite is as far as can be."""
    if layout.kind is Kind.REGRESSION and layout.target.transform == "log1p":
        answers, reference = np.log1p(answers), np.log1p(reference)
    scale = layout.target.scale if layout.kind is Kind.REGRESSION else 1.0
    found = (answers.astype(np.float64) - reference) / scale
    found[~np.isfinite(found)] = _FAR
    if found.ndim == 1:
        return found
    return np.take_along_axis(found, np.abs(found).argmax(axis=1)[:, None], axis=1)[:, 0]


def _contents(
    core: onnx.ModelProto, wanted: Sequence[Precision], layout: Layout
) -> tuple[dict[Precision, bytes], dict[Precision, str]]:
    """Each precision as bytes, and why those that could not be made were not."""
    contents: dict[Precision, bytes] = {}
    impossible: dict[Precision, str] = {}
    for precision in wanted:
        try:
            contents[precision] = with_vocabulary(CONVERSIONS[precision](core), layout).SerializeToString()
        except ConversionError as err:
            impossible[precision] = f"cannot be converted: {err}"
    return contents, impossible


def _impossible(precision: Precision, reason: str) -> Variant:
    """A variant that does not exist is not served, and is told about like any other."""
    far = Difference(0, _FAR, _FAR, _FAR)
    nothing = _reading(precision, b"", (0.0, 0.0), far)
    return Variant(dataclasses.replace(nothing, reason=reason), b"", {})


def _feed(rows: Rows) -> dict[str, np.ndarray]:
    given = {"numbers": rows.numbers, "categories": rows.categories}
    return {name: array for name, array in given.items() if array.shape[1]}


def _runner(session: ort.InferenceSession) -> Callable[[dict[str, np.ndarray]], object]:
    return lambda feed: session.run(None, feed)


def _latencies(
    runners: Mapping[Precision, Callable[[dict[str, np.ndarray]], object]],
    feed: dict[str, np.ndarray],
    clock: Clock,
) -> dict[Precision, tuple[float, float]]:
    """Median milliseconds of one row and of a batch. Variants take turns: a busy machine slows all alike."""
    one = {name: array[:1] for name, array in feed.items()}
    many = {name: array[np.arange(_BATCH) % len(array)] for name, array in feed.items()}
    singles: dict[Precision, list[float]] = {p: [] for p in runners}
    batches: dict[Precision, list[float]] = {p: [] for p in runners}
    for _ in range(_ROUNDS):
        for precision, run in runners.items():
            run(one)
            singles[precision] += [_timed(run, one, clock) for _ in range(_SINGLES)]
            batches[precision].append(_timed(run, many, clock))
    return {p: (statistics.median(singles[p]), statistics.median(batches[p])) for p in runners}


def _timed(run: Callable[[dict[str, np.ndarray]], object], feed: dict[str, np.ndarray], clock: Clock) -> float:
    began = clock()
    run(feed)
    return (clock() - began) * 1000


def _reading(precision: Precision, content: bytes, times: tuple[float, float], found: Difference) -> Compressed:
    return Compressed(
        precision=precision,
        passed=False,
        bytes=len(content),
        single_row_ms=times[0],
        batch_ms=times[1],
        worst_difference=found.worst,
        mean_difference=found.mean,
        reason="not judged",
    )


def _summary(difference: np.ndarray) -> Difference:
    size = np.abs(difference)
    return Difference(len(size), float(size.max()), float(size.mean()), float(difference.mean()))
