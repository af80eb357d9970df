"""Hyperparameter search: Optuna's TPE, with trials that fall behind pruned. Knows nothing of networks.

Each trial is drawn from a seed of its own, so a search that goes on after a kill asks for the same values
as one that was never interrupted. The declared values are the first trial: the search never ends worse than
it began.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial

from mlops_assets.declaration.training import Dimension
from mlops_assets.training.space import distribution

_RANDOM_FIRST = 5  # trials before the sampler and the pruner trust what they have seen
_SEEDS = 10_007


@dataclass(frozen=True)
class TrialResult:
    number: int  # of finished trials before it
    state: str  # complete, pruned or failed
    values: Mapping[str, Any]
    score: float | None
    epochs: int


Report = Callable[[int, float], None]  # epoch, score; raises to stop a trial that falls behind
Objective = Callable[[Mapping[str, Any], Report], float]
OnTrial = Callable[[TrialResult], None]


def search(
    name: str,
    space: Mapping[str, Dimension],
    objective: Objective,
    *,
    first: Mapping[str, Any],
    trials: int,
    seed: int,
    maximise: bool,
    storage: BaseStorage | None,
    timeout: timedelta | None,
    clock: Callable[[], float],
    on_trial: OnTrial,
) -> tuple[TrialResult, ...]:
    """Run until `trials` have finished in `storage`, and return all of them, in order."""
    study = _study(name, storage, maximise)
    began = clock()
    while len(done := _finished(study)) < trials:
        if timeout is not None and done and clock() - began >= timeout.total_seconds():
            break
        number = len(done)
        trial = _run_trial(study, space, objective, first=None if done else first, seed=seed * _SEEDS + number)
        on_trial(_result(number, trial))
    return tuple(_result(number, trial) for number, trial in enumerate(_finished(study)))


def best_values(results: tuple[TrialResult, ...], maximise: bool) -> Mapping[str, Any]:
    """Of the best complete trial; none where no trial was completed."""
    complete = [r for r in results if r.state == "complete" and r.score is not None]
    sign = 1 if maximise else -1
    best = max(complete, key=lambda r: sign * (r.score or 0.0), default=None)
    return best.values if best else {}


def _study(name: str, storage: BaseStorage | None, maximise: bool) -> Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        direction="maximize" if maximise else "minimize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_RANDOM_FIRST, n_warmup_steps=1),
        load_if_exists=True,
    )
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # a killed process left it behind
    return study


def _run_trial(
    study: Study, space: Mapping[str, Dimension], objective: Objective, *, first: Mapping[str, Any] | None, seed: int
) -> FrozenTrial:
    study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=_RANDOM_FIRST)
    if first:
        study.enqueue_trial(dict(first))
    trial = study.ask({name: distribution(axis) for name, axis in space.items()})
    try:
        study.tell(trial, objective(trial.params, _reporter(trial)))
    except optuna.TrialPruned:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    except FloatingPointError as err:  # diverged: an answer about these values, not about the search
        trial.set_user_attr("diverged", str(err))
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    return study.trials[trial.number]


def _reporter(trial: Trial) -> Report:
    def report(epoch: int, score: float) -> None:
        trial.report(score, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned

    return report


def _finished(study: Study) -> list[FrozenTrial]:
    """Complete, pruned or diverged; not those that a kill cut off."""
    return [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state.name in ("COMPLETE", "PRUNED") or "diverged" in trial.user_attrs
    ]


def _result(number: int, trial: FrozenTrial) -> TrialResult:
    state = {"COMPLETE": "complete", "PRUNED": "pruned"}.get(trial.state.name, "failed")
    score = trial.value if state == "complete" else trial.intermediate_values.get(trial.last_step or 0)
    return TrialResult(number, state, dict(trial.params), score, len(trial.intermediate_values))
