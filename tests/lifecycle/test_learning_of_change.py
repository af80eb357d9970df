"""After a change the next training learns it: on the product's own labels, split, folds and refit.

Rows come in days, each with luck of its own, and labels a day late. A champion was trained before or while the world
changed. Its successor is trained 15 days later and asked about the ten days after that. What it has recovered is told
between the champion and an oracle: gradient boosting fitted on every labelled row, with nothing left for judging.
"""

import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.evaluation.comparison import Basis
from mlops_assets.domain.evaluation.intervals import blocks_of
from mlops_assets.domain.evaluation.metrics import METRICS
from mlops_assets.domain.names import CREATED_TIME, EVENT_TIME, LABEL
from mlops_assets.domain.records import Inputs, TrainingSet
from mlops_assets.domain.training_set.training_rows import divide, every_row, labelled_examples, plan_folds, time_span
from mlops_assets.training.fits.task import Declared
from mlops_assets.training.loop import answers_of
from mlops_assets.training.rows import on_device, pack
from mlops_assets.training.steps import device_of
from mlops_assets.training.store import load_model, load_out_of_time
from mlops_assets.training.train import train
from tests.kit.specs import START, model_spec

ROWS, BEFORE, AT, ASKED = 250, 45, 60, 10  # rows a day; days until the champion, until its successor, asked about
INPUTS = Inputs(("a", "b", "c"), ())
DAY, DELAY = timedelta(days=1), timedelta(days=1)
AUC = METRICS["auc"]

pytestmark = pytest.mark.simulation


def weights(change: str, day: int) -> np.ndarray:
    """What the inputs say on a day: before, after, or on the way from one to the other."""
    done = {"abrupt": float(day >= BEFORE), "slow": np.clip((day - 25) / (AT - 25), 0, 1)}[change]
    return (1 - done) * np.array([2.0, 0.5, 0.0]) + done * np.array([0.0, 0.5, 2.0])


def days_of(change: str, first: int, last: int, seed: int) -> pa.Table:
    parts = []
    for day in range(first, last):
        rng = np.random.default_rng([seed, day])
        x = rng.normal(size=(ROWS, 3))
        logit = x @ weights(change, day) + rng.normal(scale=0.4) - 0.5
        moments = pa.array([START + DAY * day + DAY * i / ROWS for i in range(ROWS)], pa.timestamp("us", "UTC"))
        columns = {name: x[:, i] for i, name in enumerate(INPUTS.names)}
        known = pa.array([each + DELAY for each in moments.to_pylist()], moments.type)
        label = (rng.random(ROWS) < 1 / (1 + np.exp(-logit))).astype(int).astype(str)
        keys = {"id": np.arange(ROWS) + day * ROWS}
        parts.append(pa.table({**keys, **columns, "label": label, EVENT_TIME: moments, CREATED_TIME: known}))
    return pa.concat_tables(parts)


@dataclass(frozen=True, eq=False)
class Version:
    """A trained version, as its own folder has it."""

    folder: Path
    parts: dict[str, pa.Table]
    learnt_until: datetime

    def answers(self, rows: pa.Table) -> np.ndarray:
        model = load_model(self.folder)
        return answers_of(model, on_device(pack(rows, INPUTS), model.layout, device_of("cpu")))


def declared(*, refit: bool) -> ModelSpec:
    spec = model_spec()
    training = spec.training.with_changes(
        refit=refit, gap=DELAY, epochs=8, patience=3, calibrate=True, validation=0.15, weight_decay=0.01
    )
    return spec.with_changes(training=training)


def made(spec: ModelSpec, rows: pa.Table, day: int, root: Path, since: datetime | None = None) -> Version:
    """The version that is trained on a day, from the rows there are."""
    now = START + DAY * day
    labelled = labelled_examples(spec, rows, rows, now=now)
    parts = dict(divide(spec, labelled.rows).tables)
    record = TrainingSet(
        "tiny", f"{day}", now, "s", INPUTS, Kind.BINARY, labelled.classes, ("id",), (), {}, {}, {}, since
    )
    folds = plan_folds(spec, parts, champion_until=since)
    asked = Declared(spec.network, spec.training, spec.search.with_changes(trials=0), "none")
    folder = train(record, parts, asked, metric=AUC, root=root, folds=folds).folder
    until = time_span(every_row(parts) if folds else parts["train"])[1]
    assert until is not None
    return Version(folder, parts, until)


def oracle(version: Version, asked: pa.Table) -> np.ndarray:
    every, rows = pack(every_row(version.parts), INPUTS), pack(asked, INPUTS)
    model = HistGradientBoostingClassifier(max_iter=100, learning_rate=0.05, random_state=0)
    return model.fit(every.numbers, every.labels).predict_proba(rows.numbers)[:, 1]


@dataclass(frozen=True)
class Recovery:
    """Shares of the champion's gap to the oracle, and what the gates see of it."""

    refit: float
    oldest: float  # without a refit
    shown: bool
    learnt_until: datetime


def measured(change: str, seed: int, root: Path) -> Recovery:
    history, future = days_of(change, 0, AT, seed), asked_about(change, seed)
    champion = made(declared(refit=True), history.slice(0, BEFORE * ROWS), BEFORE, root)
    newest = made(declared(refit=True), history, AT, root, champion.learnt_until)
    oldest = made(declared(refit=False), history, AT, root)
    versions = {"champion": champion, "refit": newest, "oldest": oldest}
    labels = future[LABEL].to_numpy()
    scores = {name: AUC(labels, version.answers(future)) for name, version in versions.items()}
    scores["oracle"] = AUC(labels, oracle(newest, future))
    gap = scores["oracle"] - scores["champion"]
    refit, plain = ((scores[name] - scores["champion"]) / gap for name in ("refit", "oldest"))
    told = ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
    sys.stdout.write(f"{change}, seed {seed}: AUC {told}; recovered {refit:.0%}, without a refit {plain:.0%}\n")
    return Recovery(refit, plain, shown_better(newest, champion), newest.learnt_until)


def asked_about(change: str, seed: int) -> pa.Table:
    """The days after the successor's training, with their outcomes as numbers."""
    rows = days_of(change, AT, AT + ASKED, seed)
    outcomes = pa.array(rows["label"].to_numpy(zero_copy_only=False).astype(int))
    return rows.set_column(rows.column_names.index("label"), LABEL, outcomes)


def shown_better(candidate: Version, champion: Version) -> bool:
    """Whether the folds of the candidate are shown to be better than the champion on rows that it has not learnt."""
    test, found = candidate.parts["test"], load_out_of_time(candidate.folder)
    assert found is not None
    newer = np.array([each > champion.learnt_until for each in test[EVENT_TIME].to_pylist()])
    basis = Basis(Kind.BINARY, AUC, test[LABEL].to_numpy(), 0.95, blocks_of(test[EVENT_TIME].to_numpy(), None))
    return basis.taken(newer).gain(found[0][newer], champion.answers(test)[newer]).low > 0


@pytest.mark.parametrize("change", ["abrupt", "slow"])
def test_the_next_training_recovers_what_was_lost(tmp_path: Path, change: str) -> None:
    found = measured(change, 0, tmp_path)

    assert found.refit >= 0.9
    assert found.oldest < 0.6
    assert found.shown
    assert found.learnt_until >= START + DAY * AT - DELAY - timedelta(hours=1)
