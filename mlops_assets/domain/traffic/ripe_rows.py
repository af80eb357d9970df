"""Which rows of labelled answers count: of the version that answered, old enough for ripe labels. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlops_assets.declaration.data import Kind, TargetSpec
from mlops_assets.domain.traffic.label_delay import DelayCurve, fit_delay_curve, reach_of
from mlops_assets.domain.traffic.labelled_rows import LABEL, SHADOW, read_scores, read_times
from mlops_assets.domain.traffic.outcome_join import KNOWN_AT

_UNITS = 5  # hours that are enough to be the units of chance


@dataclass(frozen=True, eq=False)
class RipeRows:
    """Rows of one version whose labels count."""

    rows: pa.Table

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def labels(self) -> NDArray[np.float64]:
        return self.rows[LABEL].to_numpy()

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        return read_scores(self.rows)

    @cached_property
    def blocks(self) -> NDArray[np.int64] | None:
        """Rows of one hour move together; None: there are too few hours, each row counts by itself."""
        hours, codes = np.unique(read_times(self.rows["time"]).astype("datetime64[h]"), return_inverse=True)
        return codes if len(hours) >= _UNITS else None


def find_leading_version(rows: pa.Table) -> tuple[str, str] | None:
    """Version and bundle that gave most of the answers that callers got; None: no version answered."""
    counts = _caller_answers(rows).group_by(["version", "bundle"]).aggregate([([], "count_all")]).to_pylist()
    best = max(counts, key=lambda each: (each["count_all"], each["version"]), default=None)
    return (best["version"], best["bundle"]) if best else None


def rows_of_bundle(rows: pa.Table, bundle: str) -> pa.Table:
    """What callers got from one bundle."""
    given = _caller_answers(rows)
    return given.filter(pc.equal(given["bundle"], bundle))


def select_ripe(rows: pa.Table, after: timedelta | None, now: datetime) -> RipeRows:
    """The labelled rows that are `after` old; none where no label ever came."""
    if after is None:
        return RipeRows(rows.slice(0, 0))
    old = pc.less_equal(rows["time"], pa.scalar(now - after, rows["time"].type))
    return RipeRows(rows.filter(pc.and_(old, pc.is_finite(rows[LABEL]))))


def measure_label_delay(rows: pa.Table, now: datetime, target: TargetSpec) -> DelayCurve:
    """How long labels take, from labelled answers with those that still wait. Of numbers: the low and the high ones."""
    answered, labelled = read_times(rows["time"]), read_times(rows[KNOWN_AT])
    labels = rows[LABEL].to_numpy()
    known = np.isfinite(labels)
    if target.kind is Kind.REGRESSION:
        labels = labels > np.median(labels[known]) if known.any() else labels
    outcomes = np.where(known, labels, -1.0).astype(np.int64)
    return fit_delay_curve(
        answered, labelled, to_datetime64(now), outcomes=outcomes, least=target.ripe_after, reach=reach_of(target)
    )


def to_datetime64(moment: datetime) -> np.datetime64:
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")


def _caller_answers(rows: pa.Table) -> pa.Table:
    """Answers of versions that callers got: no shadow's copies, no declared defaults."""
    return rows.filter(pc.and_(pc.is_valid(rows["answer"]), pc.not_equal(rows["role"], SHADOW)))
