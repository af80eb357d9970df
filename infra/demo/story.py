"""Reports what the system did since the last report: verdicts, decisions, runs and releases, with links."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from infra.demo.system import System, asset_url
from infra.demo.tally import format_table
from infra.run.first_start import MODEL
from mlops_assets.domain.drift.records import DriftDay
from mlops_assets.domain.names import Stage, training_job
from mlops_assets.domain.quality.records import PerformanceDay
from mlops_assets.domain.registry.ledger import Entry, LedgerAction
from mlops_assets.domain.release.release_state import ReleaseState
from mlops_assets.domain.verdict import Outcome
from mlops_assets.stages.drift.judge import REPORT

_REPORTED = (
    LedgerAction.REGISTERED,
    LedgerAction.PROMOTED,
    LedgerAction.REJECTED,
    LedgerAction.RELEASE,
    LedgerAction.ROLLBACK,
    LedgerAction.OVERRIDE,
)
_FALSE_ALARMS = "trainings for nothing (false alarms)"
_LONGEST = 260  # characters of a reason; the whole of it stands behind the link


@dataclass
class Story:
    """Remembers what it has reported, so that each piece of news appears once."""

    system: System
    say: Callable[[str], None]
    began: float = field(default_factory=time.time)
    reported: set[str] = field(default_factory=set)  # runs, days and decisions
    sequence: int = 0  # of the last ledger entry that was reported
    since: str = ""  # the first day that is of interest
    happened: Counter[str] = field(default_factory=Counter)

    def skip_past(self) -> None:
        """Report only what happens from now on."""
        self.sequence = max((entry.sequence for entry in self.system.read_ledger()), default=0)
        self.since = f"{self.system.now():%Y-%m-%d}"

    def report_news(self) -> None:
        """Report everything new, then the release in force."""
        reports = (
            self._report_drift(),
            self._report_performance(),
            self._report_decisions(),
            self._report_runs(),
            self._report_ledger(),
        )
        for text in chain.from_iterable(reports):
            self.say(f"    {text}")
        self.say(f"    in force: {format_release(self.system.read_release())}")

    def read_drift_days(self, since: str = "") -> dict[str, DriftDay]:
        monitoring = self.system.resources["monitoring"]
        return monitoring.read(MODEL, Stage.DRIFT_REPORT, DriftDay, since=since or self.since)

    def read_drift_details(self, day: str) -> dict[str, Any] | None:
        """Every finding of a day, as the report's JSON has it."""
        found = self.system.resources["monitoring"].get(MODEL, Stage.DRIFT_REPORT, day, REPORT)
        return json.loads(found) if found else None

    def read_performance_days(self, since: str = "") -> dict[str, PerformanceDay]:
        monitoring = self.system.resources["monitoring"]
        return monitoring.read(MODEL, Stage.PERFORMANCE, PerformanceDay, since=since or self.since)

    def _report_drift(self) -> Iterator[str]:
        new = [each for day, each in self.read_drift_days().items() if self._is_new(f"drift {day} {each.made_at}")]
        if not new:
            return
        drifted = [each for each in new if each.verdict.outcome is Outcome.FAIL]
        columns = Counter(column for each in drifted for column in each.columns)
        most = ", ".join(f"{name} ({count})" for name, count in columns.most_common(5))
        yield f"drift: {len(drifted)} of {len(new)} days drifted{f', most often in {most}' if most else ''}"
        alarm = new[-1].alarm
        yield f"drift alarm: {alarm.outcome}. {_short(alarm.reason)} {asset_url(self.system, Stage.DRIFT_REPORT)}"
        self.happened["drift alarms"] += alarm.outcome is Outcome.FAIL

    def _report_performance(self) -> Iterator[str]:
        new = [
            each
            for day, each in self.read_performance_days().items()
            if self._is_new(f"performance {day} {each.made_at}")
        ]
        if new:
            last = new[-1]
            realised = f"{last.realised.value:.3f}" if last.realised else "not known yet"
            guess = f", estimated {last.estimated.value:.3f}" if last.estimated else ""
            yield (
                f"performance on {last.day}: {last.metric} {realised}{guess}, {last.labelled} of {last.rows} labelled; "
                f"{last.fall.outcome}. {_short(last.fall.reason)}"
            )

    def _report_decisions(self) -> Iterator[str]:
        """Report every decision to train, and the last decision where it is not to train."""
        new = [
            each
            for each in self.system.dagster.list_decisions(MODEL, self.began)
            if self._is_new(f"decided {each.run}")
        ]
        self.happened["decisions to train"] += sum(each.yes for each in new)
        self.happened["decisions not to train"] += sum(not each.yes for each in new)
        last = new[-1:] if new and not new[-1].yes else []
        for each in [*(each for each in new if each.yes), *last]:
            yield f"decision: {_short(each.reason)} {self.system.dagster.run_url(each.run)}"

    def _report_runs(self) -> Iterator[str]:
        for run in self.system.dagster.list_runs_since(MODEL, self.began):
            if run.job == training_job(MODEL) and run.status in ("SUCCESS", "FAILURE") and self._is_new(run.id):
                passed = run.status == "SUCCESS"
                self.happened["trainings that passed their gates" if passed else _FALSE_ALARMS] += 1
                ended = "passed its gates" if passed else "stopped, at a gate or by an error"
                yield f"training: {ended} {self.system.dagster.run_url(run.id)}"

    def _report_ledger(self) -> Iterator[str]:
        for entry in self.new_entries():
            self.happened[_name_count(entry)] += 1
            subject = entry.details.get("semantic") or entry.details.get("bundle", "")[:12]
            yield f"ledger {entry.sequence}: {entry.action} {subject} by {entry.actor}. {_short(entry.reason)}"

    def new_entries(self) -> list[Entry]:
        new = [
            entry for entry in self.system.read_ledger() if entry.sequence > self.sequence and entry.action in _REPORTED
        ]
        self.sequence = max([self.sequence, *(entry.sequence for entry in new)])
        return new

    def _is_new(self, what: str) -> bool:
        known = what in self.reported
        self.reported.add(what)
        return not known

    def summary(self, requests: int) -> str:
        counted = [[what, str(count)] for what, count in self.happened.items() if count]
        minutes = (time.time() - self.began) / 60
        return "\n".join(
            [
                format_table(["what happened", "times"], [*counted, ["requests", f"{requests:,}"]]),
                f"\nIn {minutes:.0f} minutes. In force now: {format_release(self.system.read_release())}",
                f"See {asset_url(self.system, Stage.RETRAIN_DECISION)} for every decision with its numbers,",
                f"    {asset_url(self.system, Stage.DEPLOYED_ENDPOINT)} for every step of a release.",
            ]
        )


def format_release(state: ReleaseState | None) -> str:
    """`1.0.0 75 %, canary 1.1.0 25 %`"""
    if state is None:
        return "nothing"
    frozen = ", frozen for a person" if state.frozen else ""
    arms = [f"{arm.role} {arm.version} {arm.weight:.0%}" for arm in state.arms]
    return f"{', '.join(arms)} (generation {state.generation}{frozen})"


def _name_count(entry: Entry) -> str:
    return {
        LedgerAction.REGISTERED: "versions registered",
        LedgerAction.PROMOTED: "promotions",
        LedgerAction.REJECTED: "rejections",
        LedgerAction.RELEASE: "canary steps",
        LedgerAction.ROLLBACK: "rollbacks",
        LedgerAction.OVERRIDE: "overrides",
    }[entry.action]


def _link(system: System, stage: Stage) -> str:
    return asset_url(system, stage)


def _short(text: str) -> str:
    """Beginning and end: what came first, and what tipped it."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"
