"""evaluation: the candidate measured on frozen test rows beside champion, anchor and baselines, and judged.

Each gate is a blocking check, so that nothing that failed one goes on.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.evaluation.gates import Gate
from mlops_assets.domain.names import Stage
from mlops_assets.domain.records import Evaluation, ServingModel, TrainedModel, TrainingSet
from mlops_assets.domain.verdict import Verdict
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.features.store import FeatureStore
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.workspace import Workspace
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.resources.registry.ledger import Ledger
from mlops_assets.resources.registry.model_registry import Registry
from mlops_assets.stages.common import (
    asset_key,
    check_result,
    check_spec,
    failed,
    retried_on_infrastructure,
    stage_asset,
)
from mlops_assets.stages.metadata import picture, table

if TYPE_CHECKING:
    from mlops_assets.stages.evaluation.compare import JudgedCandidate

_ACTOR = "gates"


def evaluation(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `[model, evaluation]` with a check for each gate."""
    before = (Stage.TRAINING_SET, Stage.TRAINED_MODEL, Stage.SERVING_MODEL)

    @stage_asset(
        spec,
        Stage.EVALUATION,
        "python",
        ins={stage.value: dg.AssetIn(asset_key(spec.model, stage)) for stage in before},
        check_specs=[check_spec(spec, Stage.EVALUATION, gate.value) for gate in Gate],
        description="Candidate, champion, anchor and baselines on the same frozen rows, and the verdict of every gate.",
    )
    def asset(
        training_set: TrainingSet,
        trained_model: TrainedModel,
        serving_model: ServingModel,
        lake: Lake,
        bundles: Bundles,
        features: FeatureStore,
        registry: Registry,
        ledger: Ledger,
        workspace: Workspace,
        clock: Clock,
    ) -> Iterator[dg.MaterializeResult[Evaluation]]:
        from mlops_assets.stages.evaluation.compare import score_and_judge

        with retried_on_infrastructure():
            contest = score_and_judge(
                spec, training_set, trained_model, serving_model, lake, bundles, features, registry, workspace
            )
            _log(contest, registry, spec, trained_model)
        record = _record(contest, training_set, trained_model, serving_model)
        lost = failed(contest.verdicts)
        if lost:
            _enter_rejection(ledger, record, lost, clock.now(spec))
        yield dg.MaterializeResult(
            value=record,
            metadata=_metadata(contest),
            check_results=[check_result(verdict) for verdict in contest.verdicts],
            data_version=dg.DataVersion(f"{record.bundle[:16]}:{record.champion}:{record.anchor}"),
        )

    return asset


def _record(
    contest: "JudgedCandidate", training_set: TrainingSet, trained: TrainedModel, serving: ServingModel
) -> Evaluation:
    score = contest.report.evidence.score
    return Evaluation(
        model=serving.model,
        bundle=serving.bundle,
        training_set=training_set.digest,
        run_id=trained.run_id,
        champion=contest.champion,
        anchor=contest.anchor,
        report=contest.folder,
        metric=contest.report.metric,
        score=score.estimate,
        interval=(score.low, score.high),
        verdicts=contest.verdicts,
    )


def _log(contest: "JudgedCandidate", registry: Registry, spec: ModelSpec, trained: TrainedModel) -> None:
    """The same numbers and plots in the training's MLflow run."""
    run = registry.reopen(spec.model, trained.run_id)
    scores = {
        f"test_{each.metric}": each.interval.estimate for each in contest.report.scores if each.contender == "candidate"
    }
    run.metrics(scores)
    run.tags({f"mlops.gate.{verdict.name}": verdict.outcome.value for verdict in contest.verdicts})
    run.text("evaluation/report.md", contest.markdown)
    run.text("evaluation/report.json", contest.report.as_json())
    for name, png in contest.plots.items():
        run.figure(f"plots/{name}.png", png)


def _enter_rejection(ledger: Ledger, record: Evaluation, lost: Sequence[Verdict], now: datetime) -> None:
    from mlops_assets.resources.registry.promotion import enter_rejection

    enter_rejection(
        ledger,
        model=record.model,
        bundle=record.bundle,
        actor=_ACTOR,
        reason="; ".join(f"{verdict.name}: {verdict.outcome}" for verdict in lost),
        numbers={record.metric: record.score},
        now=now,
    )


def _metadata(contest: "JudgedCandidate") -> dict[str, Any]:
    verdicts = [[verdict.name, verdict.outcome.value] for verdict in contest.verdicts]  # reasons: in report and checks
    plots: Mapping[str, bytes] = contest.plots
    report = contest.report
    return {
        report.metric: report.evidence.score.estimate,
        "verdicts": table(("gate", "outcome"), verdicts),
        "report": dg.MetadataValue.md(contest.markdown),
        "champion": contest.champion or "none yet",
        "anchor": contest.anchor or "none yet",
        **{f"plot_{name}": picture(png, name) for name, png in plots.items()},
    }
