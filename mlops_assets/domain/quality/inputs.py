"""What a day of answers is judged on, as values: its rows, those before it, and what is known of the version. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlops_assets.domain.evaluation.evidence import Interval
from mlops_assets.domain.quality.estimator import QualityEstimator
from mlops_assets.domain.quality.records import PerformanceDay
from mlops_assets.domain.traffic.label_delay import DelayCurve
from mlops_assets.domain.traffic.row_loss import LabelSpace

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ServedVersion:
    """What is known of the version that gave most answers. `problems`: why something is not."""

    name: str
    bundle: str
    judged: LabelSpace | None
    threshold: float | None
    profile: Mapping[str, Any]
    numbers: tuple[str, ...]  # features by which the error of a number is estimated
    baseline: Interval | None  # its score at evaluation
    estimator: QualityEstimator | None
    problems: tuple[str, ...]

    def why_unpromised(self, metric: str) -> str:
        """Why it is not known what the version promised."""
        reason = "; ".join(self.problems) or f"its {metric} at evaluation is not known"
        return f"{self.name}: {reason}."


@dataclass(frozen=True, eq=False)
class DayInputs:
    """What a day is judged on. `recent`: labelled rows of this day and those before it, thinned."""

    name: str
    rows: pa.Table  # its labelled rows
    recent: Mapping[str, pa.Table]
    curve: DelayCurve  # how long labels take
    sample: tuple[Array, Array]  # scores and features of some of its rows, for the estimate of a number
    before: Sequence[PerformanceDay]
    odd: Mapping[str, int]
    known_until: datetime  # outcomes that came up to then are there
    now: datetime
