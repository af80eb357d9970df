"""What every fit of one training shares: the training set, the declaration, the metric and the device."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlops_assets.declaration.training import NetworkSpec, SearchSpec, TrainingSpec
from mlops_assets.domain.records import TrainingSet
from mlops_assets.training.fitting import learn_layout
from mlops_assets.training.layout import Layout
from mlops_assets.training.loop import Fitted, OnEpoch, ScoringMetric, fit, fit_all_epochs
from mlops_assets.training.network import Model, build
from mlops_assets.training.rows import Rows, on_device
from mlops_assets.training.search import Report
from mlops_assets.training.space import apply
from mlops_assets.training.steps import reproducible

_LEAST_SAMPLE = 4_000  # rows of a trial, where there are as many
_MOST_VALIDATION = 20_000  # rows a trial is judged on


@dataclass(frozen=True)
class Declared:
    """What a model's declaration says about training."""

    network: NetworkSpec
    training: TrainingSpec
    search: SearchSpec
    transform: str


@dataclass(frozen=True)
class TrainingRecipe:
    """What the search and the early stopping chose: `training.epochs` are those after which a fit ends."""

    network: NetworkSpec
    training: TrainingSpec


@dataclass(frozen=True)
class Task:
    """One training: the rows of its parts, and how they are learnt."""

    training_set: TrainingSet
    parts: Mapping[str, Rows]
    declared: Declared
    metric: ScoringMetric
    device: torch.device

    def fit_early(
        self, learnt: Rows, validation: Rows, recipe: TrainingRecipe, *, checkpoint: Path | None, on_epoch: OnEpoch
    ) -> tuple[Model, Fitted]:
        """A model that stops early on the validation rows."""
        with reproducible(self.device):
            model = self._new_model(learnt, recipe)
            train, judged = (on_device(rows, model.layout, self.device) for rows in (learnt, validation))
            fitted = fit(
                model, train, judged,
                spec=recipe.training, metric=self.metric, checkpoint=checkpoint, on_epoch=on_epoch,
            )  # fmt: skip
        return model, fitted

    def fit_fully(self, learnt: Rows, recipe: TrainingRecipe, *, checkpoint: Path, on_epoch: OnEpoch) -> Model:
        """A model that learns the rows for all the recipe's epochs."""
        with reproducible(self.device):
            model = self._new_model(learnt, recipe)
            rows = on_device(learnt, model.layout, self.device)
            fit_all_epochs(model, rows, spec=recipe.training, checkpoint=checkpoint, on_epoch=on_epoch)
        return model

    def objective(self, values: Mapping[str, Any], report: Report) -> float:
        """The score of one trial: a sample of the training rows, the same for every trial, and few epochs."""
        network, training = apply(values, self.declared.network, self.declared.training)
        recipe = TrainingRecipe(network, training.with_changes(epochs=self.declared.search.epochs))
        train, validation = self._samples
        _, fitted = self.fit_early(
            train, validation, recipe,
            checkpoint=None, on_epoch=lambda epoch, found: report(epoch, found[self.metric.name]),
        )  # fmt: skip
        return fitted.score

    def _new_model(self, learnt: Rows, recipe: TrainingRecipe) -> Model:
        layout = self._learn_layout(learnt, recipe.network)
        torch.manual_seed(recipe.training.seed)
        return build(layout, recipe.network).to(self.device)

    def _learn_layout(self, rows: Rows, network: NetworkSpec) -> Layout:
        known = self.training_set
        return learn_layout(
            rows, known.inputs, known.kind, classes=known.classes, bins=network.bins, transform=self.declared.transform
        )

    @cached_property
    def _samples(self) -> tuple[Rows, Rows]:
        train, validation = self.parts["train"], self.parts["validation"]
        size, seed = max(int(self.declared.search.sample * len(train)), _LEAST_SAMPLE), self.declared.training.seed
        return sample(train, size, seed), sample(validation, _MOST_VALIDATION, seed)


def sample(rows: Rows, size: int, seed: int) -> Rows:
    """At most `size` rows in their order; all of them where a sample would lose a class altogether."""
    if size >= len(rows):
        return rows
    index = np.sort(np.random.default_rng(seed).choice(len(rows), size, replace=False))
    taken = rows.take(index)
    return taken if len(np.unique(taken.labels)) > 1 else rows
