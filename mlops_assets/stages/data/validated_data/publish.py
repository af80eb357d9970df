"""Judges the vital signs of validated feeds, and says what became of their rows."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import dagster as dg
import pandas as pd

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.data.checks import QUARANTINE
from mlops_assets.domain.data.vitals import judge_vitals, limits_of, vitals_frame
from mlops_assets.domain.partitions import Window
from mlops_assets.domain.verdict import Verdict
from mlops_assets.resources.checks.expectations import judge_between
from mlops_assets.resources.plots.data import draw_rows_by_partition, inline
from mlops_assets.stages.data.validated_data.validate_partition import ExpectationLine, ValidatedFeed
from mlops_assets.stages.metadata import counts, table

_CAUSES = 3  # named in the check; the table has all of them
_HEAD = ("feed", "column", "expectation", "severity", "rows failing", "share")


def judge_feeds(spec: ModelSpec, feeds: Sequence[ValidatedFeed], now: datetime) -> tuple[pd.DataFrame, list[Verdict]]:
    """The vital signs of every partition, and the verdicts on them."""
    frame = vitals_frame([each.vitals for each in feeds], spec.validation, now)
    limits = limits_of(spec.validation, frame)
    verdicts = judge_vitals(frame, limits, judge_between(frame, limits), spec.validation)
    return frame, [_with_causes(each, feeds) if each.name == QUARANTINE else each for each in verdicts]


def _with_causes(verdict: Verdict, feeds: Sequence[ValidatedFeed]) -> Verdict:
    """What most of the refused rows have in common: who reads a log sees no table."""
    lines = [line for each in feeds for line in each.lines if line.failing and line.severity == "error"]
    most = sorted(lines, key=lambda line: -line.failing)[:_CAUSES]
    if verdict.passed or not most:
        return verdict
    causes = "; ".join(f"{line.feed}.{line.column} {line.expectation} ({line.failing:,} rows)" for line in most)
    return replace(verdict, reason=f"{verdict.reason} Most often: {causes}.")


def describe_run(feeds: Sequence[ValidatedFeed], frame: pd.DataFrame, windows: Sequence[Window]) -> dict[str, Any]:
    """What became of the rows of the whole run."""
    rows, wrong = int(frame["rows"].sum()), int(frame["quarantined_rows"].sum())
    untimed = sum(each.untimed for each in feeds)
    return {
        "rows in": rows + untimed,
        "rows valid": rows - wrong,
        "rows quarantined": wrong + untimed,
        "expectations": table(_HEAD, (_line(line) for each in feeds for line in each.lines)),
        "quarantine": dg.MetadataValue.md(_picture(feeds, [each.partition for each in windows])),
    }


def _line(line: ExpectationLine) -> Sequence[object]:
    share = line.failing / line.rows if line.rows else 0.0
    return line.feed, line.column, line.expectation, line.severity, f"{line.failing:,}", f"{share:.3%}"


def _picture(feeds: Sequence[ValidatedFeed], partitions: Sequence[str]) -> str:
    shown = [each.vitals for each in feeds if [window.partition for window in each.vitals.windows] == partitions]
    rows, wrong = ({each.feed: getattr(each, part) for each in shown} for part in ("rows", "quarantined"))
    return (
        inline(draw_rows_by_partition(rows, partitions, wrong), "rows and quarantined rows by partition")
        if shown
        else ""
    )


def count_rows(feeds: Sequence[ValidatedFeed], partition: str) -> dict[str, Any]:
    """The counts of one partition."""
    wrong = {
        f"quarantined/{each.vitals.feed}": each.quarantined[partition]
        for each in feeds
        if partition in each.quarantined
    }
    return {**counts({each.vitals.feed: each.after for each in feeds}, partition), **wrong}
