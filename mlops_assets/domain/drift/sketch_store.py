"""Sketches as plain JSON, so that a partition is counted once and windows are made of partitions. Pure."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mlops_assets.domain.drift.sketch import CategorySketch, NumberSketch, Sketch


def sketch_to_plain(sketch: Sketch) -> dict[str, Any]:
    """Cells that are empty take no room: most are, in a small window."""
    columns = {name: _plain(column) for name, column in sketch.columns.items()}
    return {"rows": sketch.rows, "types": dict(sketch.types), "columns": columns}


def sketch_from_plain(content: Mapping[str, Any]) -> Sketch:
    columns = {name: _read(column) for name, column in content["columns"].items()}
    return Sketch(content["rows"], columns, content["types"])


def _plain(column: NumberSketch | CategorySketch) -> dict[str, Any]:
    counts = column.cells if isinstance(column, NumberSketch) else column.counts
    places = np.flatnonzero(counts)
    said = {"size": len(counts), "places": places.tolist(), "counts": counts[places].tolist()}
    said |= {"rows": column.rows, "nulls": column.nulls}
    if isinstance(column, CategorySketch):
        return {**said, "other": column.other, "strangers": list(column.strangers)}
    return {**said, "infinite": column.infinite, "total": repr(column.total), "squares": repr(column.squares)}


def _read(content: Mapping[str, Any]) -> NumberSketch | CategorySketch:
    counts = np.zeros(content["size"], dtype=np.int64)
    counts[content["places"]] = content["counts"]
    rows, nulls = content["rows"], content["nulls"]
    if "strangers" in content:
        return CategorySketch(counts, content["other"], rows, nulls, tuple(content["strangers"]))
    # as text: a sum may be infinite, which JSON does not know
    return NumberSketch(counts, rows, nulls, content["infinite"], float(content["total"]), float(content["squares"]))
