"""retrain_decision: whether the model is trained again, with its cause and numbers. A no is a materialisation too.

It decides and starts nothing: the sensor `<model>_retrain` launches a yes, once.
"""

from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import Stage
from mlops_assets.domain.retraining.alerts import decision_alerts
from mlops_assets.domain.retraining.records import DecisionRecord, TrainingRequest
from mlops_assets.resources.alerts.outbox import Alerts
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.lake.daily_records import Monitoring
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.resources.registry.ledger import Ledger
from mlops_assets.stages.common import asset_key, retried_on_infrastructure, stage_asset


class RequestConfig(dg.Config):
    """Who requests a training. Without either the decision rests on the evidence alone."""

    due: bool = Field(default=False, description="The schedule requests a training.")
    who: str = Field(default="", description="The person who requests a training.")
    why: str = Field(default="", description="The person's reason.")


def retrain_decision(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `[model, retrain_decision]`."""

    @stage_asset(
        spec,
        Stage.RETRAIN_DECISION,
        deps=[asset_key(spec.model, stage) for stage in (Stage.PERFORMANCE, Stage.DRIFT_REPORT)],
        description="Yes or no to training again: cause, numbers, what holds it back, what it would cost.",
    )
    def asset(
        context: dg.AssetExecutionContext,
        config: RequestConfig,
        monitoring: Monitoring,
        lake: Lake,
        ledger: Ledger,
        bundles: Bundles,
        alerts: Alerts,
        clock: Clock,
    ) -> dg.MaterializeResult[DecisionRecord]:
        from mlops_assets.stages.retraining import collect, judge, publish

        now, wall = clock.now(spec), datetime.now(UTC)
        with retried_on_infrastructure():
            stores = collect.RetrainStores(monitoring, lake, ledger, context.instance)
            collected = collect.read_retrain_evidence(spec, stores, _request(context, config), now=now)
        record = judge.judge_retraining(spec, collected, bundles, now=now)
        link = alerts.run_url(context.run.run_id)
        alerts.record_events(*decision_alerts(collected.policy, record, at=wall, link=link), now=wall)
        context.log.info(record.decision.reason)
        return dg.MaterializeResult(value=record, metadata=publish.decision_metadata(spec, record))

    return asset


def _request(context: dg.AssetExecutionContext, config: RequestConfig) -> TrainingRequest:
    """A run that is re-executed repeats the same request."""
    if not config.who:
        return TrainingRequest(due=config.due)
    first = context.run.root_run_id or context.run.run_id
    return TrainingRequest(config.due, f"{config.who} ({config.why or 'no reason given'}; run {first[:8]})")
