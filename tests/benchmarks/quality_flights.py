"""How good the example is: trained on January to August 2013, tested month by month on the rest of the year.

    python tests/benchmarks/quality_flights.py [folder to keep the data in]

AUC of the network as declared and of the baselines on the same features; then without the point-in-time features of
the airport and of the carrier there. Not run by `make bench`: it takes some minutes.
"""

import dataclasses
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from sklearn.metrics import roc_auc_score

from mlops_assets.declaration.data import Every
from mlops_assets.domain.evaluation.metrics import metric_named
from mlops_assets.domain.names import EVENT_TIME, LABEL
from mlops_assets.domain.partitions import windows
from mlops_assets.domain.records import Inputs, TrainingSet
from mlops_assets.domain.training_set.training_rows import Parts
from mlops_assets.stages.training_set.join import join
from mlops_assets.training.fits.task import Declared
from mlops_assets.training.loop import answers_of
from mlops_assets.training.rows import on_device, pack_parts
from mlops_assets.training.store import load_baselines, load_model
from mlops_assets.training.train import train
from tests.benchmarks.plain_flow import DECLARATION, Flow, days
from tests.kit.declared import declaration

TESTED_FROM = datetime(2013, 9, 1, tzinfo=UTC)
END = datetime(2014, 1, 3, tzinfo=UTC)  # every outcome of 2013 is known
AIRPORT = ("airport_", "carrier_")  # prefixes of the point-in-time delays
GAIN, SHORTFALL = 0.02, 0.01


def opened(home: str) -> Flow:
    """The data of the year, from raw rows to features."""
    spec = dataclasses.replace(declaration(DECLARATION), replay=END)
    flow = Flow(spec, home)
    asked = windows(Every.DAY, days("2013-01-01", "2013-12-30"))  # where the weather ends
    flow.raw_data(asked)
    flow.validated_data(asked)
    flow.features(asked)
    return flow


def training_set(flow: Flow) -> tuple[TrainingSet, dict[str, pa.Table]]:
    """Train and validation from before the first tested day less the gap, test from it on."""
    joined = join(flow.spec, flow.lake, flow.at["features"], flow.now)
    rows = joined.rows.sort_by(EVENT_TIME)
    time = pc.field(EVENT_TIME)
    before = rows.filter(time < pa.scalar(TESTED_FROM - flow.spec.training.gap))
    cut = int(len(before) * (1 - flow.spec.training.validation))
    tables = {
        "train": before.slice(0, cut),
        "validation": before.slice(cut),
        "test": rows.filter(time >= pa.scalar(TESTED_FROM)),
    }
    ends = {name: tuple(pc.min_max(part[EVENT_TIME]).as_py().values()) for name, part in tables.items()}
    return joined.record(flow.spec, Parts(tables, ends, {})), tables


def answers(flow: Flow, record: TrainingSet, tables: Mapping[str, pa.Table], root: Path) -> dict[str, np.ndarray]:
    """Name → probabilities on the test rows, of the network and of every baseline."""
    spec = flow.spec
    declared = Declared(spec.network, spec.training, spec.search, spec.target.transform)
    metric = metric_named(spec.gates.metric, spec.target.kind)
    folder = train(record, tables, declared, metric=metric, root=root).folder
    model = load_model(folder)
    test = on_device(pack_parts(record, tables, "none")["test"], model.layout, torch.device("cpu"))
    return {"network": answers_of(model, test), **load_baselines(folder)}


def by_month(tables: Mapping[str, pa.Table], found: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Name → month → AUC; the last entry is over all tested rows."""
    labels = tables["test"][LABEL].to_numpy()
    months = pc.strftime(tables["test"][EVENT_TIME], "%Y-%m").to_numpy(zero_copy_only=False)
    places = {month: months == month for month in np.unique(months) if (months == month).sum() > 1000}
    places["all"] = np.ones(len(labels), bool)
    return {
        name: {place: float(roc_auc_score(labels[rows], scores[rows])) for place, rows in places.items()}
        for name, scores in found.items()
    }


def told(title: str, scores: Mapping[str, Mapping[str, float]]) -> None:
    head = list(next(iter(scores.values())))
    print(f"\n{title}\n| AUC | {' | '.join(head)} |\n|---|{'---|' * len(head)}")
    for name, row in scores.items():
        print(f"| {name} | {' | '.join(f'{value:.3f}' for value in row.values())} |", flush=True)


def without(record: TrainingSet, prefixes: tuple[str, ...]) -> TrainingSet:
    numbers = tuple(name for name in record.inputs.numbers if not name.startswith(prefixes))
    return dataclasses.replace(
        record, inputs=Inputs(numbers, record.inputs.categories), digest=f"{record.digest}{len(numbers)}"
    )


def main(home: str) -> None:
    flow = opened(home)
    record, tables = training_set(flow)
    print(f"rows: {record.rows}; inputs: {', '.join(record.inputs.names)}")
    root = Path(home) / "quality"
    whole = by_month(tables, answers(flow, record, tables, root))
    told("all features", whole)
    bare = by_month(tables, answers(flow, without(record, AIRPORT), tables, root))
    told("without what happened at the airport in the last hours", bare)
    below = whole["gradient_boosting"]["all"] - whole["network"]["all"]
    gain = whole["network"]["all"] - bare["network"]["all"]
    short = "" if below <= SHORTFALL else ", short"
    print(f"\nbelow gradient boosting: {below:.3f}, goal at most {SHORTFALL}{short}")
    print(f"gain by the airport's last hours: {gain:.3f}, goal at least {GAIN}{'' if gain >= GAIN else ', short'}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(folder)
