"""Collects what a day of answers is judged on: its labelled answers, those of the days before, the version's reference.

Reads the lake, the bundles and the earlier records; keeps the labelled answers of the day; judges nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import Stage
from mlops_assets.domain.quality.day_rows import RECENT
from mlops_assets.domain.quality.fall.since_promotion import follow_back_to
from mlops_assets.domain.quality.inputs import DayInputs, ServedVersion
from mlops_assets.domain.quality.label_soundness import UNKNOWN_REQUESTS
from mlops_assets.domain.quality.records import PerformanceDay
from mlops_assets.domain.traffic.label_delay import DelayCurve, reach_of
from mlops_assets.domain.traffic.labelled_rows import LABEL, concat_days, find_unknown_outcomes, read_scores, thin_rows
from mlops_assets.domain.traffic.outcome_join import KNOWN_AT
from mlops_assets.domain.traffic.ripe_rows import find_leading_version, measure_label_delay
from mlops_assets.domain.traffic.row_loss import LabelSpace
from mlops_assets.resources.lake.daily_records import Monitoring
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.workspace import Workspace
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.stages.quality.reference import VersionReferences
from mlops_assets.stages.traffic.labelled_days import AnsweredDay, LabelledDays, days_between, start_of

_DAY = timedelta(days=1)
_CURVE = timedelta(days=14)  # the answers of these days show how long labels take
_DELAYS, _WINDOW = 50_000, 250_000  # rows of each day for that, and for what is judged together
EstimateRows = tuple[NDArray[np.float64], NDArray[np.float64]]  # scores and features of some rows
_TIMES = ["time", KNOWN_AT, LABEL]
_SETTLED = 0.999  # share of its labels at which a day is not judged again
_STOPPED = 0.5  # share of the expected labels; with fewer, late ones may still come


@dataclass(frozen=True, eq=False)
class CollectedQuality:
    """What one day is judged on. `version`: the one that gave most answers; none: nobody answered."""

    inputs: DayInputs
    version: ServedVersion | None


@dataclass(frozen=True)
class NamedAnswers:
    """The days of the answers that some outcomes belong to, and how many belong to none within reach."""

    days: tuple[str, ...]
    strangers: int


@dataclass
class QualityCollector:
    """Collects the days of one model, oldest first; a later day is judged on the records of the days before it."""

    spec: ModelSpec
    labelled: LabelledDays
    references: VersionReferences
    now: datetime
    records: dict[str, PerformanceDay] = field(default_factory=dict)
    _versions: dict[tuple[str, str], ServedVersion] = field(default_factory=dict)
    _delays: dict[str, pa.Table | None] = field(default_factory=dict)

    @classmethod
    def open(cls, spec: ModelSpec, now: datetime, *, lake: Lake, bundles: Bundles, workspace: Workspace) -> Self:
        return cls(spec, LabelledDays(spec, lake, now), VersionReferences(spec, lake, bundles, workspace), now)

    @property
    def reach(self) -> timedelta:
        return reach_of(self.spec.target)

    def collect_days(self, requested: Sequence[str], monitoring: Monitoring) -> Iterator[CollectedQuality]:
        """The requested days, and the recent ones whose labels were not all in when they were last judged."""
        since = follow_back_to(min(*requested, f"{self.now - self.reach:%Y-%m-%d}"))
        self.records = monitoring.read(self.spec.model, Stage.PERFORMANCE, PerformanceDay, since=since)
        young = f"{self.now - self.reach:%Y-%m-%d}"
        recent = {day: each for day, each in self.records.items() if day >= young}
        ripening = {day for day, each in recent.items() if not _settled(each)}
        for day in sorted({*requested, *ripening, *self._find_news(recent)}):
            yield self._collect(day, day in requested)

    def _collect(self, day: str, requested: bool) -> CollectedQuality:
        answers = self.labelled.answered(day)
        joined = self.labelled.bring(day, answers, self.read_label_spaces(answers.rows))
        strangers = self._find_answers(day).strangers if requested else self.records[day].odd.get(UNKNOWN_REQUESTS, 0)
        lead = find_leading_version(joined.rows)
        version = self._version(*lead) if lead else None
        sample = self._sample(answers, version)
        return CollectedQuality(
            self._inputs(day, joined.rows, sample, {**joined.odd, UNKNOWN_REQUESTS: strangers}), version
        )

    def _find_news(self, records: Mapping[str, PerformanceDay]) -> set[str]:
        """The days for which an outcome came into the lake after they were judged, or answers did."""
        if not records:
            return set()
        judged = {day: each.made_at for day, each in records.items()}
        answers = self.labelled.answer_snapshots(judged)
        found = {day for day, each in answers.items() if each.written_at > judged[day]}
        for came, each in self.labelled.outcome_snapshots(start_of(min(judged)), self.now).items():
            if each.rows and each.written_at > min(judged.values()):
                named = self._find_answers(came)
                found |= {day for day in named.days if day in judged and each.written_at > judged[day]}
        return found

    def _inputs(self, day: str, rows: pa.Table, sample: EstimateRows, odd: Mapping[str, int]) -> DayInputs:
        start, until = start_of(day), self.labelled.known_until(day)
        earlier = days_between(start - (RECENT - 1) * _DAY, start - _DAY)
        recent = {name: thin_rows(each, _WINDOW) for name, each in self.labelled.read(earlier).items()}
        return DayInputs(
            name=day,
            rows=rows,
            recent={**recent, day: thin_rows(rows, _WINDOW)} if len(rows) else recent,
            curve=self._curve(start, rows, until),
            sample=sample,
            before=[each for name, each in sorted(self.records.items()) if name < day],
            odd=odd,
            known_until=until,
            now=self.now,
        )

    def _curve(self, start: datetime, rows: pa.Table, until: datetime) -> DelayCurve:
        """Answers of the last two weeks, and old ones that were watched until no more labels come."""
        first = min(start - _CURVE, until - self.reach - _DAY)
        earlier = (self._read_delays(day) for day in days_between(first, start - _DAY))
        found = [*(each for each in earlier if each is not None), thin_rows(rows.select(_TIMES), _DELAYS)]
        return measure_label_delay(concat_days(found), until, self.spec.target)

    def _read_delays(self, day: str) -> pa.Table | None:
        """Times and labels of some of the day's answers. Days are collected in order: an earlier one stays so."""
        if day not in self._delays:
            found = self.labelled.read([day], _TIMES)
            self._delays[day] = thin_rows(found[day], _DELAYS) if found else None
        return self._delays[day]

    def _sample(self, answers: AnsweredDay, version: ServedVersion | None) -> EstimateRows:
        """Scores and features of some rows of the version that answered."""
        if answers.sample is None or version is None:
            return np.empty(0), np.empty((0, 0))
        mine = answers.sample.filter(pc.equal(answers.sample["bundle"], version.bundle))
        mine = mine.filter(pc.is_valid(mine["answer"]))
        columns = [pc.struct_field(mine["features"], name).to_numpy() for name in version.numbers]
        return read_scores(mine), np.column_stack(columns) if columns else np.empty((len(mine), 0))

    def _find_answers(self, day: str) -> NamedAnswers:
        """Where the answers are that the outcomes of a day belong to."""
        left, start, days = self.labelled.outcomes([day]), start_of(day), list[str]()
        for name in reversed(days_between(start - self.reach, start)):
            if not len(left):
                break
            unknown = find_unknown_outcomes(left, self.labelled.requests(name))
            if len(unknown) < len(left):
                days.append(name)
            left = unknown
        return NamedAnswers(tuple(days), len(left))

    def read_label_spaces(self, rows: pa.Table) -> dict[str, LabelSpace]:
        """Bundle → what its labels mean, of each bundle that can be opened."""
        opened = {digest: self.references.opened(digest) for digest in pc.unique(rows["bundle"]).to_pylist() if digest}
        return {digest: LabelSpace.of(b.contract, b.profile) for digest, b in opened.items() if b is not None}

    def _version(self, name: str, bundle: str) -> ServedVersion:
        if (name, bundle) not in self._versions:
            self._versions[name, bundle] = self.references.version(name, bundle)
        return self._versions[name, bundle]


def _settled(day: PerformanceDay) -> bool:
    """No more labels are expected. Where labels stopped, late ones may still come."""
    return not day.rows or (day.maturity >= _SETTLED and day.labelled >= _STOPPED * max(day.expected, 1))
