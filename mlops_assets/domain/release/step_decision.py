"""What happens next to a release, by its strategy, from what was seen of its present generation. Pure.

| strategy | judged by | ends |
|---|---|---|
| canary | `rollout.judge_step`, step by step | at 100 %, rolled back, or frozen for a person |
| shadow | the same judge on the copies, in one step | at 100 %, or taken away |
| A/B test | `experiment.read_out` over people | the winner is promoted, the champion stays, or frozen |
| bandits | nobody: they move their shares themselves | when a person says so |
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mlops_assets.declaration.release import RolloutPolicy
from mlops_assets.domain.release import rollout_signals as signals
from mlops_assets.domain.release.experiment import Ending, ExperimentMetric, ExperimentPolicy, Readout, read_out
from mlops_assets.domain.release.release_state import ReleaseState
from mlops_assets.domain.release.rollout import Decision, RolloutAction, judge_step
from mlops_assets.domain.release.rollout_signals import Levels, Signal
from mlops_assets.domain.release.step_evidence import REWARD, StepObservations, share_of, step_evidence
from mlops_assets.domain.verdict import Outcome, Verdict
from serving.contract.arms import Strategy

FINISHED = 1.0  # the share with which a rollout ends well


@dataclass(frozen=True)
class StepDecision:
    """What to do with the release in force, and everything it stands on."""

    action: RolloutAction
    share: float  # the arm's from now on; 1: it becomes the champion, 0: it is taken away
    arm: str  # whom the action is about
    reason: str
    numbers: Mapping[str, float]  # for the ledger
    verdicts: tuple[Verdict, ...]

    @property
    def acts(self) -> bool:
        return self.action is not RolloutAction.HOLD

    @property
    def finishes(self) -> bool:
        return self.action is RolloutAction.ADVANCE and self.share == FINISHED


def nothing_to_decide(state: ReleaseState) -> str | None:
    """Why no step of this release is judged; None: one is."""
    if state.frozen:
        return f"Generation {state.generation} was frozen by {state.actor}: a person has to decide."
    if state.challenger is None:
        champion = state.champion
        return f"Version {champion.version} is alone since {state.opened_at:%F %T}: there is no step to judge."
    return None


def decide_step(rollout: RolloutPolicy, state: ReleaseState, seen: StepObservations) -> StepDecision:
    """The same release and the same logs give the same decision."""
    match state.strategy:
        case Strategy.AB_TEST:
            return _of_experiment(rollout, state, seen)
        case Strategy.EPSILON_GREEDY | Strategy.THOMPSON:
            return _of_bandit(state, seen)
        case _:
            return _of_steps(rollout, state, seen)


def _of_steps(policy: RolloutPolicy, state: ReleaseState, seen: StepObservations) -> StepDecision:
    arm = _challenger(state)
    if state.strategy is Strategy.SHADOW:
        policy = policy.with_changes(steps=(share_of(state), FINISHED))
    if share_of(state) not in policy.steps[:-1]:
        steps = ", ".join(f"{step:.0%}" for step in policy.steps)
        reason = f"{arm} stands at {share_of(state):.1%}, which is none of the steps {steps}: a person has to move it."
        verdict = Verdict(Signal.DATA, Outcome.ERROR, reason, {})
        return StepDecision(RolloutAction.HOLD, share_of(state), arm, reason, _of_arms(seen), (verdict,))
    found = judge_step(policy, step_evidence(seen))
    reason = " ".join([found.reason, *_noted(seen)])
    return StepDecision(
        found.action, _share_after(state, found), arm, reason, _numbers(found.verdicts, seen), found.verdicts
    )


def _share_after(state: ReleaseState, found: Decision) -> float:
    """A shadow that goes on keeps its share of copies."""
    if state.strategy is Strategy.SHADOW and found.action in (RolloutAction.HOLD, RolloutAction.FREEZE):
        return state.challenger.weight if state.challenger else 0.0
    return found.share


def _of_experiment(rollout: RolloutPolicy, state: ReleaseState, seen: StepObservations) -> StepDecision:
    arm, share = _challenger(state), share_of(state)
    if seen.problems:
        return _unmeasured(rollout, state, seen)
    policy = experiment_policy(rollout, state)
    found = read_out(policy, seen.people)
    verdicts = (*_of_readout(policy, found), *_of_errors(rollout, state, seen))
    numbers = _numbers(verdicts, seen)
    failed = [verdict for verdict in verdicts if verdict.name.startswith(Signal.ERRORS) and _is_failure(verdict)]
    if failed and found.ending is not Ending.SPLIT_BROKEN:
        return StepDecision(RolloutAction.ROLL_BACK, 0.0, arm, failed[0].reason, numbers, verdicts)
    action, share, arm = {
        Ending.RUNNING: (RolloutAction.HOLD, share, arm),
        Ending.WINNER: (RolloutAction.ADVANCE, FINISHED, found.winner or arm),
        Ending.NO_DIFFERENCE: (RolloutAction.ROLL_BACK, 0.0, arm),
        Ending.OUT_OF_PEOPLE: (RolloutAction.ROLL_BACK, 0.0, arm),
        Ending.SPLIT_BROKEN: (RolloutAction.FREEZE, share, arm),
    }[found.ending]
    return StepDecision(action, share, arm, " ".join([found.reason, *_noted(seen)]), numbers, verdicts)


def experiment_policy(rollout: RolloutPolicy, state: ReleaseState) -> ExperimentPolicy:
    """The declared experiment for the arms of this release."""
    declared = rollout.experiment
    metric = ExperimentMetric(declared.metric, higher_is_better=declared.metric == REWARD, worth=declared.worth)
    return ExperimentPolicy(
        control=state.champion.name,
        shares={arm.name: arm.weight for arm in state.arms},
        metrics=(metric,),
        alpha=declared.alpha,
        split_alpha=rollout.split_alpha,
        minimum=declared.minimum,
        longest=declared.longest,
    )


def _unmeasured(policy: RolloutPolicy, state: ReleaseState, seen: StepObservations) -> StepDecision:
    """As for a canary: users are not left with a version that nobody can see."""
    arm, lost = _challenger(state), seen.blind >= policy.blind_patience
    verdict = Verdict(Signal.DATA, Outcome.ERROR, f"Cannot be measured: {'; '.join(seen.problems)}.", {})
    reason = f"Not measured for {seen.blind}, nobody can see what it does. {verdict.reason}" if lost else verdict.reason
    action, share = (RolloutAction.ROLL_BACK, 0.0) if lost else (RolloutAction.HOLD, share_of(state))
    return StepDecision(action, share, arm, reason, _numbers((verdict,), seen), (verdict,))


def _of_bandit(state: ReleaseState, seen: StepObservations) -> StepDecision:
    rewards = {name: each.metrics[REWARD] for name, each in seen.people.items()}
    told = [
        f"{name}: {seen.people[name].people} people, mean reward {float(r.mean):.4g}" for name, r in rewards.items()
    ]
    reason = f"The arms move their shares by reward; a person ends it. {'; '.join(told)}."
    problems = [f"Cannot be measured: {'; '.join(seen.problems)}."] if seen.problems else []
    numbers = {f"{name} mean reward": float(each.mean) for name, each in rewards.items()}
    reason = " ".join([*problems, reason, *_noted(seen)])
    return StepDecision(RolloutAction.HOLD, share_of(state), _challenger(state), reason, numbers | _of_arms(seen), ())


def _of_readout(policy: ExperimentPolicy, found: Readout) -> Iterator[Verdict]:
    broken = found.ending is Ending.SPLIT_BROKEN
    told = found.reason if broken else f"The split is the one asked for (p {found.split_p:.2g})."
    yield Verdict(Signal.SPLIT, Outcome.ERROR if broken else Outcome.PASS, told, {"p": found.split_p})
    for each in found.comparisons:
        outcome = Outcome.PASS if each.better else Outcome.FAIL if each.worse else Outcome.INCONCLUSIVE
        numbers = {
            "control": each.control_mean,
            "variant": each.variant_mean,
            "difference": each.difference,
            "low": each.low,
            "high": each.high,
            "p": each.adjusted_p,
        }
        told = f"{each.variant_mean:.4g} against {each.control_mean:.4g}, p {each.adjusted_p:.2g}."
        yield Verdict(f"{each.metric}[{each.variant}]", outcome, told, numbers)


def _of_errors(policy: RolloutPolicy, state: ReleaseState, seen: StepObservations) -> Iterator[Verdict]:
    """A variant that cannot answer is taken away, whatever its answers are worth."""
    theirs, champion = seen.arms[state.champion.name], state.champion
    variants = [arm for arm in state.arms if arm is not champion]
    for arm in variants:
        ours = seen.arms[arm.name]
        levels = Levels(policy.alpha / len(variants), policy.alpha, arm.weight / (arm.weight + champion.weight))
        counts = (ours.errors, ours.requests), (theirs.errors, theirs.requests)
        yield signals.events(f"{Signal.ERRORS}[{arm.name}]", *counts, margin=policy.error_margin, levels=levels)


def _is_failure(verdict: Verdict) -> bool:
    return verdict.outcome is Outcome.FAIL


def _challenger(state: ReleaseState) -> str:
    if state.challenger is None:
        raise ValueError(f"{state.model}: generation {state.generation} has no arm beside the champion")
    return state.challenger.name


def _noted(seen: StepObservations) -> Iterator[str]:
    yield from (f"Note: {note}." for note in seen.notes)


def _numbers(verdicts: tuple[Verdict, ...], seen: StepObservations) -> dict[str, float]:
    told = {f"{v.name} {name}": float(value) for v in verdicts for name, value in v.numbers.items()}
    return _of_arms(seen) | told


def _of_arms(seen: StepObservations) -> dict[str, float]:
    numbers = {"elapsed seconds": seen.elapsed.total_seconds()}
    for name, arm in seen.arms.items():
        labels = float(arm.losses.count)  # type: ignore[arg-type]
        numbers |= {
            f"{name} requests": float(arm.requests),
            f"{name} errors": float(arm.errors),
            f"{name} slow": float(arm.slow),
            f"{name} outcomes": labels,
            f"{name} loss": float(arm.losses.mean),
        }
    return numbers
