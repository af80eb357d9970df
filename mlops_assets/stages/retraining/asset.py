"""retrain_decision: whether the model is trained again, with its cause and numbers. A no is a materialisation too.

It decides and starts nothing: a yes is carried out by the sensor `<model>_retrain`, once.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import Layer, Stage, retrain_sensor
from mlops_assets.domain.retraining.announcements import of_decision
from mlops_assets.domain.retraining.decision import decide
from mlops_assets.domain.retraining.evidence import Asked
from mlops_assets.domain.retraining.records import Weighed
from mlops_assets.resources.alerts.outbox import Alerts
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.lake.daily_records import Monitoring
from mlops_assets.resources.lake.tables import Lake
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.resources.registry.ledger import Ledger
from mlops_assets.stages.common import asset_key, retried_on_infrastructure, stage_asset
from mlops_assets.stages.metadata import table

if TYPE_CHECKING:
    from mlops_assets.stages.retraining.collect import Observed

YES, RUN_KEY, CAUSE, MADE_AT, REASON = "yes", "run_key", "cause", "made_at", "reason"  # read by the sensor
_SEED = 0
_RECENT = 7  # days by which the size of a window is told


class Wish(dg.Config):
    """Who asks for a training. Without either the decision stands on what was seen alone."""

    due: bool = Field(default=False, description="The schedule asks.")
    who: str = Field(default="", description="A person who asks.")
    why: str = Field(default="", description="What for.")


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
        config: Wish,
        monitoring: Monitoring,
        lake: Lake,
        ledger: Ledger,
        bundles: Bundles,
        alerts: Alerts,
        clock: Clock,
    ) -> dg.MaterializeResult[Weighed]:
        from mlops_assets.stages.retraining.collect import Stores, observe

        now, wall = clock.now(spec), datetime.now(UTC)
        with retried_on_infrastructure():
            stores = Stores(monitoring, lake, ledger)
            seen = observe(spec, stores, context.instance, _asked(context, config), now=now)
        weighed = weigh(spec, seen, bundles, now=now)
        alerts.note(*of_decision(seen.policy, weighed, at=wall, link=alerts.run_url(context.run.run_id)), now=wall)
        context.log.info(weighed.decision.reason)
        return dg.MaterializeResult(value=weighed, metadata=_metadata(spec, weighed))

    return asset


def weigh(spec: ModelSpec, seen: "Observed", bundles: Bundles, *, now: datetime) -> Weighed:
    """The decision, with what a person wants to know beside it."""
    touched = seen.drift[-1].touched if seen.drift else ()
    decision = decide(seen.policy, seen.evidence, now)
    return Weighed(decision, seen.evidence, seen.switched_off, touched, _false_retrains(spec, seen, bundles), now)


def _asked(context: dg.AssetExecutionContext, config: Wish) -> Asked:
    """A run that is repeated is the same wish."""
    if not config.who:
        return Asked(due=config.due)
    first = context.run.root_run_id or context.run.run_id
    return Asked(due=config.due, person=f"{config.who} ({config.why or 'no reason given'}; run {first[:8]})")


def _false_retrains(spec: ModelSpec, seen: "Observed", bundles: Bundles) -> str:
    """Simulated from the champion's profile at the present size of a day."""
    from statistics import median

    from mlops_assets.domain.retraining.false_alarms import expected_false_retrains

    if seen.champion is None or not seen.drift:
        return "not known: no day of this champion was watched yet"
    rows = int(median(day.rows for day in seen.drift[-_RECENT:]))
    try:
        profile = bundles.open(seen.champion.bundle).profile
        return str(expected_false_retrains(spec.monitoring.drift, profile, rows, _SEED, quality=_quality(spec, seen)))
    except (FileNotFoundError, ValueError) as err:
        return f"not known: {err}"


def _quality(spec: ModelSpec, seen: "Observed") -> Any:
    """The policy with the intervals of baseline and day, as wide together as the latest day's verdict was."""
    from mlops_assets.domain.evaluation.evidence import Interval

    told = next((day for day in reversed(seen.performance) if "reach" in day.fall.numbers), None)
    if told is None or told.baseline is None:
        return None
    level, reach, at = 2 * spec.monitoring.quality.confidence - 1, told.fall.numbers["reach"], told.baseline
    exact, wide = (Interval(at, at - width, at + width, level, "as judged") for width in (0.0, reach))
    return spec.monitoring.quality, exact, wide


def _metadata(spec: ModelSpec, weighed: Weighed) -> dict[str, Any]:
    decision, seen = weighed.decision, weighed.evidence
    judged = [each for each in (seen.drift, seen.realised, seen.estimated, seen.trust) if each is not None]
    rows = [[each.name, each.outcome.value, each.reason] for each in (*decision.verdicts, *judged)]
    return {
        YES: decision.yes,
        REASON: decision.reason,
        CAUSE: decision.cause.value if decision.cause else "none",
        RUN_KEY: decision.run_key or "",
        MADE_AT: weighed.made_at.isoformat(),
        "outcome": decision.outcome.value,
        "champion": seen.champion or "none",
        "window": seen.window or "none",
        "verdicts": table(("what", "outcome", "reason"), rows),
        "numbers": table(("number", "value"), [[name, f"{value:.6g}"] for name, value in decision.numbers.items()]),
        "paused": seen.paused,
        "switched_off": ", ".join(weighed.switched_off) or "nothing",
        "blast_radius": ", ".join(weighed.touched) or "nothing drifted that anything stands on",
        "false_retrains": weighed.false_retrains,
        "hours_of_a_run": seen.cost if seen.cost is not None else "not known",
        "next": f"{retrain_sensor(spec.model)} launches it" if decision.yes else "nothing is launched",
        "record": f"{spec.model}/{Layer.RECORDS}/{Stage.RETRAIN_DECISION}",
    }
