"""How often the real gates promote what they should and should not, in simulation.

Asked of them at 5,000 test rows: an equal model is promoted in at most 5 % of trials, one that is a point
worse in at most 1 %, one that is three points better in at least 95 %. Champion and candidate are two
models of the same problem: their scores are correlated, as those of two trainings are.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.special import ndtri

from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.evaluation import GateSpec, Metric
from mlops_assets.domain.evaluation.comparison import Basis, Contenders, Opponent
from mlops_assets.domain.evaluation.evidence import Evidence, FairnessReport
from mlops_assets.domain.evaluation.gates import judge
from mlops_assets.domain.evaluation.intervals import blocks_of, central, gain
from mlops_assets.domain.evaluation.metrics import METRICS
from mlops_assets.domain.evaluation.report import gather
from mlops_assets.domain.evaluation.slices import Part, measure
from mlops_assets.domain.verdict import Outcome, worst
from tests.kit.evaluated_model import SERVED
from tests.kit.specs import model_spec

ROWS, TRIALS = 5000, 400
CONFIDENCE = 0.975
ALIKE = 0.8  # correlation of two models' scores within a class
LEVEL = {"auc": 0.70, "accuracy": 0.75}  # of the champion
POSITIVE = {"auc": 0.25, "accuracy": 0.5}  # share of rows

pytestmark = pytest.mark.simulation


@dataclass(frozen=True)
class Trial:
    labels: np.ndarray
    scores: Mapping[str, np.ndarray]


def policy(metric: Metric) -> GateSpec:
    return GateSpec(
        metric=metric,
        confidence=CONFIDENCE,
        guard_loss=0.02,
        baselines=("linear",),
        baseline_margin=0.0,
        anchor="first",
        anchor_loss=0.01,
        floor=None,
        ceiling=0.9,
        calibration=None,
        robustness=None,
        minimum_rows=500,
    )


def distance(metric: str, level: float) -> float:
    """How far apart the classes' mean scores lie for the metric to be `level`."""
    return float(ndtri(level) * (np.sqrt(2) if metric == "auc" else 2))


def draw(rng: np.random.Generator, metric: str, levels: Mapping[str, float], days: int | None) -> Trial:
    """Labels and the scores of each model. With days, each model has its own luck on each of them."""
    labels = (rng.random(ROWS) < POSITIVE[metric]).astype(int)
    common = rng.normal(size=ROWS)
    scores = {}
    for name, level in levels.items():
        noise = np.sqrt(ALIKE) * common + np.sqrt(1 - ALIKE) * rng.normal(size=ROWS)
        apart = np.full(ROWS, distance(metric, level))
        if days is not None:
            apart += rng.normal(scale=0.25, size=days)[np.arange(ROWS) * days // ROWS]
        scores[name] = 1 / (1 + np.exp(-(apart * (labels - 0.5) + noise)))
    return Trial(labels, scores)


def evidence(name: str, trial: Trial, level: float) -> Evidence:
    metric, candidate, champion = METRICS[name], trial.scores["candidate"], trial.scores["champion"]
    parts = [Part("airport", str(k), 500, np.arange(ROWS) % 4 == k) for k in range(4)]
    basis, rival = Basis(Kind.BINARY, metric, trial.labels, level), Opponent("2", champion)
    return gather(
        basis,
        Contenders(
            candidate,
            champion=rival,
            anchor=Opponent("1", trial.scores["anchor"]),
            baselines={"linear": trial.scores["linear"]},
        ),
        slices=measure(parts, basis, candidate, rival),
        calibrated=None,
        robustness=None,
        fairness=FairnessReport((), (), ()),
        served=SERVED,
        parity={"all rows": 0.0},
        limits=model_spec().serving,
    )


def by_gates(metric: Metric) -> Callable[[Trial], bool]:
    """All gates of a usual policy, four guard slices among them."""
    rules, level = policy(metric), central(CONFIDENCE)
    return lambda trial: worst(judge(rules, evidence(metric, trial, level))) is Outcome.PASS


def gain_shown(name: str, confidence: float, blocks: np.ndarray | None = None) -> Callable[[Trial], bool]:
    """The comparison with the champion alone."""
    metric, level = METRICS[name], central(confidence)

    def promoted(trial: Trial) -> bool:
        pair = trial.scores["candidate"], trial.scores["champion"]
        return gain(metric, trial.labels, *pair, level=level, blocks=blocks).low > 0

    return promoted


def count_promoted(metric: str, edge: float, promoted: Callable[[Trial], bool], days: int | None = None) -> int:
    """Of TRIALS candidates, better than the champion by `edge`; the anchor is an honest step below it."""
    level = LEVEL[metric]
    levels = {"candidate": level + edge, "champion": level, "anchor": level - 0.02, "linear": level - 0.04}
    seeds = ([seed, round(1000 * (edge + 1))] for seed in range(TRIALS))
    return sum(promoted(draw(np.random.default_rng(seed), metric, levels, days)) for seed in seeds)


def demand(promoted: int, limit: float, *, at_most: bool) -> None:
    """The rate lies on its side of the limit."""
    tell(f"promoted {share(promoted)}, {'at most' if at_most else 'at least'} {limit:.0%}")
    assert (promoted <= limit * TRIALS) if at_most else (promoted >= limit * TRIALS)


def share(promoted: int) -> str:
    return f"{promoted} of {TRIALS} ({promoted / TRIALS:.1%})"


def tell(text: str) -> None:
    sys.stdout.write(text + "\n")


@pytest.mark.parametrize("metric", ["auc", "accuracy"])
@pytest.mark.parametrize(("edge", "limit", "at_most"), [(0.0, 0.05, True), (-0.01, 0.01, True), (0.03, 0.95, False)])
def test_the_gates_promote_as_promised(metric: Metric, edge: float, limit: float, at_most: bool) -> None:
    demand(count_promoted(metric, edge, by_gates(metric)), limit, at_most=at_most)


@pytest.mark.parametrize("metric", ["auc", "accuracy"])
def test_a_confidence_of_95_percent_has_no_margin(metric: Metric) -> None:
    """Why the usual confidence is 0.975: at 0.95 an equal model passes in 5 % of trials, give or take."""
    promoted = count_promoted(metric, 0.0, gain_shown(metric, 0.95))
    tell(f"promoted {share(promoted)} at a confidence of 0.95")
    assert 0.03 * TRIALS < promoted < 0.08 * TRIALS


@dataclass(frozen=True)
class World:
    """Rows that come in days or from customers: how many of either, and how unevenly they are filled."""

    days: int = 0
    groups: int = 0
    rows: int = 3000
    uneven: bool = False
    alike: float = 0.8

    def draw(self, rng: np.random.Generator, edge: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Labels, the candidate's and the champion's scores, and blocks. Each model has luck of its own in each."""
        ways = [rng.choice(n, size=self.rows, p=self._shares(rng, n)) for n in (self.days, self.groups) if n]
        base = sum(rng.normal(scale=0.5, size=way.max() + 1)[way] for way in ways)
        labels = (rng.random(self.rows) < 1 / (1 + np.exp(1.1 - base))).astype(int)
        common, scores = rng.normal(size=self.rows), []
        for level in (LEVEL["auc"] + edge, LEVEL["auc"]):
            noise = np.sqrt(self.alike) * common + np.sqrt(1 - self.alike) * rng.normal(size=self.rows)
            apart = np.full(self.rows, distance("auc", level))
            for way in ways:
                apart += rng.normal(scale=0.3, size=way.max() + 1)[way]
                noise += rng.normal(scale=0.3, size=way.max() + 1)[way]
            scores.append(1 / (1 + np.exp(-(apart * (labels - 0.5) + noise))))
        times = np.datetime64("2026-01-01", "us") + (ways[0] if self.days else 0 * ways[0]) * np.timedelta64(1, "D")
        blocks = blocks_of(times, ways[-1] if self.groups else None)
        assert blocks is not None
        return labels, scores[0], scores[1], blocks

    def _shares(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return rng.dirichlet(np.ones(count)) if self.uneven else np.full(count, 1 / count)

    def promoted(self, edge: float) -> int:
        """How many of TRIALS candidates are shown to be better."""
        found = 0
        for seed in range(TRIALS):
            labels, candidate, champion, blocks = self.draw(np.random.default_rng([seed, self.rows]), edge)
            level = central(CONFIDENCE)
            found += gain(METRICS["auc"], labels, candidate, champion, level=level, blocks=blocks).low > 0
        return found


STRUCTURED = {
    "6 days": World(days=6),
    "6 uneven days": World(days=6, uneven=True),
    "14 days": World(days=14, alike=0.5),
    "14 uneven days, alike": World(days=14, uneven=True, alike=0.95),
    "60 days": World(days=60),
    "300 days": World(days=300, alike=0.95),
    "20 customers": World(groups=20, rows=400),
    "250 customers of 20 rows": World(groups=250, rows=5000),
    "5000 customers": World(groups=5000, rows=10_000, alike=0.5),
    "30 days of 100 customers": World(days=30, groups=100),
}


@pytest.mark.parametrize("world", STRUCTURED.values(), ids=STRUCTURED.keys())
def test_equal_models_are_promoted_in_5_percent(world: World) -> None:
    """However few the days or customers: the interval knows how many there are."""
    equal, worse, better = (world.promoted(edge) for edge in (0.0, -0.01, 0.03))
    tell(f"equal {share(equal)}, a point worse {share(worse)}, three points better {share(better)}")
    assert equal <= 0.05 * TRIALS
    assert worse <= 0.05 * TRIALS
    assert better >= equal


def test_the_textbook_rule_promotes_a_worse_model() -> None:
    """The rule "not worse than 98 % of the champion" takes a model that is a point worse."""
    metric = METRICS["auc"]

    def promoted(trial: Trial) -> bool:
        values = {name: metric(trial.labels, trial.scores[name]) for name in ("candidate", "champion")}
        return values["candidate"] >= 0.98 * values["champion"]

    worse = count_promoted("auc", -0.01, promoted)
    tell(f"a point worse, promoted by the textbook rule: {share(worse)}")
    assert worse > 0.5 * TRIALS
