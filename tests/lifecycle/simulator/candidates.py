"""Where a simulated model's versions are trained and judged: which rows there are to learn from, and the real gates."""

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.evaluation.comparison import Basis, Contenders, Opponent
from mlops_assets.domain.evaluation.evidence import FairnessReport
from mlops_assets.domain.evaluation.gates import judge
from mlops_assets.domain.evaluation.intervals import central, score
from mlops_assets.domain.evaluation.metrics import METRICS
from mlops_assets.domain.evaluation.report import gather
from mlops_assets.domain.quality.estimator import HeldOutRows, fit_estimator
from mlops_assets.domain.registry.versions import VersionInfo
from mlops_assets.domain.verdict import Outcome, worst
from tests.fakes.registry import FakeRegistry
from tests.kit.evaluated_model import SERVED
from tests.kit.samples import facts, sample
from tests.lifecycle.simulator.parts import START, Made
from tests.lifecycle.simulator.world import Learnt, Rows, joined

_LEARNT_FROM, _FEWEST = 8_000, 1_000  # rows
_DAY = 86_400.0  # seconds
_LATE = 5  # days after which no label comes any more


@dataclass(eq=False)
class School:
    """All versions, and the rows of all days so far."""

    spec: ModelSpec
    registry: FakeRegistry
    made: dict[str, Made] = field(default_factory=dict)
    rows: dict[int, Rows] = field(default_factory=dict)

    def register(
        self,
        rows: Rows,
        now: datetime,
        learnt: Learnt | None = None,
        errors: float = 0.002,
        promise: Learnt | None = None,
    ) -> Made:
        """A version that was trained on these rows and evaluated on their last fifth, or one that only seemed so."""
        cut = len(rows) * 4 // 5
        first, last = rows.take(np.arange(cut)), rows.take(np.arange(cut, len(rows)))
        learnt = learnt or Learnt.of(first)
        number, scores = str(len(self.made) + 1), (promise or learnt).score(last)
        level = central(self.spec.gates.confidence)
        baseline = score(METRICS["auc"], last.label, scores, level=level)
        estimator = fit_estimator(Kind.BINARY, "auc", HeldOutRows(last.label, scores, np.empty((len(last), 0))))
        made = self.made[number] = Made(number, learnt, now, baseline, estimator, errors)
        known = {"model": self.spec.model, "number": number, "semantic": made.semantic, "bundle": made.bundle}
        info = sample(VersionInfo, **known, tags={}, facts=facts())
        self.registry.infos.setdefault(self.spec.model, []).append(info)
        return made

    def learnable(self, began: datetime) -> Rows | None:
        """The latest labelled rows as of the run's beginning."""
        until, parts = (began - START).total_seconds(), []
        for day in sorted(self.rows, reverse=True):
            parts.insert(0, self.rows[day].take(self.known(day) <= until))
            if sum(map(len, parts)) >= _LEARNT_FROM:
                break
        rows = joined(parts)
        return rows.take(np.arange(max(len(rows) - _LEARNT_FROM, 0), len(rows))) if len(rows) > _FEWEST else None

    def passes(self, made: Made, champion: Made, rows: Rows) -> bool:
        """Champion and candidate on the last fifth, by the real gates."""
        test = rows.take(np.arange(len(rows) * 4 // 5, len(rows)))
        opponent = Opponent(champion.semantic, champion.learnt.score(test))
        level = central(self.spec.gates.confidence)
        contenders = Contenders(made.learnt.score(test), opponent, None, {})
        found = gather(
            Basis(Kind.BINARY, METRICS["auc"], test.label, level), contenders, slices=(), calibrated=None,
            robustness=None, fairness=FairnessReport((), (), ()), served=SERVED, parity={"all rows": 0.0},
            limits=self.spec.serving,
        )  # fmt: skip
        return worst(judge(self.spec.gates, found)) is Outcome.PASS

    def new_rows(self, since: datetime, now: datetime) -> int:
        """Labels that became known after a training looked."""
        first, last = ((each - START).total_seconds() for each in (since, now))
        known = [self.known(day) for day in self.rows if (day + 1 + _LATE) * _DAY > first]
        return int(sum(((moments > first) & (moments <= last)).sum() for moments in known))

    def known(self, day: int) -> np.ndarray:
        """When the labels of a day's rows became known, in seconds since the start."""
        rows = self.rows[day]
        return (day + np.arange(len(rows)) / max(len(rows), 1)) * _DAY + rows.wait
