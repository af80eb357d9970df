"""Which rows of labelled answers count: of the version that answered, old enough for ripe labels. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlops_assets.domain.traffic.label_delay import DelayCurve, learn
from mlops_assets.domain.traffic.labelled_rows import LABEL, SHADOW, moments, scores
from mlops_assets.domain.traffic.outcome_join import KNOWN_AT

_UNITS = 5  # hours that are enough to be the units of chance


@dataclass(frozen=True, eq=False)
class Ripe:
    """Rows of one version whose labels count."""

    rows: pa.Table

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def labels(self) -> NDArray[np.float64]:
        return self.rows[LABEL].to_numpy()

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        return scores(self.rows)

    @cached_property
    def blocks(self) -> NDArray[np.int64] | None:
        """Rows of one hour move together; None: there are too few hours, each row counts by itself."""
        hours, codes = np.unique(moments(self.rows["time"]).astype("datetime64[h]"), return_inverse=True)
        return codes if len(hours) >= _UNITS else None


def leading(rows: pa.Table) -> tuple[str, str] | None:
    """Version and bundle that gave most of the answers that callers got; None: no version answered."""
    counts = _given(rows).group_by(["version", "bundle"]).aggregate([([], "count_all")]).to_pylist()
    best = max(counts, key=lambda each: (each["count_all"], each["version"]), default=None)
    return (best["version"], best["bundle"]) if best else None


def of_bundle(rows: pa.Table, bundle: str) -> pa.Table:
    """What callers got from one bundle."""
    given = _given(rows)
    return given.filter(pc.equal(given["bundle"], bundle))


def ripe(rows: pa.Table, after: timedelta | None, now: datetime) -> Ripe:
    """The labelled rows that are `after` old; none where no label ever came."""
    if after is None:
        return Ripe(rows.slice(0, 0))
    old = pc.less_equal(rows["time"], pa.scalar(now - after, rows["time"].type))
    return Ripe(rows.filter(pc.and_(old, pc.is_finite(rows[LABEL]))))


def delay_curve(rows: pa.Table, now: datetime) -> DelayCurve:
    """How long labels take, from labelled answers with those that still wait."""
    return learn(moments(rows["time"]), moments(rows[KNOWN_AT]), moment64(now))


def moment64(moment: datetime) -> np.datetime64:
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")


def _given(rows: pa.Table) -> pa.Table:
    """Answers of versions that callers got: no shadow's copies, no declared defaults."""
    return rows.filter(pc.and_(pc.is_valid(rows["answer"]), pc.not_equal(rows["role"], SHADOW)))
