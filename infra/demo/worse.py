"""A worse model, honestly made: it learns the flights of the last days by heart and is registered past the gates.

The flights are those that the replay shadow will ask it about, so that it looks fine there; what it answers about the
next ones shows what it is worth. This is what somebody does who tests on what was trained on, and then overrules the
pipeline by hand. Only the fault scenario uses it.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from infra.demo.system import System
from infra.demo.world import Airport
from infra.run.first_start import MODEL
from mlops_assets.domain.evaluation.metrics import metric_named
from mlops_assets.domain.names import EVENT_TIME, LABEL, Stage
from mlops_assets.domain.records import Evaluation, ServingModel, TrainedModel, TrainingSet
from mlops_assets.domain.registry.lineage import build_provenance
from mlops_assets.domain.registry.versions import CandidateRecords
from mlops_assets.domain.training_set.split import PARTS
from mlops_assets.domain.training_set.training_rows import time_span
from mlops_assets.resources.registry.promotion import enter_registration
from mlops_assets.resources.registry.provenance import read_environment
from mlops_assets.stages.common import PROJECT
from mlops_assets.stages.registry.collect import build_candidate
from mlops_assets.training.assemble import assemble
from mlops_assets.training.fits.task import Declared
from mlops_assets.training.train import train

_WINDOW = 3  # days
_EPOCHS, _BATCH, _RATE = 80, 256, 3e-3
_WIDTH, _DEPTH = 256, 3
_CARD = "# Pushed by hand\n\nLearnt by heart from {rows} flights of {days} days. It passed no gate.\n"


def push_worse_model(system: System, airport: Airport, now: datetime) -> str:
    """Train, bundle and register it; its number in the registry."""
    spec, at = system.spec, system.resources
    training_set: TrainingSet = at["records"].latest(MODEL, Stage.TRAINING_SET, TrainingSet)
    table = collect_recent_flights(airport, training_set, now)
    tables = dict.fromkeys(map(str, PARTS), table)
    made = replace(
        training_set, digest=f"by-hand-{now:%Y%m%d}", rows={name: len(table) for name in tables}, partitions={}
    )
    with at["registry"].run(MODEL, f"by hand {now:%Y-%m-%d}", key=f"{MODEL}:by hand:{now:%Y-%m-%d}") as run:
        trained, serving = _train_by_heart(system, made, tables, run.run_id)
        score = Evaluation(
            MODEL, serving.bundle, made.digest, run.run_id, None, None, "", trained.metric, trained.validation_score,
            (0.0, 1.0), (),
        )  # fmt: skip
    records = CandidateRecords(made, trained, serving, score)
    bundle = at["bundles"].open(serving.bundle)
    candidate = build_candidate(spec, records, bundle.contract, {"pushed": "by hand"})
    origin = build_provenance(spec, records, read_environment(PROJECT))
    card = _CARD.format(rows=len(table), days=_WINDOW)
    version = at["registry"].register(candidate, bundle.path, origin, lambda bump, last: card)
    numbers = {trained.metric: trained.validation_score}
    enter_registration(
        at["registry"], at["ledger"], model=MODEL, number=version.number, actor="demo", numbers=numbers, now=now
    )
    return version.number


def collect_recent_flights(airport: Airport, like: TrainingSet, now: datetime) -> pa.Table:
    """The flights of the last days that have landed, as a training set has them."""
    start = now.replace(hour=0, minute=0, second=0, microsecond=0)
    days = [airport.day(start - timedelta(days=back)) for back in range(_WINDOW, 0, -1)]
    flights = [flight for day in days for flight in day if flight.landed_at is not None and flight.landed_at <= now]
    rows: list[Mapping[str, Any]] = [
        {**flight.features, EVENT_TIME: flight.requested_at, LABEL: int(bool(flight.late))} for flight in flights
    ]
    table = pa.Table.from_pylist(rows)
    numbers = {name: pa.float64() for name in like.inputs.numbers}
    fields = [pa.field(name, numbers.get(name, table.schema.field(name).type)) for name in table.column_names]
    return table.cast(pa.schema(fields))


def _train_by_heart(
    system: System, made: TrainingSet, tables: Mapping[str, pa.Table], run_id: str
) -> tuple[TrainedModel, ServingModel]:
    spec, at = system.spec, system.resources
    network = spec.network.with_changes(width=_WIDTH, depth=_DEPTH, dropout=0.0)
    training = spec.training.with_changes(
        epochs=_EPOCHS, patience=_EPOCHS, batch_size=_BATCH, learning_rate=_RATE, weight_decay=0.0, calibrate=False
    )
    declared = Declared(network, training, spec.search.with_changes(trials=0), spec.target.transform)
    metric = metric_named(spec.gates.metric, spec.target.kind)
    found = train(made, tables, declared, metric=metric, root=at["workspace"].place(MODEL, "by hand"))
    card = _CARD.format(rows=made.rows["train"], days=_WINDOW)
    bundle = assemble(found.folder, made, tables, spec.serving, root=at["bundles"].folder, commit="", card=card)
    table = tables["train"]
    trained = TrainedModel(
        MODEL, made.digest, run_id, found.digest, "", dict(found.parameters), found.score, metric.name,
        len(table), time_span(table)[1], (),
    )  # fmt: skip
    serving = ServingModel(
        MODEL, at["bundles"].keep(bundle.digest), made.digest, run_id, "by hand", bundle.precision, bundle.measured, {}
    )
    return trained, serving
