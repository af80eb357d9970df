"""What a window's rows look like, in counts that add up: batch by batch, partition by partition.

Counted against a bundle's `reference`, so memory depends on the profile, never on the window.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from mlops_assets.domain.drift.reference import CategoryReference, NumberReference, Reference, count_cells
from serving.contract.encoding import MISSING, is_category, is_number, number_column, plain_type, text_of

ABSENT = "absent"
MOST_STRANGERS = 5  # unseen categories that are named
_CHUNK = 131_072  # values sorted at once: they stay in the processor's cache
_LONGEST = 40  # characters of an unseen category that are kept


@dataclass(frozen=True, eq=False)
class NumberSketch:
    cells: np.ndarray  # [2m + 1]
    rows: int
    nulls: int
    infinite: int
    total: float  # of the finite values less the reference's mean
    squares: float  # of the same

    @classmethod
    def of(cls, values: np.ndarray, reference: NumberReference) -> "NumberSketch":
        """Of float64 [n]; NaN is a missing value."""
        found = cls(np.zeros(2 * len(reference.edges) + 1, dtype=np.int64), 0, 0, 0, 0.0, 0.0)
        for start in range(0, len(values), _CHUNK):
            found = found + cls._of_chunk(values[start : start + _CHUNK], reference)
        return found

    @classmethod
    def _of_chunk(cls, values: np.ndarray, reference: NumberReference) -> "NumberSketch":
        ordered = np.sort(values)  # NaN last, infinities before it and first
        last, known = (int(place) for place in ordered.searchsorted([np.inf, np.nan], "left"))
        first = int(ordered.searchsorted(-np.inf, "right"))
        finite = ordered[first:last]
        with np.errstate(over="ignore"):
            centred = finite - (reference.mean or 0.0)
            total, squares = float(centred.sum()), float(centred @ centred)
        infinite = first + known - last
        return cls(count_cells(finite, reference.edges), len(values), len(values) - known, infinite, total, squares)

    def __add__(self, other: "NumberSketch") -> "NumberSketch":
        _demand_same(len(self.cells), len(other.cells))
        return NumberSketch(
            self.cells + other.cells,
            self.rows + other.rows,
            self.nulls + other.nulls,
            self.infinite + other.infinite,
            self.total + other.total,
            self.squares + other.squares,
        )

    @property
    def finite(self) -> int:
        return self.rows - self.nulls - self.infinite

    @property
    def outside(self) -> int:
        """Numbers beyond the smallest and the largest of the training rows."""
        beyond = int(self.cells[0] + self.cells[-1]) if len(self.cells) > 1 else 0
        return beyond + self.infinite

    def moments(self, reference: NumberReference) -> tuple[float, float]:
        """Mean and standard deviation of the finite values; NaN where there are none."""
        if not self.finite:
            return np.nan, np.nan
        shift = self.total / self.finite
        variance = max(self.squares / self.finite - shift * shift, 0.0)
        return (reference.mean or 0.0) + shift, float(np.sqrt(variance))


@dataclass(frozen=True, eq=False)
class CategorySketch:
    counts: np.ndarray  # [k] of the reference's values
    other: int  # everything else that is not missing
    rows: int
    nulls: int
    strangers: tuple[str, ...]  # some of the others by name, the first in the alphabet

    @classmethod
    def of(cls, column: pa.Array, reference: CategoryReference) -> "CategorySketch":
        coded = column if pt.is_dictionary(column.type) else column.dictionary_encode()
        words = [text_of(value) for value in coded.dictionary.to_pylist()]
        size = len(reference.values)
        places = np.array([size + 1 if w == MISSING else reference.index.get(w, size) for w in words], dtype=np.int64)
        per_word = np.bincount(pc.drop_null(coded.indices).to_numpy(zero_copy_only=False), minlength=len(words))
        counts = np.bincount(places, weights=per_word, minlength=size + 2).astype(np.int64)
        nulls = coded.indices.null_count + int(counts[size + 1])
        unknown = [word for word, place in zip(words, places, strict=True) if place == size]
        return cls(counts[:size], int(counts[size]), len(column), nulls, _some(unknown))

    def __add__(self, other: "CategorySketch") -> "CategorySketch":
        _demand_same(len(self.counts), len(other.counts))
        return CategorySketch(
            self.counts + other.counts,
            self.other + other.other,
            self.rows + other.rows,
            self.nulls + other.nulls,
            _some((*self.strangers, *other.strangers)),
        )


@dataclass(frozen=True, eq=False)
class Sketch:
    """All columns of a window. `types` are the Arrow types that came, several joined by `|`; a gone column has none."""

    rows: int = 0
    columns: Mapping[str, NumberSketch | CategorySketch] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: pa.RecordBatch | pa.Table | pa.StructArray, reference: Reference) -> "Sketch":
        """Of one batch. A column that cannot be read as the reference's kind keeps its type and has no counts."""
        batch = _unpacked(rows) if isinstance(rows, pa.StructArray) else rows
        types = {each.name: str(plain_type(each.type)) for each in batch.schema}
        read = {name: _sketch(batch[name], known) for name, known in reference.items() if name in types}
        return cls(len(batch), {name: found for name, found in read.items() if found is not None}, types)

    def __add__(self, other: "Sketch") -> "Sketch":
        """A column that one side lacks, though it has rows, is not added up: half a window is no window."""
        if not self.rows or not other.rows:
            return self if self.rows else other
        both = [name for name in self.columns if name in other.columns]
        columns = {name: self.columns[name] + other.columns[name] for name in both}  # type: ignore[operator]
        types = {name: _joined(self.types.get(name), other.types.get(name)) for name in {**self.types, **other.types}}
        return Sketch(self.rows + other.rows, columns, types)


def _joined(one: str | None, other: str | None) -> str:
    """`double|string` where a column came as both; `absent` where some rows lacked it."""
    return "|".join(sorted({kind for each in (one, other) for kind in (each or ABSENT).split("|")}))


def _unpacked(rows: pa.StructArray) -> pa.RecordBatch:
    """Without the rows that are null as a whole: the model never saw them."""
    return pa.RecordBatch.from_struct_array(rows.filter(rows.is_valid()))


def _sketch(column: pa.Array | pa.ChunkedArray, reference: Any) -> NumberSketch | CategorySketch | None:
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    kind = plain_type(whole.type)
    if isinstance(reference, NumberReference):
        return NumberSketch.of(number_column(whole), reference) if is_number(kind) else None
    return CategorySketch.of(whole, reference) if is_category(kind) else None


def _some(names: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    return tuple(sorted({name[:_LONGEST] for name in names})[:MOST_STRANGERS])


def _demand_same(one: int, other: int) -> None:
    if one != other:
        raise ValueError(
            f"sketches against different references ({one} and {other} cells) do not add up: "
            "sketch both windows against the profile of one bundle"
        )


def sketch_to_plain(sketch: Sketch) -> dict[str, Any]:
    """As JSON, so that a partition is counted once. Empty cells take no room; in a small window most are empty."""
    columns = {name: _column_to_plain(column) for name, column in sketch.columns.items()}
    return {"rows": sketch.rows, "types": dict(sketch.types), "columns": columns}


def sketch_from_plain(content: Mapping[str, Any]) -> Sketch:
    columns = {name: _column_from_plain(column) for name, column in content["columns"].items()}
    return Sketch(content["rows"], columns, content["types"])


def _column_to_plain(column: NumberSketch | CategorySketch) -> dict[str, Any]:
    counts = column.cells if isinstance(column, NumberSketch) else column.counts
    places = np.flatnonzero(counts)
    plain = {"size": len(counts), "places": places.tolist(), "counts": counts[places].tolist()}
    plain |= {"rows": column.rows, "nulls": column.nulls}
    if isinstance(column, CategorySketch):
        return {**plain, "other": column.other, "strangers": list(column.strangers)}
    return {**plain, "infinite": column.infinite, "total": repr(column.total), "squares": repr(column.squares)}


def _column_from_plain(content: Mapping[str, Any]) -> NumberSketch | CategorySketch:
    counts = np.zeros(content["size"], dtype=np.int64)
    counts[content["places"]] = content["counts"]
    rows, nulls = content["rows"], content["nulls"]
    if "strangers" in content:
        return CategorySketch(counts, content["other"], rows, nulls, tuple(content["strangers"]))
    # as text: a sum may be infinite, which JSON does not know
    return NumberSketch(counts, rows, nulls, content["infinite"], float(content["total"]), float(content["squares"]))
