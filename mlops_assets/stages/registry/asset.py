"""registered_version: a candidate that passed every gate becomes a version. Nothing else ever does."""

from typing import Any

import dagster as dg

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import Stage
from mlops_assets.domain.records import Evaluation, ServingModel, TrainedModel, TrainingSet, Version
from mlops_assets.domain.registry.versions import CandidateRecords
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.resources.registry.ledger import Ledger
from mlops_assets.resources.registry.model_registry import Registry
from mlops_assets.resources.registry.promotion import enter_registration
from mlops_assets.stages.common import asset_key, failed, retried_on_infrastructure, stage_asset

_ACTOR = "gates"


def registered_version(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `[model, registered_version]`."""
    before = (Stage.TRAINING_SET, Stage.TRAINED_MODEL, Stage.SERVING_MODEL, Stage.EVALUATION)

    @stage_asset(
        spec,
        Stage.REGISTERED_VERSION,
        "mlflow",
        ins={stage.value: dg.AssetIn(asset_key(spec.model, stage)) for stage in before},
        description="The version in the registry: number, semantic version, model card, lineage.",
    )
    def asset(
        context: dg.AssetExecutionContext,
        training_set: TrainingSet,
        trained_model: TrainedModel,
        serving_model: ServingModel,
        evaluation: Evaluation,
        registry: Registry,
        ledger: Ledger,
        bundles: Bundles,
        lake: Lake,
        clock: Clock,
    ) -> dg.MaterializeResult[Version]:
        from mlops_assets.stages.registry.collect import register_version

        _demand_passed(spec, serving_model, evaluation)
        with retried_on_infrastructure():
            made = CandidateRecords(training_set, trained_model, serving_model, evaluation)
            version = register_version(spec, made, registry=registry, bundles=bundles, lake=lake)
            enter_registration(
                registry,
                ledger,
                model=spec.model,
                number=version.number,
                actor=_ACTOR,
                numbers={evaluation.metric: evaluation.score},
                now=clock.now(spec),
            )
        return dg.MaterializeResult(
            value=version,
            metadata=_metadata(version, evaluation, registry, trained_model),
            data_version=dg.DataVersion(version.bundle[:16]),
            tags={"mlops/version": version.semantic},
        )

    return asset


def _demand_passed(spec: ModelSpec, serving: ServingModel, evaluation: Evaluation) -> None:
    """The gates are blocking checks already; this holds where somebody launches this asset alone."""
    problems = [f"{verdict.name}: {verdict.outcome}. {verdict.reason}" for verdict in failed(evaluation.verdicts)]
    if evaluation.bundle != serving.bundle:
        problems.append(
            f"the evaluation is of bundle {evaluation.bundle[:12]}, not of {serving.bundle[:12]}: evaluate again"
        )
    if problems:
        listed = "\n".join(f"- {problem}" for problem in problems)
        raise dg.Failure(f"{spec.model}: this candidate may not be registered.\n{listed}", allow_retries=False)


def _metadata(version: Version, evaluation: Evaluation, registry: Registry, trained: TrainedModel) -> dict[str, Any]:
    return {
        "version": version.semantic,
        "number": int(version.number),
        "bundle": version.bundle,
        evaluation.metric: evaluation.score,
        "learnt_rows": trained.learnt,
        "learnt_until": f"{trained.learnt_until:%Y-%m-%d %H:%M} UTC" if trained.learnt_until else "rows without a time",
        "mlflow_version": dg.MetadataValue.url(registry.version_url(version.model, version.number)),
        "mlflow_run": dg.MetadataValue.url(registry.run_url(version.model, trained.run_id)),
        "card": dg.MetadataValue.md(registry.card(version.model, version.number)),
    }
