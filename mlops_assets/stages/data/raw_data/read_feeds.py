"""Reads a source's feeds once for the whole range, writes what changed by partition, and describes what arrived."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.declaration.data import FeedSpec
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.data import intake, source_checks
from mlops_assets.domain.data.source_checks import BODY, Arrival, body
from mlops_assets.domain.digest import content_digest
from mlops_assets.domain.names import Layer
from mlops_assets.domain.partitions import Window, earlier
from mlops_assets.domain.records import Snapshot
from mlops_assets.domain.verdict import Verdict
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.table import Table
from mlops_assets.resources.plots.data import draw_rows_by_partition, inline
from mlops_assets.resources.sources.declared import DeclaredSource
from mlops_assets.stages.common import feed_windows
from mlops_assets.stages.metadata import data_version

_HEAD = (
    "| feed | rows | partitions | changed | without time | latest event | digest |\n|---|---:|---:|---:|---:|---|---|\n"
)


@dataclass(frozen=True)
class FeedArrival:
    """One feed of one run."""

    arrival: Arrival
    watermark: datetime | None  # its latest event


def read_feeds(
    spec: ModelSpec, windows: Sequence[Window], *, source: DeclaredSource, lake: Lake, now: datetime
) -> list[FeedArrival]:
    """Read every feed of the source and write the partitions that changed."""
    return [_read_feed(spec, feed, windows, source=source, lake=lake, now=now) for feed in spec.source.feeds.values()]


def judge_arrivals(feeds: Sequence[FeedArrival]) -> list[Verdict]:
    """What can be judged before a row is looked at."""
    arrivals = [each.arrival for each in feeds]
    return [
        source_checks.kept_rows(arrivals),
        source_checks.no_repeats(arrivals),
        source_checks.kept_schema(arrivals),
        source_checks.every_row_timed(arrivals),
    ]


def describe_run(feeds: Sequence[FeedArrival], windows: Sequence[Window]) -> dict[str, Any]:
    """The table of feeds and the plot of rows by partition."""
    return {
        "feeds": dg.MetadataValue.md(_HEAD + "\n".join(_line(each) for each in feeds)),
        "rows": _plot([each.arrival for each in feeds], windows),
    }


def _read_feed(
    spec: ModelSpec, feed: FeedSpec, windows: Sequence[Window], *, source: DeclaredSource, lake: Lake, now: datetime
) -> FeedArrival:
    table = lake.table(spec.model, Layer.RAW, feed.name)
    own = feed_windows(feed, windows)
    pieces = source.read(feed.name, own[0].start, own[-1].end, now)
    parts = intake.split(pieces, own, untyped=feed.query is not None)
    names = [each.partition for each in own]
    before = table.snapshots(names)
    others = table.snapshots(earlier(spec.partitions.every, names[0], spec.validation.recent))
    untimed = parts.get(intake.NO_TIME, pa.table({}))
    if untimed.num_rows or table.snapshot(intake.NO_TIME) is not None:
        _write(table, intake.NO_TIME, untimed, feed, now=now)
    after = {name: _write(table, name, parts.get(name, pa.table({})), feed, now=now) for name in names}
    latest = [pc.max(piece.events).as_py() for piece in pieces]
    watermark = max((moment for moment in latest if moment is not None), default=None)
    return FeedArrival(Arrival(feed.name, before, after, others, untimed.num_rows), watermark)


def _write(table: Table, partition: str, rows: pa.Table, feed: FeedSpec, *, now: datetime) -> Snapshot:
    content = body(rows, feed)
    return table.write(partition, rows, now=now, inputs={} if content is None else {BODY: content_digest(content)})


def _line(feed: FeedArrival) -> str:
    arrival = feed.arrival
    rows = sum(snapshot.rows for snapshot in arrival.after.values())
    changed = sum(arrival.before.get(name) != snapshot for name, snapshot in arrival.after.items())
    digest = data_version([arrival.after]).value
    numbers = f"{rows:,} | {len(arrival.after)} | {changed} | {arrival.untimed:,}"
    return f"| {arrival.feed} | {numbers} | {feed.watermark or 'none'} | `{digest}` |"


def _plot(arrivals: Sequence[Arrival], windows: Sequence[Window]) -> dg.MetadataValue:
    names = [each.partition for each in windows]
    rows = {
        arrival.feed: [arrival.after[name].rows for name in names] for arrival in arrivals if names[0] in arrival.after
    }
    return dg.MetadataValue.md(inline(draw_rows_by_partition(rows, names), "rows by partition") if rows else "")
