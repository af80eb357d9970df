"""Days of models with several classes and with numbers, on a bundle of their kind, from the log to the record."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.evaluation import SliceSpec
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import Layer
from mlops_assets.domain.traffic.labelled_rows import OUTCOMES
from mlops_assets.domain.verdict import Outcome
from mlops_assets.resources.lake.daily_records import Monitoring
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.workspace import Workspace
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.stages.quality.collect import QualityCollector
from mlops_assets.stages.quality.judge import JudgedQuality
from mlops_assets.stages.quality.publish import publish_days
from tests.kit.prediction_log import live_rows
from tests.kit.specs import model_spec
from tests.serving.graphs import contract, make_bundle, number

START = datetime(2024, 1, 5, tzinfo=UTC)
MODEL, TESTED, ROWS = "tiny", 1_500, 700
METRIC = {Kind.MULTICLASS: "accuracy", Kind.REGRESSION: "r2"}


class World:
    """A bundle that is right on average, what it was tested on, and days of its answers."""

    def __init__(self, root: Path, kind: Kind) -> None:
        self.kind, self.lake = kind, Lake(root=str(root / "lake"))
        given = contract([number("x"), number("z")], kind=kind.value, model=MODEL)
        self.bundles = Bundles(root=str(root / "bundles"), cache=str(root / "cache"))
        self.digest = make_bundle(root / "bundles", given, seed=3)
        self.workspace = Workspace(folder=str(root / "work"))
        self._evaluated(root, given.training_set)

    def rows(self, seed: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Features, answers and what came of them."""
        draw = np.random.default_rng(seed)
        features = draw.normal(0, 2, (count, 2))
        told = np.asarray(self.bundles.open(self.digest).predict(features, np.empty((count, 0), object)), dtype=float)
        if self.kind is Kind.REGRESSION:
            return features, told, told + draw.normal(0, told.std() / 2, count)
        return features, told, (draw.random(count)[:, None] > told.cumsum(axis=1)[:, :-1]).sum(axis=1)

    def answer(self, day: int) -> None:
        features, told, truth = self.rows(10 + day, ROWS)
        at = START + timedelta(days=day)
        ids = [f"{day}-{place}" for place in range(ROWS)]
        struct = pa.StructArray.from_arrays([pa.array(column) for column in features.T], ["x", "z"])
        lists = pa.array(told.reshape(ROWS, -1).tolist(), pa.list_(pa.float64()))
        batch = live_rows(ids, at, bundle=self.digest, apart=timedelta(seconds=100), answer=lists)
        rows = pa.Table.from_batches([batch]).drop_columns(["entities", "features"])
        self._write("answers", day, rows.append_column("features", struct))
        said = [json.dumps("abc"[each] if self.kind is Kind.MULTICLASS else float(each)) for each in truth]
        times = [each + timedelta(minutes=30) for each in batch["time"].to_pylist()]
        self._write("outcomes", day, pa.table([ids, [0] * ROWS, times, said], schema=OUTCOMES))

    def judge(self, *days: int) -> list[JudgedQuality]:
        now = START + timedelta(days=max(days) + 2)
        collector = QualityCollector.open(
            self.spec, now, lake=self.lake, bundles=self.bundles, workspace=self.workspace
        )
        requested = [f"{START + timedelta(days=day):%F}" for day in days]
        return publish_days(collector, Monitoring(root=self.lake.root), requested)

    @property
    def spec(self) -> ModelSpec:
        spec = model_spec(slices=(SliceSpec(column="x", bins=2, minimum=50),))
        gates, target = spec.gates.with_changes(metric=METRIC[self.kind]), spec.target.with_changes(kind=self.kind)
        quality = spec.monitoring.quality.with_changes(fall=0.15)
        return spec.with_changes(gates=gates, target=target, monitoring=spec.monitoring.with_changes(quality=quality))

    def _write(self, kind: str, day: int, rows: pa.Table) -> None:
        table = self.lake.table(MODEL, Layer.PREDICTIONS, kind)
        table.write(f"{START + timedelta(days=day):%F}", rows, now=START, time_column="time")

    def _evaluated(self, root: Path, training_set: str) -> None:
        features, told, truth = self.rows(0, TESTED)
        folder = root / "lake" / MODEL / Layer.TRAINING_SETS / training_set
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"x": features[:, 0], "z": features[:, 1], "label": truth}), folder / "test.parquet")
        value = float(np.mean(told.argmax(axis=1) == truth)) if told.ndim == 2 else 1 - 0.25 / 1.25
        score = {"estimate": value, "low": value - 0.01, "high": value + 0.01, "level": 0.9, "method": "delta"}
        report = root / "lake" / MODEL / Layer.EVALUATIONS / f"{self.digest}-none-none" / "report.json"
        report.parent.mkdir(parents=True)
        report.write_text(json.dumps({"metric": METRIC[self.kind], "evidence": {"score": score}}))


@pytest.mark.parametrize("kind", list(METRIC))
def test_a_model_of_each_kind_is_judged(kind, tmp_path):
    world = World(tmp_path, kind)
    for day in range(6):
        world.answer(day)
    found = world.judge(*range(6))[-1]
    record = found.record
    assert (record.rows, record.labelled) == (ROWS, ROWS)
    assert record.fall.outcome is Outcome.PASS
    assert record.recent is not None
    assert record.recent.realised is not None
    assert record.recent.estimated is not None
    assert record.recent.estimated.value == pytest.approx(record.recent.realised.value, abs=0.05)
    assert record.recent.estimated.low < record.recent.realised.high
    assert record.trust.numbers["windows"] == 5
    assert {each.column for each in found.slices} == {"x"}
    assert found.calibration is not None
