"""Ninety days of a model's life in seconds: a fake clock and fake traffic around the code that really decides.

Real are: router, release file, ledger, release code, judge of rollouts, drift, quality, label delay, the decision to
train again, the looks of the sensors, the gates, the judge of champions. Summed up are the logs: evidence of a
rollout is counted from arrays instead of from segments on disk.
"""

from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa

from mlops_assets.automation.rollback import APPROVER, read_term
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.release.next_release import begin_release, go_back
from mlops_assets.domain.release.release_state import ReleaseState
from mlops_assets.domain.release.served_by import find_release_at, find_release_of_request
from mlops_assets.domain.release.step_decision import decide_step, nothing_to_decide
from mlops_assets.domain.release.step_evidence import StepObservations
from mlops_assets.domain.retraining import causes
from mlops_assets.domain.retraining.decision import decide
from mlops_assets.domain.retraining.evidence import ModelHistory, build_evidence, days_of_champion
from mlops_assets.domain.retraining.records import Champion, DecisionRecord, TrainingRequest
from mlops_assets.domain.retraining.rollback import judge_term
from mlops_assets.domain.verdict import Outcome
from mlops_assets.resources.registry.ledger import Ledger
from mlops_assets.resources.release.deployment import DecidedBy, Deployment, build_release
from mlops_assets.resources.release.endpoint import Endpoint
from mlops_assets.stages.release.step import next_release
from serving.contract.arms import Strategy
from serving.models.router import build_router
from tests.fakes.registry import FakeRegistry
from tests.lifecycle.simulator.candidates import School
from tests.lifecycle.simulator.daemons import Daemon, Instance, Run
from tests.lifecycle.simulator.live_days import Watch
from tests.lifecycle.simulator.parts import START, Faults, Made, Step, answers, no_answers
from tests.lifecycle.simulator.world import Rows, World, joined

MODEL = "life"
SLOTS = 12  # of a day
_SLOT = timedelta(days=1) / SLOTS
_TRAINED = timedelta(hours=3)
_LEARNT_FROM = 8_000  # rows
_BEFORE = 10  # days that the first version is trained on
_PEOPLE = 20_000


class Life:
    """One model from its first release on."""

    def __init__(
        self, folder: Path, world: World, spec: ModelSpec, seed: int = 0, faults: Faults | None = None
    ) -> None:
        self.world, self.spec, self.faults = world, spec, faults or Faults()
        self.rng, self.now, self.day = np.random.default_rng(seed), START, 0
        self.ledger, self.registry = Ledger(folder=str(folder / "ledger")), FakeRegistry(folder)
        self.deployment = Deployment(
            folder=str(folder / "releases"),
            ledger=self.ledger,
            registry=self.registry,  # type: ignore[arg-type]  # the conformance suite runs over both
            endpoint=Endpoint(url="", token="", patience=1),
        )
        self.instance, self.school = Instance(), School(spec, self.registry)
        self.made, self.rows = self.school.made, self.school.rows
        self.daemons = [
            Daemon(self.instance, np.random.default_rng([seed, n]), self.faults.forgets, self.faults.dies)
            for n in range(self.faults.daemons)
        ]
        self.watch = Watch(spec, self.made)
        self.step, self.training = Step(), None
        self.requests = self.misrouted = self.unanswered = 0
        self.rollbacks: list[tuple[str, int]] = []  # version, requests that it answered
        self.started: list[int] = []  # days on which a training began
        self.taken: dict[str, int] = {}  # version → requests that were routed to it
        self._begin()

    # --- versions ---

    def _begin(self) -> None:
        before = joined([self.world.day(day) for day in range(-_BEFORE, 0)])
        self.school.register(before, START)
        self.release("1", Strategy.BLUE_GREEN)

    def release(self, number: str, strategy: Strategy, actor: str = "gates") -> None:
        version = self.deployment.version(MODEL, number)

        def plan(state: ReleaseState | None) -> Any:
            return begin_release(MODEL, self.spec.rollout, state, version, strategy=strategy, bento="", now=self.now)

        self._change(plan, DecidedBy(actor, "it passed", {}))

    def push(self, strategy: Strategy, *, damage: float = 0.0, errors: float = 0.002) -> str:
        """A person releases a version that is not what its evaluation promised; its number."""
        champion = self.made[self.champion.number]
        learnt = champion.learnt.damaged(self.rng, damage) if damage else champion.learnt
        made = self.school.register(champion.learnt.rows, self.now, learnt, errors, champion.learnt)
        self.release(made.number, strategy, "ann")
        return made.number

    def _change(self, plan: Any, told: DecidedBy) -> None:
        before = self.deployment.state(MODEL)
        self.deployment.change(self.spec, plan, told, self.now)
        self.state, self.entries = self.deployment.state(MODEL), self.ledger.entries(MODEL)
        assert self.state
        self.step, self.route = Step(), build_router(build_release(self.spec, self.state))
        self.arms = {arm.name: index for index, arm in enumerate(self.state.arms)}
        lost = before.challenger if before and self.state.challenger is None else None
        if lost and lost.number != self.state.champion.number:
            self.rollbacks.append((lost.number, self.taken.get(lost.number, 0)))

    # --- a day ---

    def run(self, days: int) -> "Life":
        for _ in range(days):
            self.live()
        return self

    def live(self) -> None:
        """A day of traffic, then its night."""
        midnight, rows = START + timedelta(days=self.day), self.world.day(self.day)
        self.rows[self.day], parts = rows, []
        for slot in range(SLOTS):
            self.now = midnight + slot * _SLOT
            self._finish_training()
            part = np.arange(len(rows) * slot // SLOTS, len(rows) * (slot + 1) // SLOTS)
            if len(part):
                parts.append(self._traffic(rows, part))
            self.now = midnight + (slot + 1) * _SLOT - timedelta(seconds=1)
            self._step_of_rollout()
        name = f"{midnight:%Y-%m-%d}"
        answered = pa.concat_tables(parts) if parts else no_answers()
        self.day, self.now = self.day + 1, midnight + timedelta(days=1, minutes=30)
        self.watch.day(name, rows, answered, self.now)
        self._night()

    def _traffic(self, rows: Rows, part: np.ndarray) -> pa.Table:
        """Every request is routed by the endpoint's own router."""
        assert self.state
        keys, draw = self.rng.integers(_PEOPLE, size=len(part)), Random(0)
        arm = np.array([self.arms[self.route(f"k{key}", None, draw).arm.name] for key in keys])
        versions = [self.made[each.number] for each in self.state.arms]
        scores = np.stack([self._scores(made)[part] for made in versions])[arm, np.arange(len(part))]
        failed = self.rng.random(len(part)) < np.array([made.errors for made in versions])[arm]
        gave = np.where(failed, 0, arm)  # the ladder: the champion answers in its place
        ends = (self.now + _SLOT - START).total_seconds()
        begins = (max(self.now, self.state.opened_at) - START).total_seconds()
        seconds = np.linspace(begins, ends, len(part), endpoint=False)
        self._note(arm, failed, np.square(scores - rows.label[part]), seconds + rows.wait[part])
        self._who_served(arm, seconds)
        for index, made in enumerate(versions):
            self.taken[made.number] = self.taken.get(made.number, 0) + int((arm == index).sum())
        return answers(versions, gave, scores, seconds, seconds + rows.wait[part], rows.label[part])

    def _scores(self, made: Made) -> np.ndarray:
        if made.told.get("day") != self.day:
            made.told |= {"day": self.day, "scores": made.learnt.score(self.rows[self.day])}
        return made.told["scores"]

    def _note(self, arm: np.ndarray, failed: np.ndarray, loss: np.ndarray, known: np.ndarray) -> None:
        for into, values in ((self.step.arm, arm), (self.step.failed, failed), (self.step.loss, loss)):
            into.append(values)
        self.step.known.append(np.where(np.isnan(known), np.inf, known))

    def _who_served(self, arm: np.ndarray, seconds: np.ndarray) -> None:
        """The ledger has to name one release for the moment, and for each id the arm that the request went to."""
        entries, tails = self.entries, list(self.state.tails.values()) if self.state else []
        self.requests += len(arm)
        for moment in (seconds[0], seconds[-1]):
            found = find_release_at(entries, START + timedelta(seconds=float(moment)))
            self.unanswered += found is None
            self.misrouted += (
                found is not None and self.state is not None and found[0].generation != self.state.generation
            )
        for index in np.unique(arm):
            _, told, _ = find_release_of_request(entries, f"w1-0{tails[index]}")
            self.misrouted += int((arm == index).sum()) * (self.state is None or told != self.state.arms[index])

    def _step_of_rollout(self) -> None:
        state = self.state
        if state is None or nothing_to_decide(state):
            return
        watched = self.step.watched([arm.name for arm in state.arms], (self.now - START).total_seconds())
        seen = StepObservations(state, self.now - state.opened_at, timedelta(0), watched, {}, {}, (), ())
        decision = decide_step(self.spec.rollout, state, seen)
        if decision.acts:
            told = DecidedBy("rollout", decision.reason, decision.numbers)
            self._change(lambda present: next_release(present, state.generation, decision, self.now), told)

    # --- a night ---

    def _night(self) -> None:
        """A decision with the day that was watched, and the ticks of all sensors; some of it goes wrong."""
        true, off = self.now, self.faults.jumps.get(self.day, timedelta(0))
        self.now = true + off
        if self.rng.random() >= self.faults.undecided:
            self.decide()
        for _ in range(self.faults.repeats):
            for daemon in self.daemons:
                if any(daemon.look(ask, self.now) for ask in self._asks()):
                    self.decide()
        for _ in range(self.faults.repeats):
            for daemon in self.daemons:
                self._start(daemon.carry_out(self.now))
        self.now = true
        self._recover()

    def decide(self, request: TrainingRequest | None = None) -> DecisionRecord:
        """The decision, on what there is now."""
        problems = ("a record is half written",) if self.day in self.faults.unreadable else ()
        last = self.instance.last
        pending = bool(last and last.decision.run_key and not self.instance.launched(last.decision.run_key))
        policy = self.spec.retraining
        trainings = self.instance.trainings()
        found = build_evidence(
            MODEL, (self.spec.monitoring.quality, policy),
            ModelHistory(self.champion, self.watch.drift_days, self.watch.quality_days, trainings),
            new_rows=self._count(), request=request or TrainingRequest(), paused=False, pending=pending,
            problems=problems, now=self.now,
        )  # fmt: skip
        record = DecisionRecord(decide(policy, found, self.now), found, (), (), "", self.now, policy)
        self.instance.materialize(record)
        return record

    @property
    def champion(self) -> Champion:
        assert self.state
        made = self.made[self.state.champion.number]
        on_trial = self.state.challenger.version if self.state.is_judged and self.state.challenger else None
        return Champion(made.number, made.semantic, made.bundle, made.trained_at, on_trial)

    def _asks(self) -> list[Any]:
        """The looks of the sensors, each as what it would ask for."""
        champion, policy = self.champion, self.spec.retraining

        def key(find: Any) -> Any:
            return lambda: causes.request_decision(MODEL, champion, find(), self.instance.last).run_key

        looks = {
            "drift": lambda: causes.check_drift(days_of_champion(champion, self.watch.drift_days)),
            "quality": lambda: causes.check_quality(days_of_champion(champion, self.watch.quality_days)),
            "data_volume": lambda: causes.check_volume(policy, self._count(), self.now),
            "staleness": lambda: causes.check_age(policy, champion.trained_at, self.now),
        }
        return [key(look) for cause, look in looks.items() if cause in policy.causes]

    def _count(self) -> int:
        return self.school.new_rows(self.champion.trained_at or START, self.now)

    # --- training, and going back ---

    def _start(self, run: Run | None) -> None:
        if run is not None:
            run.ends = self.now + _TRAINED
            self.started.append(self.day)
            self.training = run

    def _finish_training(self) -> None:
        """The candidate that comes of it is judged by the gates; one that passes begins its rollout."""
        run = self.training
        if run is None or run.ends is None or self.now < run.ends:
            return
        run.hours, self.training = _TRAINED / timedelta(hours=1), None
        rows = self.school.learnable(run.began)
        if rows is None:
            return
        made = self.school.register(rows, run.began)
        if self.school.passes(made, self.made[self.champion.number], rows):
            self.release(made.number, self.spec.rollout.strategy)

    def _recover(self) -> None:
        """The judge of champions, and the way back."""
        _, term = read_term(MODEL, self.entries, self.ledger)
        verdict = judge_term(self.spec.monitoring.quality, term, self.watch.quality_days, self.now)
        if verdict.outcome is Outcome.FAIL:
            assert term.before
            target = self.deployment.version(MODEL, term.before)
            told = DecidedBy(APPROVER, verdict.reason, {})
            self._change(lambda state: go_back(state, target, self.now), told)
            self.rollbacks.append((term.number, self.taken[term.number]))


def with_policies(spec: ModelSpec, *, causes: tuple[Any, ...] | None = None, **retrain: Any) -> ModelSpec:
    """The spec with other rules of retraining."""
    policy = spec.retraining
    policy = policy.with_changes(**({"causes": causes} if causes is not None else {}), **retrain)
    return spec.with_changes(retraining=policy)
