"""predictions: what the endpoint answered and what came of it, a Parquet partition a day, each row once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.declaration.data import Every
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.check_names import KNOWN_VERSIONS, NO_REPEATED_ANSWERS, WHOLE_LOG
from mlops_assets.domain.names import Layer, Stage
from mlops_assets.domain.partitions import Window, windows
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.lake.tables import Lake
from mlops_assets.resources.lake.workspace import Workspace
from mlops_assets.resources.registry.ledger import Ledger
from mlops_assets.resources.registry.model_registry import Registry
from mlops_assets.resources.traffic.endpoint_log import Traffic
from mlops_assets.stages.common import (
    asset_key,
    check_result,
    check_spec,
    days_of,
    partition_keys,
    retried_on_infrastructure,
    stage_asset,
)
from mlops_assets.stages.metadata import data_version, picture, report_partitions, table

if TYPE_CHECKING:
    from datetime import datetime

    from mlops_assets.domain.traffic.answer_tally import AnswerTally
    from mlops_assets.domain.verdict import Verdict
    from mlops_assets.resources.traffic.log_segments import LogSegments, RemovedSegments
    from mlops_assets.stages.traffic.predictions.collect import Compacted

_CHECKS = (KNOWN_VERSIONS, NO_REPEATED_ANSWERS, WHOLE_LOG)


def predictions(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset `[model, predictions]`."""

    @stage_asset(
        spec,
        Stage.PREDICTIONS,
        "parquet",
        deps=[asset_key(spec.model, Stage.DEPLOYED_ENDPOINT)],
        partitions_def=days_of(spec),
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[check_spec(spec, Stage.PREDICTIONS, name) for name in _CHECKS],
        description="Answers and outcomes of a day from the endpoint's log, compacted; each row once.",
    )
    def asset(
        context: dg.AssetExecutionContext,
        lake: Lake,
        traffic: Traffic,
        workspace: Workspace,
        registry: Registry,
        ledger: Ledger,
        clock: Clock,
    ) -> dg.MaterializeResult:
        now = clock.now(spec)
        asked = windows(Every.DAY, partition_keys(context))
        with workspace.in_turn(spec.model, Stage.PREDICTIONS.value) as folder, retried_on_infrastructure():
            taken = _Taken.take(spec, asked, lake, traffic, folder, now)
            verdicts = [_known(spec, taken, registry, ledger), *taken.verdicts()]
            removed = taken.clear(now - spec.serving.log_retention) if all(v.passed for v in verdicts) else []
        context.log.info("%s rows of answers, %s of them new", f"{taken.rows:,}", f"{taken.added:,}")
        return dg.MaterializeResult(
            metadata=report_partitions(context, asked, taken.told(removed), taken.each_day()),
            data_version=data_version(
                {kind: each.snapshot for kind, each in day.items()} for day in taken.days.values()
            ),
            check_results=[check_result(verdict) for verdict in verdicts],
        )

    return asset


@dataclass(frozen=True)
class _Taken:
    """What one run took in."""

    spec: ModelSpec
    lake: Lake
    logs: "dict[str, LogSegments]"  # kind → files
    days: "dict[str, dict[str, Compacted]]"  # day → kind → what became of it
    tally: "AnswerTally"

    @classmethod
    def take(
        cls, spec: ModelSpec, asked: Sequence[Window], lake: Lake, traffic: Traffic, folder: Any, now: "datetime"
    ) -> "_Taken":
        from pathlib import Path

        from mlops_assets.domain.traffic.answer_tally import COLUMNS, AnswerTally
        from mlops_assets.domain.traffic.compaction import ANSWERS, OUTCOMES
        from mlops_assets.resources.traffic.log_segments import LogSegments
        from mlops_assets.stages.traffic.predictions.collect import compact

        roots = {ANSWERS: traffic.predictions, OUTCOMES: traffic.feedback}
        logs = {
            kind: LogSegments(Path(root) / spec.model, folder / f"{kind}.json").look() for kind, root in roots.items()
        }
        days: dict[str, dict[str, Compacted]] = {}
        tally = AnswerTally()
        for each in asked:
            beside = _beside(each)
            tables = {kind: lake.table(spec.model, Layer.PREDICTIONS, kind) for kind in logs}
            days[each.partition] = {
                kind: compact(kind, each.partition, logs[kind], tables[kind], beside[kind], now=now) for kind in logs
            }
            for piece in tables[ANSWERS].read_pieces(days[each.partition][ANSWERS].snapshot, COLUMNS):
                tally.add(piece)
        return cls(spec, lake, logs, days, tally)

    @property
    def answers(self) -> "list[Compacted]":
        from mlops_assets.domain.traffic.compaction import ANSWERS

        return [day[ANSWERS] for day in self.days.values()]

    @property
    def rows(self) -> int:
        return sum(each.snapshot.rows for each in self.answers)

    @property
    def added(self) -> int:
        return sum(each.added for each in self.answers)

    def verdicts(self) -> "list[Verdict]":
        from mlops_assets.domain.traffic.answer_tally import judge_completeness, judge_repeats

        whole = [each for day in self.days.values() for each in day.values()]
        rows = sum(each.snapshot.rows for each in whole)
        missing = sum(each.missing for each in whole)
        problems = dict.fromkeys(problem for each in whole for problem in each.problems)
        return [
            judge_repeats(rows, sum(each.read_back for each in whole)),
            judge_completeness(missing, rows, list(problems)),
        ]

    def clear(self, before: "datetime") -> "list[tuple[str, RemovedSegments]]":
        """Let go of segments that are older than declared, and safe."""
        return [
            (kind, segments.remove(self.lake.table(self.spec.model, Layer.PREDICTIONS, kind), before))
            for kind, segments in self.logs.items()
        ]

    def told(self, removed: "list[tuple[str, RemovedSegments]]") -> dict[str, Any]:
        from mlops_assets.resources.plots.predictions import draw_answers_by_hour, draw_score_spread

        pictures = {}
        if self.tally.hours:
            pictures["answers by hour"] = picture(draw_answers_by_hour(self.tally.hours), "answers by hour")
        if scores := self.tally.sample():
            pictures["spread of answers"] = picture(draw_score_spread(scores), "spread of answers")
        return {
            "rows": self.rows,
            "rows new": self.added,
            "rows degraded": self.tally.degraded.total(),
            "rows that came again": sum(each.repeated for each in self.answers),
            "rows of other days": self._outside(),
            "segments without one whole batch": sum(log.cut for log in self.logs.values()),
            "segments removed": sum(each.files for _, each in removed),
            "rows in segments removed": sum(each.rows for _, each in removed),
            "bytes removed": sum(each.size for _, each in removed),
            "answers": table(("version", "arm", "role", "rows", "degraded"), self._lines()),
            **pictures,
        }

    def each_day(self) -> dict[str, dict[str, Any]]:
        return {
            day: {
                "dagster/partition_row_count": sum(each.snapshot.rows for each in kinds.values()),
                **{f"rows/{kind}": each.snapshot.rows for kind, each in kinds.items()},
                **{f"digest/{kind}": each.snapshot.digest for kind, each in kinds.items()},
            }
            for day, kinds in self.days.items()
        }

    def _lines(self) -> Iterator[tuple[Any, ...]]:
        for key, rows in sorted(self.tally.rows.items()):
            yield (*key, rows, self.tally.degraded[key])

    def _outside(self) -> int:
        """Rows whose day is no partition: a replay that went on after the declared end."""
        there = days_of(self.spec)
        known = {day for log in self.logs.values() for day in log.days()}
        strange = {day for day in known if not there.has_partition_key(day)}
        return sum(rows for log in self.logs.values() for day, rows in log.days().items() if day in strange)


def _beside(day: Window) -> dict[str, list[str]]:
    """A message that a killed process left is answered again, perhaps on the other side of midnight."""
    from datetime import timedelta

    from mlops_assets.domain.traffic.compaction import ANSWERS, OUTCOMES

    assert day.start is not None
    names = [f"{day.start + timedelta(days=step):%Y-%m-%d}" for step in (-1, 1)]
    return {ANSWERS: names, OUTCOMES: []}


def _known(spec: ModelSpec, taken: _Taken, registry: Registry, ledger: Ledger) -> "Verdict":
    from mlops_assets.domain.traffic.answer_tally import judge_versions

    registered = [(each.number, each.semantic, each.bundle) for each in registry.versions(spec.model)]
    told = "\n".join(text for entry in ledger.entries(spec.model) for text in entry.details.values())
    released = [bundle for _, bundle in taken.tally.bundles if bundle in told]
    return judge_versions(taken.tally.bundles, registered, released)
