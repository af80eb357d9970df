"""Everything the evaluation of one candidate found, on one set of frozen test rows.

    report = build_report(spec, held_out, contenders, predict=session.predict, served=measured, parity=parity,
                          fairness=fairness, rng=np.random.default_rng(spec.training.seed))
    verdicts = judge(spec.gates, report.evidence)

Only numbers and names in the result: `as_json` writes it, `report_text` tells it, `plots` draws it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa

from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.declaration.release import ServingSpec
from mlops_assets.domain.evaluation.calibration import Reliability, reliability
from mlops_assets.domain.evaluation.comparison import Basis, Contenders, ContenderScore, score_all
from mlops_assets.domain.evaluation.estimators import Array
from mlops_assets.domain.evaluation.evidence import Evidence, FairnessReport, Measured, RefitEvidence, Robustness
from mlops_assets.domain.evaluation.importance import Importance, permutation_importance
from mlops_assets.domain.evaluation.intervals import central, coarsest
from mlops_assets.domain.evaluation.metrics import metric_named
from mlops_assets.domain.evaluation.robustness import EvaluatedRows, Predict, sample, stress
from mlops_assets.domain.evaluation.slices import SliceScore, cut, cut_returning, measure
from mlops_assets.domain.records import Compressed


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The test rows. `columns` and `training` hold what slices are cut by, of test and of training rows."""

    rows: EvaluatedRows
    columns: pa.Table
    training: pa.Table
    blocks: Array | None  # rows that move together, as numbers; see intervals.blocks_of
    returning: Array | None  # mask of rows whose group was learnt before; None: no group, or none is both


@dataclass(frozen=True)
class EvaluationReport:
    model: str
    kind: Kind
    metric: str
    level: float  # of all intervals
    rows: int
    blocks: int | None  # how many groups of rows move together; None: each row by itself
    scores: tuple[ContenderScore, ...]
    slices: tuple[SliceScore, ...]
    reliability: Reliability
    importance: tuple[Importance, ...]
    served: Compressed
    evidence: Evidence

    def as_json(self) -> str:
        return json.dumps(asdict(self), allow_nan=False, indent=1)


def build_report(
    spec: ModelSpec,
    held_out: HeldOut,
    contenders: Contenders,
    *,
    predict: Predict,
    served: Compressed,
    parity: Mapping[str, float],
    fairness: FairnessReport,
    refit: RefitEvidence | None = None,
    rng: np.random.Generator,
    resamples: int = 500,
    sampled: int = 5000,
) -> EvaluationReport:
    """Measure all that is declared. `parity`: slice → largest difference of a score, trained against served.

    Robustness and importance look at `sampled` of the rows; everything else at all of them.
    """
    basis = basis_of(spec, held_out)
    slices = _slices(spec, held_out, basis, contenders)
    calibrated = _reliability(basis, contenders.candidate, rng, resamples)
    robustness, importance = _probed(basis, held_out.rows, predict, rng, sampled)
    return EvaluationReport(
        model=spec.model,
        kind=basis.kind,
        metric=basis.metric.name,
        level=basis.level,
        rows=len(basis.labels),
        blocks=None if basis.blocks is None else len(np.unique(coarsest(basis.blocks))),
        scores=score_all(basis, contenders, rng=rng, resamples=resamples, known={"ece": calibrated.error}),
        slices=slices,
        reliability=calibrated,
        importance=importance,
        served=served,
        evidence=gather(
            basis, contenders, slices=slices, calibrated=calibrated, robustness=robustness, fairness=fairness,
            served=served, parity=parity, limits=spec.serving, refit=refit,
        ),
    )  # fmt: skip


def basis_of(spec: ModelSpec, held_out: HeldOut) -> Basis:
    kind = spec.target.kind
    metric, level = metric_named(spec.gates.metric, kind), central(spec.gates.confidence)
    return Basis(kind, metric, held_out.rows.labels, level, held_out.blocks)


def gather(
    basis: Basis,
    contenders: Contenders,
    *,
    slices: Sequence[SliceScore],
    calibrated: Reliability | None,
    robustness: Robustness | None,
    fairness: FairnessReport,
    served: Compressed,
    parity: Mapping[str, float],
    limits: ServingSpec,
    refit: RefitEvidence | None = None,
) -> Evidence:
    """What the gates weigh; no randomness in it but the calibration's interval and the robustness' sample."""
    candidate = contenders.candidate
    return Evidence(
        metric=basis.metric.name,
        higher_is_better=basis.metric.higher_is_better,
        rows=len(basis.labels),
        score=basis.score(candidate),
        champion=basis.versus(candidate, contenders.champion),
        anchor=basis.versus(candidate, contenders.anchor),
        baselines={name: basis.gain(candidate, scores) for name, scores in contenders.baselines.items()},
        guards=tuple(found.guard for found in slices),
        calibration=calibrated.error if calibrated else None,
        fairness=fairness,
        robustness=robustness,
        latency=Measured(served.single_row_ms, limits.latency_ms, f"milliseconds for one row, {served.precision}"),
        refit=refit,
        parity=tuple(Measured(v, limits.parity, f"difference, {name}") for name, v in parity.items()),
    )


def _slices(spec: ModelSpec, held_out: HeldOut, basis: Basis, contenders: Contenders) -> tuple[SliceScore, ...]:
    parts = cut(spec.slices, held_out.columns, held_out.training)
    if spec.training.group and held_out.returning is not None:
        parts += cut_returning(spec.training.group, held_out.returning)
    compared = basis.versus(contenders.candidate, contenders.champion).gain is not None
    return measure(parts, basis, contenders.candidate, contenders.champion if compared else None)


def _reliability(basis: Basis, scores: Array, rng: np.random.Generator, resamples: int) -> Reliability:
    return reliability(
        basis.kind,
        basis.labels,
        scores,
        level=basis.level,
        rng=rng,
        blocks=basis.blocks,
        resamples=resamples,
    )


def _probed(
    basis: Basis, rows: EvaluatedRows, predict: Predict, rng: np.random.Generator, most: int
) -> tuple[Robustness, tuple[Importance, ...]]:
    """What spoilt and shuffled inputs cost, on a sample."""
    taken = sample(len(rows), most, rng)
    few, blocks = rows.taken(taken), None if basis.blocks is None else basis.blocks[taken]
    robustness = stress(predict, basis.metric, few, rng=rng)
    return robustness, permutation_importance(predict, basis.metric, few, level=basis.level, rng=rng, blocks=blocks)
