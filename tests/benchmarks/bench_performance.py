"""A day with 1,000,000 answers from the log to its judgement: seconds and memory of each stage, one process each.

Compaction is `bench_predictions`' own measurement, made again here so that the stages stand side by side.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mlops_assets.resources.lake.table import Table
from serving.log.feedback import SCHEMA
from tests.kit.prediction_log import SegmentLog, live_rows
from tests.serving.graphs import contract, make_bundle, number

ROWS, SEGMENTS, FEATURES, MODEL = 1_000_000, 40, 20, "tiny"
DAY = datetime(2024, 1, 10, tzinfo=UTC)
_TESTED = 50_000  # rows of the evaluation
_MEMORY = 3_000  # megabytes
_CODE = """
import json, resource, sys, time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from mlops_assets.domain.names import Layer
from mlops_assets.declaration.evaluation import SliceSpec
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.traffic.log_segments import LogSegments
from mlops_assets.resources.lake.daily_records import Monitoring
from mlops_assets.stages.traffic.predictions.collect import compact
from mlops_assets.resources.lake.workspace import Workspace
from mlops_assets.stages.quality.collect import QualityCollector
from mlops_assets.stages.quality.publish import publish_days
from tests.kit.specs import model_spec
root, stage, days = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
now = datetime.fromisoformat(days[-1]).replace(tzinfo=UTC) + timedelta(days=2)
spec = model_spec(slices=(SliceSpec(column="f0", bins=4, minimum=100),))
lake, bundles = Lake(root=str(root / "lake")), Bundles(root=str(root / "bundles"), cache=str(root / "cache"))
workspace = Workspace(folder=str(root / "work"))
began = time.perf_counter()
if stage == "predictions":
    for kind in ("answers", "outcomes"):
        log = LogSegments(root / kind / spec.model, root / f"{kind}.json").look()
        for day in days:
            compact(kind, day, log, lake.table(spec.model, Layer.PREDICTIONS, kind), [], now=now)
elif stage == "join":
    collector = QualityCollector.open(spec, now, lake=lake, bundles=bundles, workspace=workspace)
    for day in days:
        answers = collector.labelled.answered(day)
        collector.labelled.bring(day, answers, collector.read_label_spaces(answers.rows))
else:
    collector = QualityCollector.open(spec, now, lake=lake, bundles=bundles, workspace=workspace)
    found = publish_days(collector, Monitoring(root=lake.root), days)
    assert found[-1].record.realised is not None, found[-1].record
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": time.perf_counter() - began, "peak": peak}))
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        given = contract([number(f"f{i}") for i in range(FEATURES)])
        bundle = make_bundle(root / "bundles", given)
        _evaluated(root, bundle, given.training_set)
        _write(root, bundle)
        day = f"{DAY:%Y-%m-%d}"
        print(f"{ROWS:,} answers with {FEATURES} features, and an outcome for each an hour later")
        _told("compaction of both logs (predictions)", root, "predictions", day)
        _told("join of answers and outcomes alone", root, "join", day)
        _told("the whole stage (performance), join included", root, "performance", day)
        _days_before(root, day)
        _told("the same with two days as large before it", root, "performance", day)


def _evaluated(root: Path, bundle: str, training_set: str) -> None:
    """What the version was tested on, and its score."""
    draw = np.random.default_rng(1)
    features = {f"f{i}": draw.random(_TESTED) for i in range(FEATURES)}
    folder = root / "lake" / MODEL / "training_sets" / training_set
    folder.mkdir(parents=True)
    pq.write_table(pa.table({**features, "label": draw.integers(0, 2, _TESTED)}), folder / "test.parquet")
    score = {"estimate": 0.83, "low": 0.82, "high": 0.84, "level": 0.95, "method": "delta"}
    report = root / "lake" / MODEL / "evaluations" / f"{bundle}-none-none" / "report.json"
    report.parent.mkdir(parents=True)
    report.write_text(json.dumps({"metric": "auc", "evidence": {"score": score}}))


def _days_before(root: Path, day: str) -> None:
    """The day's labelled answers as those of the two days before it."""
    table = Table(str(root / "lake" / MODEL / "monitoring" / "labelled"))
    rows = table.read([day])
    for back in (1, 2):
        moved = rows
        for name in ("time", "known_at"):
            times = pc.subtract(rows[name], pa.scalar(timedelta(days=back), pa.duration("us")))
            moved = moved.set_column(moved.column_names.index(name), name, times)
        table.write(f"{DAY - timedelta(days=back):%Y-%m-%d}", moved, now=DAY, time_column="time")


def _write(root: Path, bundle: str) -> None:
    each = ROWS // SEGMENTS
    logs = {kind: SegmentLog(root / kind, MODEL) for kind in ("answers", "outcomes")}
    for part in range(SEGMENTS):
        batches = [_batch(part * each + begin, 500, bundle) for begin in range(0, each, 500)]
        logs["answers"].closed(*batches)
        logs["outcomes"].closed(*_outcomes(batches))


def _batch(first: int, rows: int, bundle: str) -> pa.RecordBatch:
    ids = [f"0a1b2c3d-{place:x}-1.0" for place in range(first, first + rows)]
    draw = np.random.default_rng(first)
    scores = draw.random(rows)
    start = DAY + timedelta(milliseconds=first * 80)
    features = [f"f{i}" for i in range(FEATURES)]
    lists = pa.ListArray.from_arrays(pa.array(np.arange(rows + 1, dtype=np.int32)), pa.array(scores))
    return live_rows(ids, start, bundle=bundle, features=features, apart=timedelta(milliseconds=80), answer=lists)


def _outcomes(batches: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        scores = batch["answer"].flatten().to_numpy()
        hits = np.random.default_rng(len(scores)).random(len(scores)) < scores
        said = pa.array(np.where(hits, '"yes"', '"no"'))
        later = pa.array(np.minimum(batch["time"].cast(pa.int64()).to_numpy() + 3_600_000_000, _END))
        values = [batch["request_id"], batch["row"], later.cast(batch["time"].type), said, hits.astype(float)]
        arm = pa.array(["champion"] * len(scores))
        yield pa.record_batch([pa.array(v) if isinstance(v, np.ndarray) else v for v in (*values, arm)], schema=SCHEMA)


_END = int((DAY + timedelta(hours=23, minutes=59, seconds=59)).timestamp() * 1e6)


def _told(what: str, root: Path, stage: str, *days: str) -> None:
    command = [sys.executable, "-c", _CODE, str(root), stage, *days]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    found = json.loads(done.stdout.splitlines()[-1])
    short = "" if found["peak"] <= _MEMORY else "  short"
    print(f"{what}: {found['seconds']:.1f} s, peak {found['peak']:,.0f} MB (goal {_MEMORY:,}){short}")


if __name__ == "__main__":
    main()
