"""The fields of a contract, prepared for packing rows: names, order, and what each type accepts."""

import operator
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from serving.contract.fields import Contract, Field

TYPES: Mapping[str, frozenset[type]] = {
    "number": frozenset({int, float, type(None)}),
    "integer": frozenset({int, type(None)}),
    "boolean": frozenset({bool, type(None)}),
    "text": frozenset({str, type(None)}),
}


class FieldLayout:
    """What a row of one contract looks like."""

    def __init__(self, contract: Contract) -> None:
        self.fields = {field.name: field for field in contract.fields}
        self.numbers, self.categories = contract.numbers, contract.categories
        self.allowed = self.fields.keys() | set(contract.entity)  # entity keys may come along
        self.number_row, self.category_row = _getter(self.numbers), _getter(self.categories)
        self.number_bytes = struct.Struct(f"{len(self.numbers)}d").pack
        self.by_type = tuple(_by_type(contract.fields))
        self.only_type = self.by_type[0][1] if len(self.by_type) == 1 else None
        self.all_text = all(self.fields[name].type == "text" for name in self.categories)


def _getter(names: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """The values of these fields as a tuple; `itemgetter` alone gives one or none differently."""
    if len(names) > 1:
        return operator.itemgetter(*names)
    return (lambda row: (row[names[0]],)) if names else (lambda row: ())


def _by_type(fields: Sequence[Field]) -> Iterator[tuple[Callable[[Mapping[str, Any]], Any], frozenset[type]]]:
    for kind, allowed in TYPES.items():
        if names := [field.name for field in fields if field.type == kind]:
            yield _getter(names), allowed
