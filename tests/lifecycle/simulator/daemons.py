"""Dagster as far as a simulated life needs it: runs with their run keys, and daemons that repeat, die and forget.

What a sensor asks for is decided by the real code; here is only what is done with it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from mlops_assets.domain.retraining.launching import DecisionEvent, choose_launch
from mlops_assets.domain.retraining.records import DecisionRecord, TrainingRun


@dataclass
class Run:
    """One run of a job. `began` is in the model's time, `created` in the order of the wall."""

    job: str
    run_key: str
    created: float
    began: datetime
    ends: datetime | None = None
    hours: float | None = None

    @property
    def live(self) -> bool:
        return self.hours is None


@dataclass
class Instance:
    """What daemons share: runs and materialised decisions."""

    wall: float = 0.0
    runs: list[Run] = field(default_factory=list)
    decisions: list[DecisionEvent] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)  # run keys that were asked for though a run had them

    def tick(self) -> float:
        self.wall += 1
        return self.wall

    def submit(self, job: str, run_key: str, began: datetime) -> Run | None:
        """As Dagster does: a run key is used once."""
        if self.launched(run_key):
            self.repeated.append(run_key)
            return None
        self.runs.append(Run(job, run_key, self.tick(), began))
        return self.runs[-1]

    def materialize(self, record: DecisionRecord) -> None:
        self.decisions.append(DecisionEvent(len(self.decisions) + 1, self.tick(), record))

    def trainings(self) -> list[TrainingRun]:
        """Newest first."""
        found = [run for run in reversed(self.runs) if run.job == "train"]
        return [TrainingRun(run.began, run.hours, run.live) for run in found]

    def launched(self, run_key: str | None) -> bool:
        return any(run.run_key == run_key for run in self.runs)

    @property
    def last(self) -> DecisionRecord | None:
        return self.decisions[-1].record if self.decisions else None


@dataclass
class Daemon:
    """One of the daemons, with its own memory of how far it has read."""

    instance: Instance
    rng: np.random.Generator
    forgets: float = 0.0  # chance that it starts anew before a tick
    dies: float = 0.0  # chance that it ends before it has written how far it got
    cursor: int | None = None

    def look(self, ask: Callable[[], str], began: datetime) -> Run | None:
        """A tick of a sensor that looks for a cause: the decision it asks for, if any."""
        key = ask()
        return self.instance.submit("decision", key, began) if key else None

    def carry_out(self, now: datetime) -> Run | None:
        """A tick of the sensor that launches trainings."""
        if self.rng.random() < self.forgets:
            self.cursor = None
        read = self._read()
        taken = {each.run_key for each in read if self.instance.launched(each.run_key)}
        trainings = [run.created for run in self.instance.runs if run.job == "train"]
        chosen = choose_launch(read, taken, max(trainings, default=None)).event
        made = None
        if chosen is not None and chosen.run_key is not None:
            made = self.instance.submit("train", chosen.run_key, chosen.record.made_at)
        if self.rng.random() >= self.dies:
            self.cursor = read[-1].position if read else self.cursor or 0
        return made

    def _read(self) -> Sequence[DecisionEvent]:
        events = self.instance.decisions
        return events[-1:] if self.cursor is None else [each for each in events if each.position > self.cursor]
