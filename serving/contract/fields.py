"""What a model takes and gives, as frozen records: `contract.json` of a bundle.

It holds content only, so that the same training gives the same bundle. The semantic version and the
registry's run id are given later and therefore live in the registry, keyed by the bundle's digest.
"""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

FORMAT = 1  # of the contract; a reader refuses one it does not know


@dataclass(frozen=True)
class Field:
    """One input, in the order the model takes them: numbers first, then categories."""

    name: str
    type: str  # number, integer, boolean, text: what a caller sends
    kind: str  # number or category: how the model takes it
    nullable: bool  # whether values were missing in training; the model has an answer either way
    lower: float | None  # smallest and largest finite value of the training rows; None for categories
    upper: float | None
    categories: tuple[str, ...]  # seen in training, commonest first
    cut: bool  # True where more were seen than are listed


@dataclass(frozen=True)
class Output:
    """One output of the graph."""

    name: str  # probability, probabilities or value
    size: int  # numbers a row


@dataclass(frozen=True)
class Contract:
    format: int
    model: str
    kind: str  # binary, multiclass, regression
    classes: tuple[str, ...]  # values of the label, by index; for binary the second is the positive one
    fields: tuple[Field, ...]
    entity: tuple[str, ...]  # keys of the online lookup
    outputs: tuple[Output, ...]
    threshold: float | None  # binary: a probability at or above it is a yes
    feature_service: str
    training_set: str  # digest
    commit: str  # git
    precision: str  # fp32, fp16, int8
    opset: int
    out_of_range: str  # reject, clip or flag

    @property
    def numbers(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields if field.kind == "number")

    @property
    def categories(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields if field.kind == "category")

    def to_json(self) -> bytes:
        return json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, content: bytes) -> "Contract":
        record: dict[str, Any] = json.loads(content)
        if record.get("format") != FORMAT:
            raise ValueError(f"contract of format {record.get('format')}; this reader knows format {FORMAT}")
        lists = {name: tuple(value) for name, value in record.items() if isinstance(value, list)}
        lists["fields"] = tuple(Field(**{**f, "categories": tuple(f["categories"])}) for f in record["fields"])
        lists["outputs"] = tuple(Output(**output) for output in record["outputs"])
        return cls(**{**record, **lists})
