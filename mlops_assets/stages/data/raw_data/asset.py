"""raw_data: the source's rows as they came, a snapshot a feed and partition. Judges, changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.declaration.data import Every, FeedSpec
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.data.checks import RAW_CHECKS
from mlops_assets.domain.names import SNAPSHOT, Layer, Stage
from mlops_assets.domain.partitions import Window, earlier, window, windows
from mlops_assets.domain.records import Snapshot
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.lake.tables import Lake, Table, content_digest
from mlops_assets.resources.sources.declared import Source, Sources
from mlops_assets.stages.common import (
    check_result,
    check_spec,
    partition_keys,
    partitions_of,
    retried_on_infrastructure,
    stage_asset,
)
from mlops_assets.stages.metadata import counts, data_version, told

if TYPE_CHECKING:
    from mlops_assets.domain.data.source_checks import Arrival

_HEAD = (
    "| feed | rows | partitions | changed | without time | latest event | digest |\n|---|---:|---:|---:|---:|---|---|\n"
)


def raw_data(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `[model, raw_data]`."""

    @stage_asset(
        spec,
        Stage.RAW_DATA,
        "parquet",
        partitions_def=partitions_of(spec),
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[check_spec(spec, Stage.RAW_DATA, name, blocking=False) for name in RAW_CHECKS],
        description=f"Rows of {', '.join(spec.source.feeds)} as they came, with a content hash.",
    )
    def asset(context: dg.AssetExecutionContext, sources: Sources, lake: Lake, clock: Clock) -> dg.MaterializeResult:
        from mlops_assets.domain.data import source_checks

        now = clock.now(spec)
        asked = windows(spec.partitions.every, partition_keys(context))
        with retried_on_infrastructure():
            source = sources.open(spec)
            taken = [_take_in(spec, feed, asked, source, lake, now) for feed in spec.source.feeds.values()]
        arrivals = [each.arrival for each in taken]
        verdicts = [
            judge(arrivals)
            for judge in (
                source_checks.kept_rows,
                source_checks.no_repeats,
                source_checks.kept_schema,
                source_checks.every_row_timed,
            )
        ]
        after = {arrival.feed: arrival.after for arrival in arrivals}
        whole = {"feeds": _table(taken), "rows": _picture(arrivals, asked)}
        return dg.MaterializeResult(
            metadata=told(context, asked, whole, {each.partition: counts(after, each.partition) for each in asked}),
            data_version=data_version(arrival.after for arrival in arrivals),
            check_results=[check_result(verdict, blocking=False) for verdict in verdicts],
        )

    return asset  # pyright: ignore[reportReturnType]  # of `**arguments` it takes dg.asset for a bare decorator


@dataclass(frozen=True)
class Taken:
    """One feed of one run."""

    arrival: "Arrival"
    watermark: datetime | None  # its latest event


def feed_windows(feed: FeedSpec, asked: Sequence[Window]) -> Sequence[Window]:
    """A static feed is one snapshot, whatever the run's partitions."""
    return [window(Every.NONE, SNAPSHOT)] if feed.static else asked


def _take_in(
    spec: ModelSpec, feed: FeedSpec, asked: Sequence[Window], source: Source, lake: Lake, now: datetime
) -> Taken:
    """Read a feed once for the whole range, cut it by partition, write what changed."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from mlops_assets.domain.data import intake
    from mlops_assets.domain.data.source_checks import Arrival

    table = lake.table(spec.model, Layer.RAW, feed.name)
    mine = feed_windows(feed, asked)
    pieces = source.read(feed.name, mine[0].start, mine[-1].end, now)
    parts = intake.split(pieces, mine, untyped=feed.query is not None)
    names = [each.partition for each in mine]
    before = table.snapshots(names)
    others = table.snapshots(earlier(spec.partitions.every, names[0], spec.validation.recent))
    untimed = parts.get(intake.NO_TIME, pa.table({}))
    if untimed.num_rows or table.snapshot(intake.NO_TIME) is not None:
        _write(table, intake.NO_TIME, untimed, feed, now)
    after = {name: _write(table, name, parts.get(name, pa.table({})), feed, now) for name in names}
    latest = [pc.max(piece.events).as_py() for piece in pieces]
    watermark = max((moment for moment in latest if moment is not None), default=None)
    return Taken(Arrival(feed.name, before, after, others, untimed.num_rows), watermark)


def _write(table: Table, partition: str, rows: "Any", feed: FeedSpec, now: datetime) -> Snapshot:
    from mlops_assets.domain.data.source_checks import BODY, body

    said = body(rows, feed)
    return table.write(partition, rows, now=now, inputs={} if said is None else {BODY: content_digest(said)})


def _table(taken: Sequence[Taken]) -> dg.MetadataValue:
    return dg.MetadataValue.md(_HEAD + "\n".join(_line(each) for each in taken))


def _line(taken: Taken) -> str:
    arrival = taken.arrival
    rows = sum(snapshot.rows for snapshot in arrival.after.values())
    changed = sum(arrival.before.get(name) != snapshot for name, snapshot in arrival.after.items())
    digest = data_version([arrival.after]).value
    counts_text = f"{rows:,} | {len(arrival.after)} | {changed} | {arrival.untimed:,}"
    return f"| {arrival.feed} | {counts_text} | {taken.watermark or 'none'} | `{digest}` |"


def _picture(arrivals: "Sequence[Arrival]", asked: Sequence[Window]) -> dg.MetadataValue:
    from mlops_assets.resources.plots.data import draw_rows_by_partition, inline

    names = [each.partition for each in asked]
    rows = {
        arrival.feed: [arrival.after[name].rows for name in names] for arrival in arrivals if names[0] in arrival.after
    }
    return dg.MetadataValue.md(inline(draw_rows_by_partition(rows, names), "rows by partition") if rows else "")
