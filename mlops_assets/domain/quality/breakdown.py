"""Breaks a day's ripe rows down by slice, calibration, version and arm. Decides nothing. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.evaluation import SliceSpec
from mlops_assets.domain.evaluation.calibration import Reliability, reliability
from mlops_assets.domain.evaluation.comparison import Basis
from mlops_assets.domain.evaluation.intervals import score
from mlops_assets.domain.evaluation.metrics import Metric, UnmeasurableError
from mlops_assets.domain.evaluation.slices import Part, SliceScore, measure
from mlops_assets.domain.traffic.labelled_rows import LABEL, thin_rows
from mlops_assets.domain.traffic.ripe_rows import RipeRows, select_ripe
from mlops_assets.domain.traffic.slices import SLICE, slice_rows

_CALIBRATED = 20_000  # rows that calibration is measured on
_RESAMPLES = 200


@dataclass(frozen=True)
class ArmSummary:
    """What one arm gave on a day."""

    version: str
    arm: str
    role: str
    rows: int
    labelled: int
    score: str  # the metric with its interval, or why there is none


def score_slices(
    rows: RipeRows, specs: Sequence[SliceSpec], profile: Mapping[str, Any], metric: Metric, level: float
) -> tuple[SliceScore, ...]:
    """Score each declared slice whose column the log has, the worst first."""
    parts = [part for spec in specs for part in _parts(rows.rows, spec, profile)]
    kind = Kind.REGRESSION if Kind.REGRESSION in metric.kinds else Kind.BINARY
    return measure(parts, Basis(kind, metric, rows.labels, level, rows.blocks), rows.scores, None)


def measure_calibration(kind: Kind, rows: RipeRows, level: float, seed: int) -> tuple[Reliability, RipeRows] | None:
    """Compare predicted with observed shares on a sample; None where that cannot be measured."""
    some = RipeRows(thin_rows(rows.rows, _CALIBRATED))
    labels = some.labels if kind is Kind.REGRESSION else some.labels.astype(np.int64)
    rng = np.random.default_rng(seed)
    try:
        found = reliability(kind, labels, some.scores, level=level, rng=rng, blocks=some.blocks, resamples=_RESAMPLES)
    except UnmeasurableError:
        return None
    return found, some


def protected_columns(rows: RipeRows, attributes: Sequence[str]) -> pa.Table:
    """The protected attributes that the log holds, as columns of their names."""
    found = {name: rows.rows[SLICE + name] for name in attributes}
    return pa.table({name: column for name, column in found.items() if column.null_count < len(column)})


def summarise_arms(
    rows: pa.Table, metric: Metric, level: float, *, after: timedelta | None, now: Any
) -> Iterator[ArmSummary]:
    """Every version and arm of a day, shadows and declared defaults too."""
    keys = ["version", "arm", "role"]
    for each in rows.group_by(keys).aggregate([]).sort_by([(key, "ascending") for key in keys]).to_pylist():
        mine = rows
        for key in keys:
            mine = mine.filter(pc.equal(mine[key], each[key]))
        labelled = int(pc.sum(pc.is_finite(mine[LABEL])).as_py() or 0)
        answered = mine.filter(pc.is_valid(mine["answer"]))
        shown = _score_text(select_ripe(answered, after, now), metric, level) if len(answered) else "no model answered"
        yield ArmSummary(each["version"], each["arm"], each["role"], len(mine), labelled, shown)


def _score_text(rows: RipeRows, metric: Metric, level: float) -> str:
    if not len(rows):
        return "no ripe labels"
    try:
        return str(score(metric, rows.labels, rows.scores, level=level, blocks=rows.blocks))
    except UnmeasurableError as err:
        return str(err)


def _parts(rows: pa.Table, spec: SliceSpec, profile: Mapping[str, Any]) -> Iterator[Part]:
    for found in slice_rows(rows, [spec], profile):
        for place, name in enumerate(found.names):
            mask = found.codes == place
            if mask.any():
                yield Part(spec.column, name.removeprefix(f"{spec.column}="), spec.minimum, mask)
