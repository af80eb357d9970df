"""A small daily model on synthetic files: whole flows through the real stages in seconds.

The world changes at `TURN`: what a number says about the outcome is turned round. A version of before is
truly worse afterwards, so that a candidate of afterwards wins by right.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from mlops_assets.domain.names import DATA_STAGES, TRAINING_STAGES, Stage
from mlops_assets.domain.release.next_release import begin_release
from mlops_assets.lifecycle import lifecycle_of
from mlops_assets.resources.release.deployment import DecidedBy
from serving.contract.arms import Strategy
from tests.kit.declared import Bench, failed_checks, run_errors, specified

MODEL = "shop"
START = datetime(2024, 1, 1, tzinfo=UTC)
TURN = 10  # days after the start
DAYS = 20
ROWS = 150  # a day
BEFORE, AFTER = START + timedelta(days=TURN), START + timedelta(days=DAYS)

Change = Callable[[pa.Table], pa.Table]


def day_rows(number: int) -> pa.Table:
    """The rows of one day; the same each time."""
    rng = np.random.default_rng(number)
    numbers = {name: rng.normal(size=ROWS) for name in ("price", "age", "visits")}
    region, device = rng.choice(["north", "south", "west"], ROWS), rng.choice(["phone", "desk"], ROWS)
    sign = 1 if number < TURN else -1
    logit = 2.5 * sign * numbers["price"] + 0.5 * numbers["visits"] + (region == "north")
    at = START + timedelta(days=number)
    return pa.table(
        {
            "id": np.arange(ROWS) + number * ROWS,
            "at": pa.array([at + timedelta(minutes=9 * i) for i in range(ROWS)], pa.timestamp("us", "UTC")),
            **numbers,
            "region": region,
            "device": device,
            "bought": (rng.random(ROWS) < 1 / (1 + np.exp(-logit))).astype(int),
        }
    )


def write_days(folder: Path, change: Change = lambda rows: rows, days: range = range(DAYS)) -> None:
    """A Parquet file a day, as the source would deliver it."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in days:
        pq.write_table(change(day_rows(number)), folder / f"{START + timedelta(days=number):%F}.parquet")


def attributes(source: Path, /, **instead: Any) -> dict[str, Any]:
    """The declaration as it would stand in YAML; keywords replace whole parts."""
    plain: dict[str, Any] = {
        "name": MODEL,
        "owner": "team:shop",
        "purpose": "Tell who will buy.",
        "replay": BEFORE.isoformat(),
        "source": {"path": str(source), "time": "at", "key": ["id"]},
        "partitions": {"every": "day", "start": START.isoformat(), "end": AFTER.isoformat()},
        "target": {"column": "bought", "kind": "binary", "positive": 1, "known_after": "6h"},
        "validation": {"volume": [0, 100], "quarantine_at_most": 0.5},
        "features": {"columns": ["price", "age", "visits", "region", "device"]},
        "network": {"width": 16, "depth": 1, "embedding": 2, "bins": 4, "dropout": 0.0},
        "training": {
            "window": "9d",  # of the ten days before or after the turn
            "test": 0.45,  # several days: what is shown on one is not shown
            "epochs": 2,
            "learning_rate": 0.02,
            "device": "cpu",
            "batch_size": 64,
        },
        "search": {"trials": 1, "sample": 1.0, "epochs": 1},
        "slices": [{"column": "region", "minimum": 30}],
        "gates": {"baselines": ["constant"], "calibration": None, "minimum_rows": 50},
        "serving": {"precisions": ["fp32"], "latency_ms": 1000},
    }
    return plain | instead


def bench(home: Path, source: Path, /, **instead: Any) -> Bench:
    home.mkdir(parents=True, exist_ok=True)
    return Bench(specified(attributes(source, **instead)), home, dg.DagsterInstance.ephemeral(tempdir=str(home)))


def run_data_stages(made: Bench) -> Bench:
    """Bring the data stages up to date, or say why not."""
    result = made.materialize(*DATA_STAGES)
    assert result.success, (failed_checks(result), run_errors(result))
    return made


def run_training(made: Bench) -> Bench:
    """From the data there is to a registered version, or say why not."""
    result = made.materialize(*TRAINING_STAGES)
    assert result.success, (failed_checks(result), run_errors(result))
    return made


def promote_newest(made: Bench) -> Bench:
    """The newest version as the champion with all the traffic, without a trial of its Bento."""
    deployment = made.resources["deployment"]
    number = deployment.challenger(MODEL)
    version, now = deployment.version(MODEL, number), made.resources["clock"].now(made.spec)

    def plan(state):
        rollout = made.spec.rollout
        return begin_release(MODEL, rollout, state, version, strategy=Strategy.BLUE_GREEN, bento="", now=now)

    deployment.change(made.spec, plan, DecidedBy("gates", "first", {}), now)
    return made


@dataclass(frozen=True)
class Shop:
    """States of the model that tests start from, each in a folder of its own. Tests work on copies."""

    source: Path
    with_data: Path  # days up to the turn
    registered: Path  # the same, and version 1 as champion

    def copy(self, state: Path, to: Path, /, **instead: Any) -> Bench:
        """A state in the test's own folder, under a declaration that may differ."""
        home = to / "home"
        shutil.copytree(state, home)
        _move_tracking(home / "mlflow" / "mlflow.db", str(state), str(home))
        return bench(home, self.source, **instead)


def shop_of(factory: pytest.TempPathFactory) -> Shop:
    """Made once a test run, whoever comes first; the other workers wait for it."""
    base = factory.getbasetemp()
    base = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shop"
    base.mkdir(exist_ok=True)
    shop = Shop(base / "source", base / "with_data", base / "registered")
    with FileLock(base / "lock"):
        if not shop.registered.exists():
            write_days(shop.source)
            run_data_stages(bench(shop.with_data, shop.source))
            made = promote_newest(run_training(shop.copy(shop.with_data, base / "making")))
            shutil.copytree(made.home, shop.registered)
            _move_tracking(shop.registered / "mlflow" / "mlflow.db", str(made.home), str(shop.registered))
    return shop


def _move_tracking(database: Path, old: str, new: str) -> None:
    """MLflow keeps absolute paths of artefacts: let a copied home mean its own."""
    if not database.exists():
        return
    with sqlite3.connect(database) as before:
        script = "\n".join(before.iterdump()).replace(old, new)
    database.unlink()
    with sqlite3.connect(database) as after:
        after.executescript(script)


def after_the_turn(made: Bench) -> Bench:
    """Time goes on to the end, and the days that came are taken in."""
    made.resources["clock"].move(made.spec, AFTER)
    return run_data_stages(made)


def definitions_of(made: Bench) -> dg.Definitions:
    """The model on its resources."""
    return dg.Definitions.merge(lifecycle_of(made.spec), dg.Definitions(resources=made.resources))


def run_job(made: Bench, name: str, config: Mapping[str, Any]) -> dg.ExecuteInProcessResult:
    return (
        definitions_of(made)
        .resolve_job_def(name)
        .execute_in_process(run_config=dict(config), instance=made.instance, raise_on_error=False)
    )


def check_results(result: dg.ExecuteInProcessResult) -> Mapping[str, bool]:
    return {each.check_name: each.passed for each in result.get_asset_check_evaluations()}


def materialized(result: dg.ExecuteInProcessResult, stage: Stage, model: str = MODEL) -> bool:
    return bool(result.asset_materializations_for_node(f"{model}__{stage.value}"))


def few_days(
    folder: Path, change: Change = lambda rows: rows, *, days: int = 4, run: bool = True, **instead: Any
) -> Bench:
    """The model on its first days only, with rows that may differ; through the data stages if it is to run."""
    write_days(folder / "source", change, range(days))
    end = START + timedelta(days=days)
    spans = {
        "partitions": {"every": "day", "start": START.isoformat(), "end": end.isoformat()},
        "replay": end + timedelta(days=1),
    }
    made = bench(folder / "home", folder / "source", **(spans | instead))
    return run_data_stages(made) if run else made
