"""What every stage shares: how an asset is keyed, grouped, partitioned and retried."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_assets.declaration.data import Every, FeedSpec
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.check_texts import ASKS
from mlops_assets.domain.names import MODEL_TAG, SNAPSHOT, Stage
from mlops_assets.domain.partitions import FORMATS, Window, window
from mlops_assets.domain.verdict import Outcome, Verdict

PROJECT = Path(__file__).parents[2]
_RETRIES = 3
FIRST_WAIT = 5  # seconds; doubles each time


def asset_key(model: str, stage: Stage) -> dg.AssetKey:
    return dg.AssetKey([model, stage.value])


def stage_asset(
    spec: ModelSpec, stage: Stage, *kinds: str, **arguments: Any
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """`dg.asset` with what is the same for every stage."""
    return dg.asset(
        key=asset_key(spec.model, stage),
        group_name=spec.model,
        owners=[spec.owner],
        kinds=set(kinds),
        tags={MODEL_TAG: spec.model, "mlops/stage": stage.value},
        **arguments,
    )


def check_spec(spec: ModelSpec, stage: Stage, name: str, *, blocking: bool = True) -> dg.AssetCheckSpec:
    """A check of a stage's asset, with what it asks."""
    return dg.AssetCheckSpec(f"{name}", asset=asset_key(spec.model, stage), blocking=blocking, description=ASKS[name])


def partitions_of(spec: ModelSpec) -> dg.TimeWindowPartitionsDefinition | None:
    """The partitions of a model's data stages; None: one snapshot."""
    declared = spec.partitions
    if declared.every is Every.NONE or declared.start is None:
        return None
    schedule = {Every.HOUR: "0 * * * *", Every.DAY: "0 0 * * *", Every.MONTH: "0 0 1 * *"}[declared.every]
    return dg.TimeWindowPartitionsDefinition(
        start=declared.start,
        end=declared.end,
        cron_schedule=schedule,
        fmt=FORMATS[declared.every],
        timezone="UTC",
    )


def days_of(spec: ModelSpec) -> dg.TimeWindowPartitionsDefinition:
    """The days on which the endpoint answers: from the first data, the replay or `serving.since` on.

    A replay that has come to the end of its data stands on the day after the last; that day counts too.
    """
    start = spec.partitions.start or spec.replay or spec.serving.since
    end = spec.partitions.end if spec.replay else None
    last = None if end is None else datetime.combine(end.date() + timedelta(days=1), time(), UTC)
    return dg.DailyPartitionsDefinition(
        start_date=datetime.combine(start.date(), time(), UTC), end_date=last, timezone="UTC"
    )


def feed_windows(feed: FeedSpec, run_windows: Sequence[Window]) -> Sequence[Window]:
    """The windows of a feed in a run: a static feed is one snapshot, whatever the run's partitions."""
    return [window(Every.NONE, SNAPSHOT)] if feed.static else run_windows


def partition_keys(context: dg.AssetExecutionContext) -> Sequence[str]:
    """The partitions this run is about, or the one snapshot."""
    return context.partition_keys if context.has_partition_key or context.has_partition_key_range else [SNAPSHOT]


def check_result(verdict: Verdict, *, blocking: bool = True) -> dg.AssetCheckResult:
    """A verdict as Dagster shows it. What is not a pass does not pass."""
    return dg.AssetCheckResult(
        check_name=f"{verdict.name}",  # Dagster keeps plain text only, no enumeration
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN,
        description=verdict.reason,
        metadata={"outcome": verdict.outcome.value, **{k: _number(v) for k, v in verdict.numbers.items()}},
    )


def _number(value: float) -> dg.MetadataValue:
    return dg.MetadataValue.float(float(value))


@contextmanager
def retried_on_infrastructure() -> Iterator[None]:
    """Ask for another try, later and later, where a store or server could not be reached; never for a wrong result."""
    try:
        yield
    except (ConnectionError, TimeoutError) as err:
        wait = FIRST_WAIT * 2 ** dg.AssetExecutionContext.get().retry_number
        raise dg.RetryRequested(max_retries=_RETRIES, seconds_to_wait=wait) from err


def failed(verdicts: Sequence[Verdict]) -> list[Verdict]:
    return [v for v in verdicts if v.outcome is not Outcome.PASS]
