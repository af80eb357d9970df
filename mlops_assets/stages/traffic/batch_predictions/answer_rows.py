"""Rows of examples to answers, straight on a bundle. Imported only inside an asset's body.

The endpoint's own guard judges each row, so that both give the same answers and refuse the same rows in the same words.
A row without an answer keeps its place, with the reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mlops_assets.domain.names import EVENT_TIME
from serving.contract.bundle import Session
from serving.contract.encoding import pack_table
from serving.contract.fields import Contract
from serving.contract.guard import InputGuard

NO_EXAMPLES = pa.schema([(EVENT_TIME, pa.timestamp("us", "UTC"))])
_THRESHOLD = 0.5  # of a binary contract that names none
ANSWER, LABEL, REASON = "answer", "predicted", "reason"


@dataclass(frozen=True)
class ChampionBundle:
    """Who answers: one version, resolved once."""

    number: str
    semantic: str
    bundle: str  # digest
    session: Session

    @property
    def contract(self) -> Contract:
        return self.session.contract


def answered(examples: pa.Table, frame: pa.Table, champion: ChampionBundle, keys: Sequence[str]) -> pa.Table:
    """For each example its keys and its answer. `frame`: the same rows with features, in the same order."""
    contract = champion.contract
    numbers, words = pack_table(frame, contract.numbers, contract.categories)
    numbers, reasons = _guard_rows(numbers, words, contract)
    scores = np.asarray(champion.session.predict(numbers, words), dtype=np.float64).reshape(len(numbers), -1)
    for row in np.flatnonzero(~np.isfinite(scores).all(axis=1)):
        reasons.setdefault(int(row), "the model's answer is not a finite number")
    return _table(examples, scores, reasons, champion, keys=keys)


def unanswered(examples: pa.Table, reason: str, champion: ChampionBundle, keys: Sequence[str]) -> pa.Table:
    """The examples with the reason why none has an answer."""
    scores = np.zeros((len(examples), champion.contract.outputs[0].size))
    return _table(examples, scores, dict.fromkeys(range(len(examples)), reason), champion, keys=keys)


def schema_of(examples: pa.Schema, keys: Sequence[str]) -> pa.Schema:
    """The columns that are written for examples of this schema."""
    told = [examples.field(name) for name in (*keys, EVENT_TIME)]
    texts = [pa.field(name, pa.string()) for name in (LABEL, REASON, "version", "number", "bundle")]
    return pa.schema([*told, pa.field(ANSWER, pa.list_(pa.float64())), *texts])


def _table(
    examples: pa.Table, scores: np.ndarray, reasons: Mapping[int, str], champion: ChampionBundle, *, keys: Sequence[str]
) -> pa.Table:
    rows = len(examples)
    lost = np.zeros(rows, dtype=bool)
    lost[list(reasons)] = True
    offsets = pa.array(np.arange(0, scores.size + 1, max(scores.shape[1], 1), dtype=np.int32))
    answers = pa.ListArray.from_arrays(offsets, pa.array(scores.ravel()), mask=pa.array(lost))
    stamps = (champion.semantic, champion.number, champion.bundle)
    columns = [examples[name] for name in (*keys, EVENT_TIME)]
    columns += [answers, pa.array(_labels(scores, champion.contract), pa.string(), mask=lost)]
    columns += [pa.array([reasons.get(row) for row in range(rows)], pa.string())]
    columns += [pa.repeat(pa.scalar(stamp, pa.string()), rows) for stamp in stamps]
    names = [*keys, EVENT_TIME, ANSWER, LABEL, REASON, "version", "number", "bundle"]
    return pa.table(columns, names=names).select(schema_of(examples.schema, keys).names)


def _labels(scores: np.ndarray, contract: Contract) -> np.ndarray:
    if contract.kind == "regression":
        return np.full(len(scores), None, dtype=object)
    classes = np.array(contract.classes, dtype=object)
    if contract.kind == "binary":
        limit = _THRESHOLD if contract.threshold is None else contract.threshold
        return classes[(scores[:, 0] >= limit).astype(int)]
    return classes[scores.argmax(axis=1)]


def _guard_rows(numbers: np.ndarray, words: np.ndarray, contract: Contract) -> tuple[np.ndarray, dict[int, str]]:
    """The numbers as the model gets them, and the reasons for which it does not get some rows."""
    guard = InputGuard(contract)
    reasons: dict[int, str] = {}
    for field, row, violation in guard.violations(numbers, words):
        reason = f"{field}: {violation}"
        reasons[row] = f"{reasons[row]}; {reason}" if row in reasons else reason
    return guard.clip(numbers) if guard.policy == "clip" else numbers, reasons
