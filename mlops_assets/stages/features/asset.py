"""features: the rows of each feature view in the offline store, then the online store brought up to the same moment."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.data.checks import ONLINE
from mlops_assets.domain.names import Stage
from mlops_assets.domain.partitions import windows
from mlops_assets.domain.records import Snapshot
from mlops_assets.domain.verdict import Outcome
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.features.store import FeatureStore
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.stages.common import (
    asset_key,
    check_result,
    check_spec,
    partition_keys,
    partitions_of,
    retried_on_infrastructure,
    stage_asset,
)
from mlops_assets.stages.metadata import counts, data_version, report_partitions, table

if TYPE_CHECKING:
    from mlops_assets.stages.features.build_rows import Derived


def features(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `[model, features]`."""

    @stage_asset(
        spec,
        Stage.FEATURES,
        "feast",
        "parquet",
        deps=[asset_key(spec.model, Stage.VALIDATED_DATA)],
        partitions_def=partitions_of(spec),
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[check_spec(spec, Stage.FEATURES, name) for name in _checks(spec)],
        description="Feature rows by view, point in time; the online store stands at the same moment.",
    )
    def asset(
        context: dg.AssetExecutionContext, lake: Lake, features: FeatureStore, clock: Clock
    ) -> dg.MaterializeResult:
        from mlops_assets.stages.features.build_rows import bring_online, compare, derive

        now = clock.now(spec)
        asked = windows(spec.partitions.every, partition_keys(context))
        with retried_on_infrastructure():
            derived = derive(spec, asked, lake, features, now)
            until = bring_online(derived, features, now)
            compared = [compare(spec, derived, lake, features, now)] if _checks(spec) else []
        after = {view: dict(snapshots) for view, snapshots in derived.views.items()}
        whole = {"feature_service": derived.service, "views": _table(derived, until)}
        return dg.MaterializeResult(
            metadata=report_partitions(
                context, asked, whole, {each.partition: counts(after, each.partition) for each in asked}
            ),
            data_version=data_version(after.values()),
            check_results=[check_result(each, blocking=each.outcome is not Outcome.INCONCLUSIVE) for each in compared],
        )

    return asset


def _checks(spec: ModelSpec) -> Sequence[str]:
    """Rows that bring their own features have no online values that could differ from the offline ones."""
    return [ONLINE] if spec.features.service or spec.features.entity else []


def _table(derived: "Derived", until: Mapping[str, Any]) -> dg.MarkdownMetadataValue:
    def lines() -> Iterator[Sequence[Any]]:
        for view, snapshots in derived.views.items():
            rows = sum(snapshot.rows for snapshot in snapshots.values())
            yield view, rows, _watermark(snapshots.values()), until.get(view, "not online")

    return table(("view", "rows", "latest event", "online up to"), list(lines()))


def _watermark(snapshots: Any) -> Any:
    marks: list[Any] = [
        snapshot.watermark for snapshot in snapshots if isinstance(snapshot, Snapshot) and snapshot.watermark
    ]
    return max(marks, default="none")
