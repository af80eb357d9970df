"""Judges days of answers: joins what came of them, looks at those before, keeps a record a day. Bodies only.

A run judges the days it is asked for, and every day of the last 30 whose labels were not all in when it was judged
last. So a record is of the moment it was made, and ripens by itself as later days are run.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.evaluation.calibration import Reliability
from mlops_assets.domain.evaluation.evidence import FairnessReport
from mlops_assets.domain.evaluation.intervals import central
from mlops_assets.domain.evaluation.metrics import metric_named
from mlops_assets.domain.evaluation.slices import SliceScore
from mlops_assets.domain.names import Stage
from mlops_assets.domain.quality.breakdown import (
    ArmSummary,
    measure_calibration,
    protected_columns,
    score_slices,
    summarise_arms,
)
from mlops_assets.domain.quality.business_value import find_unknown_pairs
from mlops_assets.domain.quality.inputs import DayInputs, ServedVersion
from mlops_assets.domain.quality.judge import RECENT, DayQuality, judge_day
from mlops_assets.domain.quality.label_soundness import UNKNOWN_REQUESTS
from mlops_assets.domain.quality.records import PerformanceDay
from mlops_assets.domain.traffic.label_delay import DelayCurve
from mlops_assets.domain.traffic.labelled_rows import concat_days, find_unknown_outcomes, read_scores, thin_rows
from mlops_assets.domain.traffic.outcome_join import KNOWN_AT
from mlops_assets.domain.traffic.ripe_rows import RipeRows, find_leading_version, measure_label_delay
from mlops_assets.domain.traffic.row_loss import LabelSpace
from mlops_assets.domain.traffic.slices import missing_columns
from mlops_assets.resources.checks.fairness import assess
from mlops_assets.resources.lake.daily_records import Monitoring
from mlops_assets.stages.quality.reference import VersionReferences
from mlops_assets.stages.traffic.labelled_days import REACH, AnsweredDay, LabelledDays, days_between, start_of

DETAILS = "details.json"
_CURVE = timedelta(days=14)  # by whose answers it is learnt how long labels take
_DELAYS, _WINDOW = 50_000, 250_000  # rows of each day for that, and for what is judged together
_SETTLED = 0.999  # share of its labels with which a day is looked at no more
_STOPPED = 0.5  # of the labels that were to come; with fewer, late ones are still hoped for


@dataclass(frozen=True, eq=False)
class JudgedQuality:
    """One day, and what is told of it beside its record."""

    found: DayQuality
    curve: DelayCurve
    arms: tuple[ArmSummary, ...]
    slices: tuple[SliceScore, ...]
    calibration: tuple[Reliability, RipeRows] | None
    fairness: FairnessReport
    notes: tuple[str, ...]  # what could not be told, and why

    @property
    def record(self) -> PerformanceDay:
        return self.found.record

    def details(self) -> bytes:
        """For whoever wants more than the record."""
        plain = {
            "scores": [asdict(each) for each in self.found.scores],
            "arms": [asdict(each) for each in self.arms],
            "slices": [asdict(each) for each in self.slices],
            "calibration": asdict(self.calibration[0]) if self.calibration else None,
            "fairness": asdict(self.fairness),
            "notes": self.notes,
            "label_delay": {"hours": (self.curve.seconds / 3600).tolist(), "share": self.curve.arrived.tolist()},
        }
        return json.dumps(plain, indent=1).encode()


@dataclass
class QualityJudge:
    """The days of one model, judged one after the other."""

    spec: ModelSpec
    labelled: LabelledDays
    references: VersionReferences
    monitoring: Monitoring
    now: datetime
    records: dict[str, PerformanceDay] = field(default_factory=dict)
    _versions: dict[tuple[str, str], ServedVersion] = field(default_factory=dict)

    def judge(self, asked: Sequence[str]) -> list[JudgedQuality]:
        """Those asked for and those that still ripen, oldest first."""
        since = min(*asked, f"{self.now - REACH - _CURVE:%Y-%m-%d}")
        self.records = self.monitoring.read(self.spec.model, Stage.PERFORMANCE, PerformanceDay, since=since)
        young = f"{self.now - REACH:%Y-%m-%d}"
        ripening = [day for day, each in self.records.items() if day >= young and not _settled(each)]
        return [self._judge(day, day in asked) for day in sorted({*asked, *ripening})]

    def _judge(self, day: str, asked: bool) -> JudgedQuality:
        answers = self.labelled.answered(day)
        joined = self.labelled.bring(day, answers, self._judged(answers.rows))
        strangers = self._strangers(day) if asked else self.records[day].odd.get(UNKNOWN_REQUESTS, 0)
        lead = find_leading_version(joined.rows)
        version = self._version(*lead) if lead else None
        judged = self._day(day, joined.rows, answers, version, {**joined.odd, UNKNOWN_REQUESTS: strangers})
        made = self._told(judged, version, judge_day(self.spec, judged, version))
        self.monitoring.put(self.spec.model, Stage.PERFORMANCE, day, DETAILS, made.details())
        self.monitoring.write(self.spec.model, Stage.PERFORMANCE, made.record)
        self.records[day] = made.record
        return made

    def _day(
        self, day: str, rows: pa.Table, answers: AnsweredDay, version: ServedVersion | None, odd: Mapping[str, int]
    ) -> DayInputs:
        start = start_of(day)
        earlier = days_between(start - timedelta(days=RECENT - 1), start - timedelta(days=1))
        recent = {name: thin_rows(each, _WINDOW) for name, each in self.labelled.read(earlier).items()}
        return DayInputs(
            name=day,
            rows=rows,
            recent={**recent, day: thin_rows(rows, _WINDOW)} if len(rows) else recent,
            curve=self._curve(start, rows),
            sample=self._sample(answers, version),
            before=[each for name, each in sorted(self.records.items()) if name < day],
            odd=odd,
            now=self.now,
        )

    def _curve(self, start: datetime, rows: pa.Table) -> DelayCurve:
        earlier = self.labelled.read(days_between(start - _CURVE, start - timedelta(days=1)), _TIMES)
        found = [thin_rows(each, _DELAYS) for each in (*earlier.values(), rows.select(_TIMES))]
        return measure_label_delay(concat_days(found), self.now)

    def _sample(
        self, answers: AnsweredDay, version: ServedVersion | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scores and features of some rows of the version that answered."""
        if answers.sample is None or version is None:
            return np.empty(0), np.empty((0, 0))
        mine = answers.sample.filter(pc.equal(answers.sample["bundle"], version.bundle))
        mine = mine.filter(pc.is_valid(mine["answer"]))
        columns = [pc.struct_field(mine["features"], name).to_numpy() for name in version.numbers]
        return read_scores(mine), np.column_stack(columns) if columns else np.empty((len(mine), 0))

    def _told(self, day: DayInputs, version: ServedVersion | None, found: DayQuality) -> JudgedQuality:
        spec, level = self.spec, central(self.spec.monitoring.quality.confidence)
        metric = metric_named(spec.gates.metric, spec.target.kind)
        after = day.curve.after(spec.monitoring.quality.maturity)
        arms = tuple(summarise_arms(day.rows, metric, level, after, self.now))
        if found.ripe is None or version is None:
            return JudgedQuality(
                found, day.curve, arms, (), None, FairnessReport((), (), ()), self._notes(day, version)
            )
        return JudgedQuality(
            found,
            day.curve,
            arms,
            score_slices(found.ripe, spec.slices, version.profile, metric, level),
            measure_calibration(spec.target.kind, found.ripe, level, spec.training.seed),
            self._fairness(found.ripe, version, level),
            self._notes(day, version),
        )

    def _notes(self, day: DayInputs, version: ServedVersion | None) -> tuple[str, ...]:
        classes = version.judged.classes if version and version.judged else ()
        strange = find_unknown_pairs(self.spec.monitoring.costs, classes) if classes else ()
        parts = missing_columns(day.rows, self.labelled.parts) if len(day.rows) else ()
        return (
            *(version.problems if version else ()),
            *(f"monitoring.costs: {each} is no answer and outcome; there are {', '.join(classes)}" for each in strange),
            *(f"the log has no {each}, so that parts of the rows cannot be told apart by it" for each in parts),
        )

    def _fairness(self, ripe: RipeRows, version: ServedVersion, level: float) -> FairnessReport:

        spec, rng = self.spec, np.random.default_rng(self.spec.training.seed)
        columns = protected_columns(ripe, spec.fairness.attributes)
        return assess(
            spec.fairness, spec.target.kind, ripe.labels, ripe.scores, columns, level=level, rng=rng,
            blocks=ripe.blocks, threshold=version.threshold or 0.5,
        )  # fmt: skip

    def _strangers(self, day: str) -> int:
        """Outcomes that came on the day and belong to no answer of the time in which outcomes are waited for."""
        left, start = self.labelled.outcomes([day]), start_of(day)
        for name in reversed(days_between(start - REACH, start)):
            if not len(left):
                break
            left = find_unknown_outcomes(left, self.labelled.requests(name))
        return len(left)

    def _judged(self, rows: pa.Table) -> dict[str, LabelSpace]:
        """What labels mean, of each bundle that is at hand."""
        opened = {digest: self.references.opened(digest) for digest in pc.unique(rows["bundle"]).to_pylist() if digest}
        return {digest: LabelSpace.of(b.contract, b.profile) for digest, b in opened.items() if b is not None}

    def _version(self, name: str, bundle: str) -> ServedVersion:
        if (name, bundle) not in self._versions:
            self._versions[name, bundle] = self.references.version(name, bundle)
        return self._versions[name, bundle]


_TIMES = ["time", KNOWN_AT]


def _settled(day: PerformanceDay) -> bool:
    """Nothing more is to be expected; where labels stopped, late ones are."""
    return not day.rows or (day.maturity >= _SETTLED and day.labelled >= _STOPPED * max(day.expected, 1))
