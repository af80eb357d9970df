"""A bundle made ready on this worker: digest and golden answers checked, warmed up, timed. Answers packed rows."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serving.contract.bundle import Bundle, CorruptBundleError, Session, open_bundle
from serving.contract.encoding import pack_rows
from serving.contract.fields import Contract
from serving.rows.reader import Packed, RowReader

_BATCH = 32  # rows on which it is measured whether batching pays
_ROUNDS = 30
_PAYS = 60e-6  # seconds saved for each request, above what gathering a batch costs
_SLOW = 2e-3  # seconds of one call above which it leaves the event loop


Score = Callable[[Packed], np.ndarray]


@dataclass(frozen=True)
class Timing:
    """Seconds of one call, medians."""

    one: float
    batch: float

    @property
    def batching_pays(self) -> bool:
        return self.one - self.batch / _BATCH > _PAYS

    @property
    def slow(self) -> bool:
        return self.one > _SLOW

    def expected(self, rows: int) -> float:
        """Seconds of one call with so many rows."""
        return self.one + max(self.batch - self.one, 0.0) * (rows - 1) / (_BATCH - 1)


class LoadedModel:
    """Ready to answer. `score` takes packed rows and gives what the graph gives."""

    def __init__(self, bundle: Bundle, session: Session, *, most_rows: int, timing: Timing) -> None:
        self.bundle, self.contract, self.digest = bundle, bundle.contract, bundle.digest
        self.provider = session.provider
        self.reader = RowReader(bundle.contract, most_rows=most_rows)
        self.timing = timing
        self.score = build_scorer(session)
        self.layout = _layout(bundle.contract)
        self.batched = timing.batching_pays or timing.slow
        self.row_bytes = 8 * len(bundle.contract.numbers) + 64 * len(bundle.contract.categories)  # in memory, about
        self.log_key = f"{bundle.contract.model}/{bundle.digest[:8]}"  # answers that are logged in the same columns
        self.default_log_key = f"{bundle.contract.model}/default-{bundle.digest[:8]}"


def load_model(path: Path, provider: str, *, threads: int, most_rows: int) -> LoadedModel:
    """Open, verify, warm up. CorruptBundleError where the golden answers are not the expected ones."""
    bundle = open_bundle(path)
    session = bundle.session(provider, threads=threads)
    if wrong := bundle.check_golden(session):
        raise CorruptBundleError(f"{path.name[:12]} on {session.provider}: {'; '.join(wrong)}")
    return LoadedModel(bundle, session, most_rows=most_rows, timing=_measure(bundle, session))


def build_scorer(session: Session) -> Score:
    """From packed rows to the graph's answer. Numbers may lie column by column; the graph wants rows."""
    run: Any = session.raw.run  # typed for every kind of output; these are arrays
    outputs, in_rows = [session.contract.outputs[0].name], np.ascontiguousarray
    if not session.contract.categories:
        return lambda packed: run(outputs, {"numbers": in_rows(packed.numbers)})[0]
    if not session.contract.numbers:
        return lambda packed: run(outputs, {"categories": packed.categories})[0]
    return lambda packed: run(outputs, {"numbers": in_rows(packed.numbers), "categories": packed.categories})[0]


def _measure(bundle: Bundle, session: Session) -> Timing:
    """Warm-up and measurement in one, on the golden requests."""
    contract = bundle.contract
    rows = [request["row"] for request in bundle.golden["requests"]]
    many = [rows[i % len(rows)] for i in range(_BATCH)]
    score = build_scorer(session)
    one = Packed(*pack_rows(many[:1], contract.numbers, contract.categories), ())
    batch = Packed(*pack_rows(many, contract.numbers, contract.categories), ())
    return Timing(_median(score, one), _median(score, batch))


def _median(score: Score, packed: Packed) -> float:
    score(packed)
    seconds = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        score(packed)
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))


def _layout(contract: Contract) -> tuple[Any, ...]:
    """Equal for two models that take the very same packed rows and hold them to the same limits."""
    return (contract.fields, contract.entity, contract.out_of_range)
