"""Publishes what a run brought into the lake: metadata with pictures. Removes segments that are no longer needed."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import Layer
from mlops_assets.domain.traffic.answer_tally import AnswerTally
from mlops_assets.domain.traffic.compaction import REFUSALS
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.plots.predictions import draw_answers_by_hour, draw_score_spread
from mlops_assets.resources.traffic.log_segments import LogSegments, RemovedSegments
from mlops_assets.stages.common import days_of
from mlops_assets.stages.metadata import picture, table
from mlops_assets.stages.traffic.predictions.collect import CompactedLogs


def remove_segments(
    spec: ModelSpec, lake: Lake, logs: Mapping[str, LogSegments], before: datetime
) -> list[RemovedSegments]:
    """Remove segments that are older than the declared retention and whole in the lake."""
    return [segments.remove(lake.table(spec.model, Layer.PREDICTIONS, kind), before) for kind, segments in logs.items()]


def build_metadata(spec: ModelSpec, compacted: CompactedLogs, removed: Sequence[RemovedSegments]) -> dict[str, Any]:
    """Metadata of the run: rows, segments that were removed, answers by version, and pictures."""
    tally = compacted.tally
    pictures = {}
    if tally.hours:
        pictures["answers by hour"] = picture(draw_answers_by_hour(tally.hours), "answers by hour")
    if scores := tally.sample():
        pictures["spread of answers"] = picture(draw_score_spread(scores), "spread of answers")
    return {
        "rows": compacted.rows,
        "rows new": compacted.added,
        "rows degraded": tally.degraded.total(),
        "rows that came again": sum(each.repeated for each in compacted.answers),
        "requests refused": sum(day[REFUSALS].snapshot.rows for day in compacted.days.values()),
        "rows of other days": _count_rows_outside(spec, compacted.logs),
        "segments without one whole batch": sum(log.cut for log in compacted.logs.values()),
        "segments removed": sum(each.files for each in removed),
        "rows in segments removed": sum(each.rows for each in removed),
        "bytes removed": sum(each.size for each in removed),
        "answers": table(("version", "arm", "role", "rows", "degraded"), _count_by_version(tally)),
        **pictures,
    }


def build_day_metadata(compacted: CompactedLogs) -> dict[str, dict[str, Any]]:
    """Day → its rows and digests."""
    return {
        day: {
            "dagster/partition_row_count": sum(each.snapshot.rows for each in kinds.values()),
            **{f"rows/{kind}": each.snapshot.rows for kind, each in kinds.items()},
            **{f"digest/{kind}": each.snapshot.digest for kind, each in kinds.items()},
        }
        for day, kinds in compacted.days.items()
    }


def _count_by_version(tally: AnswerTally) -> Iterator[tuple[Any, ...]]:
    for key, rows in sorted(tally.rows.items()):
        yield (*key, rows, tally.degraded[key])


def _count_rows_outside(spec: ModelSpec, logs: Mapping[str, LogSegments]) -> int:
    """Rows whose day is no partition: a replay that went on after the declared end."""
    partitions = days_of(spec)
    counts = [(day, rows) for log in logs.values() for day, rows in log.days().items()]
    return sum(rows for day, rows in counts if not partitions.has_partition_key(day))
