"""Rows of examples to answers, straight on a bundle. Imported only inside an asset's body.

What a row may hold is what the endpoint takes: beyond the range of training it is refused, clipped or let through
as the contract says, so that both give the same answers. A row without an answer keeps its place, with the reason.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mlops_assets.domain.names import EVENT_TIME
from serving.contract.bundle import Session
from serving.contract.encoding import pack_table
from serving.contract.fields import Contract

NO_EXAMPLES = pa.schema([(EVENT_TIME, pa.timestamp("us", "UTC"))])
_LARGEST = float(np.finfo(np.float64).max)
_LONGEST = 1_000  # characters of a category, as at the endpoint
_THRESHOLD = 0.5  # of a binary contract that names none
ANSWER, LABEL, REASON = "answer", "predicted", "reason"


@dataclass(frozen=True)
class Champion:
    """Who answers: one version, resolved once."""

    number: str
    semantic: str
    bundle: str  # digest
    session: Session

    @property
    def contract(self) -> Contract:
        return self.session.contract


def answered(examples: pa.Table, frame: pa.Table, champion: Champion, keys: Sequence[str]) -> pa.Table:
    """For each example its keys and its answer. `frame`: the same rows with features, in the same order."""
    contract = champion.contract
    numbers, words = pack_table(frame, contract.numbers, contract.categories)
    numbers, reasons = _held(numbers, words, contract)
    scores = np.asarray(champion.session.predict(numbers, words), dtype=np.float64).reshape(len(numbers), -1)
    for row in np.flatnonzero(~np.isfinite(scores).all(axis=1)):
        reasons.setdefault(int(row), "the model's answer is not a finite number")
    return _table(examples, scores, reasons, champion, keys)


def unanswered(examples: pa.Table, reason: str, champion: Champion, keys: Sequence[str]) -> pa.Table:
    """The examples with the reason why none has an answer."""
    scores = np.zeros((len(examples), champion.contract.outputs[0].size))
    return _table(examples, scores, dict.fromkeys(range(len(examples)), reason), champion, keys)


def schema_of(examples: pa.Schema, keys: Sequence[str]) -> pa.Schema:
    """The columns that are written for examples of this schema."""
    told = [examples.field(name) for name in (*keys, EVENT_TIME)]
    texts = [pa.field(name, pa.string()) for name in (LABEL, REASON, "version", "number", "bundle")]
    return pa.schema([*told, pa.field(ANSWER, pa.list_(pa.float64())), *texts])


def _table(
    examples: pa.Table, scores: np.ndarray, reasons: Mapping[int, str], champion: Champion, keys: Sequence[str]
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


def _held(numbers: np.ndarray, words: np.ndarray, contract: Contract) -> tuple[np.ndarray, dict[int, str]]:
    """The numbers as the model gets them, and the rows that it does not get at all."""
    reasons: dict[int, str] = {}
    for row, reason in _violations(numbers, words, contract):
        reasons[row] = f"{reasons[row]}; {reason}" if row in reasons else reason
    if contract.out_of_range == "clip":
        low, high = _limits(contract)
        numbers = np.minimum(np.maximum(numbers, low), high)
    return numbers, reasons


def _violations(numbers: np.ndarray, words: np.ndarray, contract: Contract) -> Iterator[tuple[int, str]]:
    fields = {field.name: field for field in contract.fields}
    low, high = _limits(contract)
    for place, name in enumerate(contract.numbers):
        column = numbers[:, place]
        if fields[name].type == "integer":
            for row in np.flatnonzero(np.isfinite(column) & (np.floor(column) != column)):
                yield int(row), f"{name}: {column[row]:g} is no whole number"
        if contract.out_of_range == "reject":
            for row in np.flatnonzero((column < low[place]) | (column > high[place])):
                yield int(row), f"{name}: {column[row]:g} is outside {low[place]:g} to {high[place]:g}"
    for place, name in enumerate(contract.categories):
        lengths = np.fromiter(map(len, words[:, place]), np.int64, len(words))
        for row in np.flatnonzero(lengths > _LONGEST):
            yield int(row), f"{name}: is longer than {_LONGEST} characters"


def _limits(contract: Contract) -> tuple[np.ndarray, np.ndarray]:
    numbers = [field for field in contract.fields if field.kind == "number"]
    low = [-_LARGEST if field.lower is None else field.lower for field in numbers]
    high = [_LARGEST if field.upper is None else field.upper for field in numbers]
    return np.array(low), np.array(high)
