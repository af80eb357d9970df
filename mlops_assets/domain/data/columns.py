"""What kind of column something is, and what changed between two sets of columns. Types are texts."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class ColumnKind(StrEnum):
    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "boolean"
    TIME = "time"
    EMPTY = "empty"  # no value at all: fits every kind
    OTHER = "other"


_KINDS = (
    (ColumnKind.NUMBER, r"u?int\d+|float|double|halffloat|half_float|decimal\d+\(.*\)"),
    (ColumnKind.TEXT, r"(large_)?string|string_view|time(32|64)\[.*\]"),
    (ColumnKind.BOOLEAN, r"bool"),
    (ColumnKind.TIME, r"timestamp\[.*\]|date(32|64)\[.*\]"),
    (ColumnKind.EMPTY, r"null"),
)
_DICTIONARY = re.compile(r"dictionary<values=([^,]+),.*")


def kind_of(arrow_type: str) -> ColumnKind:
    """The kind of an Arrow type written as text."""
    plain = _DICTIONARY.sub(r"\1", arrow_type)
    return next((kind for kind, pattern in _KINDS if re.fullmatch(pattern, plain)), ColumnKind.OTHER)


@dataclass(frozen=True)
class ColumnChange:
    """How the columns of `after` differ from those of `before`."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]  # "temp was number (double), is text (string)"

    @property
    def breaking(self) -> bool:
        return bool(self.removed or self.changed)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def __str__(self) -> str:
        parts = (
            [f"new: {', '.join(self.added)}"] if self.added else [],
            [f"missing: {', '.join(self.removed)}"] if self.removed else [],
            list(self.changed),
        )
        return "; ".join(part for several in parts for part in several)


def change(before: Mapping[str, str], after: Mapping[str, str]) -> ColumnChange:
    """What was added, removed, and came back as another kind. A wider number is the same kind."""
    both = [name for name in before if name in after]
    return ColumnChange(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed=tuple(
            f"{name} was {kind_of(before[name])} ({before[name]}), is {kind_of(after[name])} ({after[name]})"
            for name in both
            if not _same(kind_of(before[name]), kind_of(after[name]))
        ),
    )


def known_columns(several: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """The columns of several partitions together. The last type that is not empty counts."""
    known: dict[str, str] = {}
    for columns in several:
        for name, arrow_type in columns.items():
            if name not in known or kind_of(arrow_type) is not ColumnKind.EMPTY:
                known[name] = arrow_type
    return known


def _same(before: ColumnKind, after: ColumnKind) -> bool:
    return before is after or ColumnKind.EMPTY in (before, after)
