"""Scores the test rows by models that had not learnt them, then fits the model that learns every row.

A finished fold is kept in the folder of the training, so a run that was killed goes on with the next one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mlops_assets.domain.evaluation.metrics import UnmeasurableError
from mlops_assets.domain.training_set.folds import Fold
from mlops_assets.training.baselines import BaselineFit, baseline_answers
from mlops_assets.training.fits.task import Task, TrainingRecipe
from mlops_assets.training.loop import OnEpoch, logits_of
from mlops_assets.training.network import Model
from mlops_assets.training.rows import Rows, joined, on_device
from mlops_assets.training.steps import calibrate, reproducible
from mlops_assets.training.store import FoldAnswers, OutOfTime, load_fold, save_fold

OnFold = Callable[[int, Fold, float | None], None]  # number, counted from 1; the fold; its score


@dataclass(frozen=True)
class WalkForward:
    """The walk of one recipe over the test rows.

    Calibration never uses rows that a model has learnt: it uses the logits of earlier models on rows that these had
    not learnt, the latest ones, as many as there are validation rows. Those models are fitted in the same way, to the
    end of the same schedule, because a scale that is another's would not fit.
    """

    task: Task
    recipe: TrainingRecipe
    folds: Sequence[Fold]
    folder: Path
    rounds: int  # of boosting, of the baseline
    validated: np.ndarray  # logits of a model that learnt the train part alone, on the validation rows

    def run(self, on_epoch: OnEpoch, on_fold: OnFold) -> tuple[Model, OutOfTime]:
        """The model that learnt every row, and the test rows' answers by models that had not learnt them."""
        rows, scored = joined(self.task.parts), _Scored.of(self.task, self.validated.shape[1])
        scores = []
        with reproducible(self.task.device):
            for number, fold in enumerate(self.folds, 1):
                scored.add(fold, self._load_or_score(number, fold, rows, scored))
                scores.append(self._measure(rows.labels[fold.scored], scored.answered[-1].answers))
                on_fold(number, fold, scores[-1])
            model = self.task.fit_fully(rows, self.recipe, checkpoint=self.folder / "refit.pt", on_epoch=on_epoch)
            self._calibrate(model, scored, np.arange(len(rows)))
        answers, baselines = scored.collect(self.folds)
        return model, OutOfTime(answers, scored.fold, baselines, tuple(scores))

    def _load_or_score(self, number: int, fold: Fold, rows: Rows, scored: "_Scored") -> FoldAnswers:
        answered = load_fold(self.folder, number)
        if answered is None:
            answered = self._score(number, fold, rows, scored)
            save_fold(self.folder, number, answered)
        return answered

    def _score(self, number: int, fold: Fold, rows: Rows, scored: "_Scored") -> FoldAnswers:
        learnt, asked = rows.take(fold.learnt), rows.take(fold.scored)
        checkpoint = self.folder / f"fold-{number}.pt"
        model = self.task.fit_fully(learnt, self.recipe, checkpoint=checkpoint, on_epoch=lambda epoch, metrics: None)
        self._calibrate(model, scored, fold.learnt)
        logits = logits_of(model, on_device(asked, model.layout, self.task.device))
        seed = self.recipe.training.seed
        baselines = baseline_answers(model.layout, learnt, asked, BaselineFit(seed, rounds=self.rounds))
        return FoldAnswers(logits.cpu().numpy(), model.answer(logits).detach().cpu().numpy(), baselines)

    def _calibrate(self, model: Model, scored: "_Scored", known: np.ndarray) -> None:
        """By logits of the validation rows and of the test rows that are known and have been scored."""
        if not self.recipe.training.calibrate:
            return
        validation = self.task.parts["validation"].labels
        logits, labels = scored.known(known)
        logits, labels = np.concatenate([self.validated, logits]), np.concatenate([validation, labels])
        latest = slice(len(labels) - len(validation), None)
        calibrate(model, torch.from_numpy(logits[latest]), torch.from_numpy(labels[latest]))

    def _measure(self, labels: np.ndarray, answers: np.ndarray) -> float | None:
        try:
            return float(self.task.metric(labels, answers))
        except UnmeasurableError:  # a stretch may hold one class alone
            return None


@dataclass
class _Scored:
    """What the folds so far have made of the test rows."""

    first: int  # position of the first test row among all rows
    labels: np.ndarray
    fold: np.ndarray  # of each test row, counted from 1; 0: not scored yet
    logits: np.ndarray  # [test rows, outputs]
    answered: list[FoldAnswers]

    @classmethod
    def of(cls, task: Task, outputs: int) -> "_Scored":
        labels = task.parts["test"].labels
        first, count = len(task.parts["train"]) + len(task.parts["validation"]), len(labels)
        return cls(first, labels, np.zeros(count, dtype=np.int64), np.zeros((count, outputs), dtype=np.float32), [])

    def add(self, fold: Fold, answered: FoldAnswers) -> None:
        self.answered.append(answered)
        self.logits[fold.scored - self.first] = answered.logits
        self.fold[fold.scored - self.first] = len(self.answered)

    def known(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logits and labels of those of the rows that are scored test rows."""
        inside = positions[(positions >= self.first) & (positions < self.first + len(self.labels))] - self.first
        inside = inside[self.fold[inside] > 0]
        return self.logits[inside], self.labels[inside]

    def collect(self, folds: Sequence[Fold]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The answers of the model and of each baseline in the order of the test rows."""
        order = np.argsort(np.concatenate([fold.scored for fold in folds]))
        names = self.answered[0].baselines
        baselines = {name: np.concatenate([each.baselines[name] for each in self.answered])[order] for name in names}
        return np.concatenate([each.answers for each in self.answered])[order], baselines
