"""Copies for a shadow: what it looks up, what a failing one leaves behind, and that it holds nobody up."""

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from serving.contract.arms import Role, Strategy
from serving.contract.release import write_release
from serving.contract.segments import read_batches
from serving.engine.engine import Engine
from serving.log.prediction_log import PredictionLog
from serving.models.loaded_model import LoadedModel, load_model
from serving.models.served_models import ServedModels
from serving.rows.row_shapes import NamedRows, RequestRows
from serving.telemetry.meter import Meters
from tests.serving.graphs import contract, make_bundle, number, release


class Store:
    """Brings the distance of each plane; hangs where it is told to."""

    def __init__(self) -> None:
        self.asked, self.hangs = 0, False

    async def complete(self, given: RequestRows, loaded: LoadedModel) -> tuple[RequestRows, tuple[str, ...]]:
        self.asked += 1
        if self.hangs:
            await asyncio.sleep(60)
        names = [field.name for field in loaded.contract.fields]
        return NamedRows([{**row, **dict.fromkeys(names, 1.0)} for row in given.as_rows()]), ()


@pytest.fixture
def place(tmp_path) -> Iterator[tuple[Engine, Store, Path]]:
    arms = []
    for seed, (name, role, field) in enumerate(
        (("champion", Role.CHAMPION, "distance"), ("shadow", Role.SHADOW, "weight"))
    ):
        given = contract([number(field)], entity=("tail",))
        arms.append((name, make_bundle(tmp_path / "bundles", given, seed=seed), role, 1.0))
    write_release(tmp_path / "releases" / "delay.json", release(*arms, strategy=Strategy.SHADOW))
    meters, loading = Meters(), partial(load_model, threads=1, most_rows=10)
    models = ServedModels(tmp_path / "releases", tmp_path / "bundles", meters=meters, load_bundle=loading)
    models.poll()
    log = PredictionLog(tmp_path / "predictions", "w1", buffer=10**6, segment=10**6)
    engine = Engine(
        models, worker="w1", meters=meters, log=log, draw=Random(0), queue=100, deadline=30.0, cache=0, threads=1
    )
    engine.completion.features = store = Store()
    yield engine, store, tmp_path
    log.close()


def ask(engine: Engine, rows: list[dict[str, Any]], then: Any = None) -> None:
    async def talk() -> None:
        engine.attach(asyncio.get_running_loop())
        for row in rows:
            await engine.infer("delay", [row])
        for _ in range(50):
            await asyncio.sleep(0.01)  # the shadow's thread asks this loop
        if then:
            then()
        engine.close()

    asyncio.run(talk())


def logged(engine: Engine, folder: Path) -> list[dict[str, Any]]:
    assert engine._finishing._log is not None
    engine._finishing._log.close()
    found = (folder / "predictions").rglob("*.arrow")
    return [row for path in found for batch in read_batches(path) for row in batch.to_pylist()]


def test_a_shadow_looks_up_features_of_its_own(place):
    engine, store, folder = place
    ask(engine, [{"tail": "N1"}, {"tail": "N2"}])
    rows = [row for row in logged(engine, folder) if row["arm"] == "shadow"]
    assert [row["features"] for row in rows] == [{"weight": 1.0}] * 2
    assert store.asked == 4


def test_a_copy_that_fails_leaves_a_row_without_an_answer(place):
    engine, _, folder = place
    engine.completion.features = None
    ask(engine, [{"tail": "N1", "distance": 2.0}])
    (row,) = [row for row in logged(engine, folder) if row["request_id"].endswith(".1")]
    assert row["answer"] is None
    assert row["arm"] == "default"
    assert row["why"].startswith("shadow: InvalidInput")


def test_closing_does_not_wait_for_a_shadow_lookup(place):
    engine, store, folder = place
    store.hangs = True

    async def talk() -> float:
        engine.attach(asyncio.get_running_loop())
        await engine.infer("delay", [{"tail": "N3", "distance": 1.0}])
        await asyncio.sleep(0.2)
        began = time.perf_counter()
        engine.close()
        return time.perf_counter() - began

    assert asyncio.run(talk()) < 2
    assert [row["arm"] for row in logged(engine, folder)] == ["champion"]
    assert store.asked == 1
