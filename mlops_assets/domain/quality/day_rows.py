"""The rows of a day, and of the days before it, that one version is judged on. Pure; judges nothing.

Rows of one hour move together. Only rows old enough that nearly all of their labels are there count, so that labels
that come early do not speak for the others.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.declaration.data import Every
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.evaluation.evidence import Interval
from mlops_assets.domain.evaluation.intervals import central, score
from mlops_assets.domain.evaluation.metrics import Metric, UnmeasurableError, metric_named
from mlops_assets.domain.partitions import window
from mlops_assets.domain.quality.fall.class_parts import add_parts
from mlops_assets.domain.quality.fall.since_promotion import sure_of
from mlops_assets.domain.quality.inputs import DayInputs, ServedVersion
from mlops_assets.domain.quality.prevalence import choose_shares, describe_left_out, describe_moved, split_by_class
from mlops_assets.domain.quality.records import ClassPart
from mlops_assets.domain.traffic.label_delay import measure_maturity
from mlops_assets.domain.traffic.labelled_rows import LABEL, concat_days, read_times
from mlops_assets.domain.traffic.ripe_rows import RipeRows, rows_of_bundle, select_ripe, to_datetime64

Measurement = tuple[Interval | None, str]  # a measurement, or why there is none

RECENT = 7  # days at most that are judged together
_EXPECTED, _MISSING = 20, 0.1  # labels of a class expected, and the part of them below which it is still to come
_AT_LEAST = 3  # of them, where there are as many


@dataclass(frozen=True, eq=False)
class DayRows:
    """What one version answered on a day and the days before it, and what came of it."""

    spec: ModelSpec
    day: DayInputs
    version: ServedVersion

    @cached_property
    def metric(self) -> Metric:
        return metric_named(self.spec.gates.metric, self.spec.target.kind)

    @cached_property
    def level(self) -> float:
        return central(self.spec.monitoring.quality.confidence)

    @cached_property
    def mine(self) -> pa.Table:
        return rows_of_bundle(self.day.rows, self.version.bundle)

    @cached_property
    def window(self) -> Mapping[str, pa.Table]:
        """Day → rows of this version: the latest days on which it answered, as many as it takes."""
        found: dict[str, pa.Table] = {}
        for name, every in sorted(self.day.recent.items(), reverse=True):
            enough = sum(map(count_labelled, found.values())) >= self.spec.monitoring.quality.minimum_rows
            if len(found) >= _AT_LEAST and enough:
                break
            if len(rows := rows_of_bundle(every, self.version.bundle)):
                found[name] = rows
        return dict(sorted(found.items()))

    @cached_property
    def maturity(self) -> float:
        """Of the day's labels; 0 while an outcome cannot have come yet."""
        if not len(self.mine) or self.missing_outcome:
            return 0.0
        return measure_maturity(self.day.curve, read_times(self.mine["time"]), to_datetime64(self.day.known_until))

    @cached_property
    def missing_outcome(self) -> str:
        """A class of the training of which hardly a label has come, with the numbers; empty where none is missing."""
        counts: Mapping[str, int] = self.version.profile.get("label", {}).get("counts", {})
        classes = self.version.judged.classes if self.version.judged else ()
        total, known = sum(counts.values()), self.day.curve.labelled
        for code, name in enumerate(classes):
            count, own = counts.get(name, 0), self.day.curve.outcomes.get(code)
            expected, came = known * count / max(total, 1), own.labelled if own else 0
            if expected >= _EXPECTED and came < _MISSING * expected:
                return f"{came:,} of {known:,} labels are {name}, {count / total:.0%} were in training"
        return ""

    @property
    def why_unripe(self) -> str:
        """What is waited for, and until when."""
        least, curve = self.spec.monitoring.quality.maturity, self.day.curve
        until = f"outcomes are in the lake up to {self.day.known_until:%Y-%m-%d %H:%M}"
        if self.missing_outcome:
            return f"{self.missing_outcome}: the others are still to come; {until}"
        if not curve.levelled:
            days = curve.watched / timedelta(days=1)
            return f"outcomes still come after {days:.1f} days, the longest that was watched; {until}"
        after = curve.after(least)
        ends = window(Every.DAY, self.day.name).end
        ripe = f", expected on {ends + after:%Y-%m-%d}" if after is not None and ends is not None else ""
        return f"{self.maturity:.0%} of its labels are there, {least:.0%} are needed{ripe}; {until}"

    @cached_property
    def ripe(self) -> RipeRows | None:
        """Of the recent days; None while the labels of this one are not ripe."""
        return self._ripened(concat_days(list(self.window.values()))) if self.window else None

    @cached_property
    def own(self) -> RipeRows | None:
        return self._ripened(self.mine)

    def _ripened(self, rows: pa.Table) -> RipeRows | None:
        policy = self.spec.monitoring.quality
        if self.maturity < policy.maturity:
            return None
        return select_ripe(rows, self.day.curve.after(policy.maturity), self.day.known_until)

    @cached_property
    def baseline(self) -> Interval | None:
        """At the level of the others, which is declared elsewhere."""
        baseline = self.version.baseline
        if baseline is None:
            return None
        wider = sure_of(self.level) / sure_of(baseline.level)
        low, high = ((end - baseline.estimate) * wider + baseline.estimate for end in (baseline.low, baseline.high))
        return replace(baseline, low=float(low), high=float(high), level=self.level)

    @cached_property
    def score(self) -> Measurement:
        """The day's realised score."""
        return self.measure(self.own)

    @cached_property
    def comparable(self) -> Measurement:
        """The day's score at the class shares of the evaluation, which the version's baseline is compared with."""
        parts, why = self.parts
        if not parts:
            return (None, why) if why else self.score
        value, error = add_parts(parts)
        if not np.isfinite(error):
            return None, "A class has fewer than two rows, so that the day cannot be measured by itself."
        reach = sure_of(self.level) * error
        low, high = np.clip([value - reach, value + reach], *self.metric.bounds)
        return Interval(value, float(low), float(high), self.level, "delta"), ""

    @cached_property
    def parts(self) -> tuple[tuple[ClassPart, ...], str]:
        """What each class adds to `comparable`, or why that cannot be measured; neither: shares do not matter."""
        own, shares = self.own, choose_shares(self.shares)
        if own is None or not len(own) or not shares:
            return (), ""
        try:
            return split_by_class(self.metric, own, shares), ""
        except UnmeasurableError as err:
            return (), f"{err}."

    @cached_property
    def moved_classes(self) -> str:
        """The class whose share has moved since the evaluation; empty where none has, or it cannot be known."""
        own, judged = self.own, self.version.judged
        if own is None or not len(own) or not self.shares or judged is None:
            return ""
        return describe_moved(own, self.shares, judged.classes)

    @property
    def counted_classes(self) -> tuple[str, ...]:
        """The classes that `parts` belong to."""
        named = zip(
            self.version.judged.classes if self.version.judged else (), choose_shares(self.shares), strict=False
        )
        return tuple(name for name, share in named if share)

    @property
    def left_out(self) -> str:
        """The classes that are too rare to be compared; empty where none is."""
        return (
            describe_left_out(self.shares, self.version.judged.classes) if self.version.judged and self.shares else ""
        )

    @property
    def shares(self) -> tuple[float, ...]:
        """Of the classes at the evaluation, where the labels of live rows have the same classes."""
        shares = self.version.estimator.shares if self.version.estimator else ()
        judged = self.version.judged
        return shares if judged is not None and len(judged.classes) == len(shares) else ()

    def measure(self, rows: RipeRows | None) -> Measurement:
        """The realised score of the rows."""
        if rows is None or not len(rows):
            return None, ""
        return try_measuring(lambda: score(self.metric, rows.labels, rows.scores, level=self.level, blocks=rows.blocks))


def try_measuring(make: Callable[[], Interval]) -> Measurement:
    """The measurement, or why it cannot be made."""
    try:
        return make(), ""
    except UnmeasurableError as err:
        return None, f"{err}."


def count_labelled(rows: pa.Table) -> int:
    """Rows that have a label."""
    return int(pc.sum(pc.is_finite(rows[LABEL])).as_py() or 0)
