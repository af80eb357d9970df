"""training_set: one point-in-time join of labelled examples with the features they could have seen, divided by time."""

from collections.abc import Iterator, Sequence

import dagster as dg

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.data.checks import LEAKAGE, TELLING
from mlops_assets.domain.names import Stage
from mlops_assets.domain.records import TrainingSet
from mlops_assets.domain.verdict import Outcome
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.features.store import FeatureStore
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.workspace import Workspace
from mlops_assets.stages.common import asset_key, check_result, check_spec, retried_on_infrastructure, stage_asset


def training_set(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `[model, training_set]`."""

    @stage_asset(
        spec,
        Stage.TRAINING_SET,
        "parquet",
        "feast",
        deps=[asset_key(spec.model, Stage.FEATURES)],
        check_specs=[check_spec(spec, Stage.TRAINING_SET, name) for name in _checks(spec)],
        description="Labelled examples with the features known at their moment; train, validation, test by time.",
    )
    def asset(
        lake: Lake, features: FeatureStore, workspace: Workspace, clock: Clock
    ) -> Iterator[dg.MaterializeResult[TrainingSet]]:
        from mlops_assets.stages.training_set import join, prove, publish

        with retried_on_infrastructure():
            joined = join.join_features(spec, lake, features, clock.now(spec))
            parts = joined.divide(spec)
            record = publish.keep_rows(joined.record(spec, parts), parts, lake, workspace)
            telling, verdict = prove.suspect_columns(spec, joined, parts)
            proofs = [prove.prove_no_future(spec, joined, lake, features)] if spec.features.service else []
        yield dg.MaterializeResult(
            value=record,
            metadata=publish.describe(record, joined, parts) | publish.describe_suspicion(spec, telling),
            check_results=[
                check_result(each, blocking=each.outcome is not Outcome.INCONCLUSIVE) for each in (verdict, *proofs)
            ],
            data_version=dg.DataVersion(record.digest[:16]),
        )

    return asset


def _checks(spec: ModelSpec) -> Sequence[str]:
    """A row that brings its own columns looks nothing up in time, so there is no proof to make of it."""
    return [TELLING, LEAKAGE] if spec.features.service else [TELLING]
