"""Watches a simulated life: a record of quality and one of drift for each day, by the code that judges live ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.drift.distances import Aspect
from mlops_assets.domain.drift.event import DriftEvent, follow_event
from mlops_assets.domain.drift.records import DriftDay
from mlops_assets.domain.drift.reference import PREDICTION
from mlops_assets.domain.drift.sketch import Sketch
from mlops_assets.domain.drift.window import WindowDrift, inconclusive_window, judge_window
from mlops_assets.domain.quality.inputs import DayInputs
from mlops_assets.domain.quality.judge import judge_day
from mlops_assets.domain.quality.records import PerformanceDay
from mlops_assets.domain.traffic.ripe_rows import measure_label_delay
from mlops_assets.domain.verdict import Verdict
from tests.lifecycle.simulator.parts import Made, labelled, leading
from tests.lifecycle.simulator.world import Rows

_WINDOW = 7  # days that are judged together at most
_RIPENS = timedelta(days=8)


@dataclass(eq=False)
class Watch:
    """What is known of the days so far."""

    spec: ModelSpec
    made: Mapping[str, Made]
    answers: dict[str, pa.Table] = field(default_factory=dict)
    windows: list[tuple[str, WindowDrift]] = field(default_factory=list)
    drift: dict[str, DriftDay] = field(default_factory=dict)
    shifts: dict[str, DriftEvent] = field(default_factory=dict)  # bundle → the shift that goes on
    quality: dict[str, PerformanceDay] = field(default_factory=dict)

    @property
    def drift_days(self) -> list[DriftDay]:
        return [self.drift[day] for day in sorted(self.drift)]

    @property
    def quality_days(self) -> list[PerformanceDay]:
        return [self.quality[day] for day in sorted(self.quality)]

    def day(self, day: str, rows: Rows, answers: pa.Table, now: datetime) -> None:
        """The day that is over, and those before it whose labels were still to come."""
        self.answers[day] = answers
        self.drift[day] = self._drift_day(day, rows, now)
        least = self.spec.monitoring.quality.maturity
        known = [each for each in self.quality_days if each.day >= f"{now - _RIPENS:%Y-%m-%d}"]
        for name in sorted({day, *(each.day for each in known if each.maturity < least)}):
            self.quality[name] = self._quality_day(name, now)

    def _quality_day(self, day: str, now: datetime) -> PerformanceDay:
        names = [name for name in sorted(self.answers) if name <= day][-_WINDOW:]
        tables = {name: labelled(self.answers[name], now) for name in names}
        lead = leading(tables[day])
        version = self.made[lead].version if lead else None
        before = [each for each in self.quality_days if each.day < day]
        curve = measure_label_delay(pa.concat_tables(list(tables.values())), now, self.spec.target)
        blank = np.empty(0), np.empty((0, 0))
        recent = {name: table for name, table in tables.items() if len(table)}
        return judge_day(
            self.spec, DayInputs(day, tables[day], recent, curve, blank, before, {}, now, now), version
        ).record

    def _drift_day(self, day: str, rows: Rows, now: datetime) -> DriftDay:
        lead, policy = leading(self.answers[day]), self.spec.monitoring.drift
        made = self.made[lead] if lead else None
        window = inconclusive_window(day, 0, "no traffic: no request came")
        if made is not None:
            window = judge_window(day, _compared(made, rows), policy)
        self.windows.append((made.bundle if made else "", window))
        mine = [each for bundle, each in self.windows if made and bundle in (made.bundle, "")] or [window]
        version, bundle = (made.semantic, made.bundle) if made else ("", "")
        verdict = Verdict(day, window.outcome, window.reason, {})
        alarm, event = follow_event(day, mine, self.shifts.get(bundle), policy)
        self.shifts = {bundle: event} if event else {}
        announced = event.announced if event else ""
        return DriftDay(day, version, bundle, window.rows, verdict, alarm, announced, window.columns, (), "", now)


def _compared(made: Made, rows: Rows) -> Any:
    features, predictions = made.profile.features, made.profile.predictions
    scores = pa.table({PREDICTION: made.learnt.score(rows)})
    return {
        Aspect.FEATURE: (features, Sketch.of(rows.table, features)),
        Aspect.PREDICTION: (predictions, Sketch.of(scores, predictions)),
    }
