"""What is learnt from the training rows before the network sees them: scales, bin edges, vocabularies, the target.

A layout is plain numbers and text, lives in `layout.json`, and says how wide everything is. It fits nothing
itself.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from mlops_assets.declaration.data import Kind

MISSING_ROW, UNKNOWN_ROW, FIRST_VALUE = 0, 1, 2  # rows of each category's block in the shared embedding table


@dataclass(frozen=True)
class NumberColumn:
    """z = (x - centre) / scale, kept within first and last edge. `edges` are units of z and rise strictly."""

    name: str
    centre: float
    scale: float
    edges: tuple[float, ...]  # at least one; one means no bins


@dataclass(frozen=True)
class CategoryColumn:
    name: str
    values: tuple[str, ...]  # the vocabulary, commonest first; anything else is "unknown"

    @property
    def rows(self) -> int:
        return len(self.values) + FIRST_VALUE


@dataclass(frozen=True)
class Target:
    """Regression: an answer is `centre + scale * output`, within `lower` and `upper`, transformed back."""

    transform: str  # none or log1p
    centre: float
    scale: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Layout:
    kind: Kind
    classes: tuple[str, ...]
    numbers: tuple[NumberColumn, ...]
    categories: tuple[CategoryColumn, ...]
    target: Target
    prior: tuple[float, ...]  # what the network's outputs start from: the logits of the class shares, or 0

    @property
    def outputs(self) -> int:
        return len(self.classes) if self.kind is Kind.MULTICLASS else 1

    @property
    def bins(self) -> int:
        return sum(len(column.edges) - 1 for column in self.numbers)

    @property
    def features(self) -> int:
        """Width of the encoded numbers: every bin, and for each number its value and if it is missing."""
        return self.bins + 2 * len(self.numbers)

    @property
    def rows(self) -> int:
        """Rows of the shared embedding table."""
        return sum(column.rows for column in self.categories)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Where each category's block of the embedding table begins."""
        ends = np.cumsum([0, *(column.rows for column in self.categories)])
        return tuple(int(end) for end in ends[:-1])

    def codes(self, categories: np.ndarray) -> np.ndarray:
        """Rows of the embedding table for packed categories [n, C], as the front of the ONNX graph does."""
        coded = np.empty(categories.shape, dtype=np.int64)
        for position, (column, offset) in enumerate(zip(self.categories, self.offsets, strict=True)):
            known = {value: offset + FIRST_VALUE + index for index, value in enumerate(column.values)}
            known[""] = offset + MISSING_ROW
            words = pa.array(categories[:, position], type=pa.string()).dictionary_encode()
            rows = np.array([known.get(w, offset + UNKNOWN_ROW) for w in words.dictionary.to_pylist()], dtype=np.int64)
            coded[:, position] = rows[words.indices.to_numpy()]
        return coded

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "Layout":
        content: dict[str, Any] = json.loads(text)
        return cls(
            kind=Kind(content["kind"]),
            classes=tuple(content["classes"]),
            numbers=tuple(NumberColumn(**_tuples(c)) for c in content["numbers"]),
            categories=tuple(CategoryColumn(**_tuples(c)) for c in content["categories"]),
            target=Target(**content["target"]),
            prior=tuple(content["prior"]),
        )


def _tuples(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in record.items()}
