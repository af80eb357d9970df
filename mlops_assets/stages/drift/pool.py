"""Adds to a live day those before it that had too few rows to be judged. Imported only in bodies."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mlops_assets.domain.drift.days.pairs import PairRows
from mlops_assets.domain.drift.live_day import LiveDay
from mlops_assets.domain.drift.report import DriftReport, find_open_days
from mlops_assets.stages.drift.collect import CollectedDay, DriftCollector, OpenedVersion
from mlops_assets.stages.drift.training_rows import pack_columns


@dataclass(frozen=True, eq=False)
class PooledDays:
    """The days of a window, counted together."""

    days: np.ndarray  # datetime64[D], rising; the last is the day that is judged
    live: LiveDay
    sample: pa.Table
    day_of_row: np.ndarray  # datetime64[D] of each row of the sample

    def pack_pairs(self, opened: OpenedVersion) -> PairRows | None:
        """The sample, each row with its day; None where a feature is missing or there is no row."""
        if not len(self.sample) or not set(opened.features) <= set(self.sample.column_names):
            return None
        return PairRows(pack_columns(opened, self.sample), self.day_of_row)


def pool_days(
    collector: DriftCollector, day: str, bundle: str, known: CollectedDay, *, earlier: Sequence[DriftReport]
) -> PooledDays:
    """The day with the unbroken row of open days before it."""
    live, samples = known.live, {day: known.sample}
    for name in reversed(find_open_days(day, earlier, bundle)):
        found = collector.earlier(name)
        if found is None:
            break
        live, samples = found[0] + live, {name: found[1], **samples}
    days = np.array(list(samples), dtype="datetime64[D]")
    day_of_row = np.repeat(days, [len(sample) for sample in samples.values()])
    tables = [sample for name, sample in samples.items() if len(sample) or name == day]
    return PooledDays(days, live, pa.concat_tables(tables, promote_options="permissive"), day_of_row)
