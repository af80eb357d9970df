"""A day of 1,000,000 answers x 20 features judged by the stage's own code, without the page: seconds and memory.

The first time (every row is counted), again (counts are kept), and a day of a tenth of the rows beside it: memory must
not grow with the day.
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
import pyarrow.parquet as pq

from mlops_assets.domain.names import EVENT_TIME, Layer
from mlops_assets.resources.lake.lake import Lake
from serving.contract.bundle import FILES, PROFILE, write_bundle
from tests.benchmarks.bench_drift import columns
from tests.kit.watching import profile_of
from tests.serving.graphs import category, contract, make_bundle, number

ROWS, TRAINED, PIECE, CATEGORIES = 1_000_000, 200_000, 50_000, 6
MODEL, LARGE, SMALL = "flight_delay", datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC)
_DAYS = 160  # of the training rows
_GROWTH = 60  # megabytes that ten times the rows may cost: one row group's buffers
_CODE = """
import json, sys, time
from datetime import UTC, datetime
from pathlib import Path
from mlops_assets.domain.partitions import windows
from mlops_assets.declaration.data import Every
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.daily_records import Monitoring
from mlops_assets.resources.lake.workspace import Workspace
from mlops_assets.stages.drift.judge import judge_drift_day
from mlops_assets.stages.drift.collect import DriftCollector
from tests.kit.specs import model_spec
import mlops_assets.stages.traffic.source_labels, pyarrow.dataset
root, day = Path(sys.argv[1]), sys.argv[2]
asked = tuple(windows(Every.DAY, [day]))
lake, bundles = Lake(root=str(root / "lake")), Bundles(root=str(root / "bundles"), cache="")
spec = model_spec(model="flight_delay", replay=None)
kept, work = Monitoring(root=lake.root), Workspace(folder=str(root / "work"))
reading = DriftCollector(spec, asked, datetime.now(UTC), lake, kept, bundles, work)
def peak():  # of this process: what getrusage tells, a child has from its parent
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
before = peak()
began, busy = time.perf_counter(), time.process_time()
seen = judge_drift_day(reading, asked[0])
seconds, busy = time.perf_counter() - began, time.process_time() - busy
print(json.dumps({"seconds": seconds, "busy": busy, "peak": peak(), "grown": peak() - before,
                  "rows": seen.report.window.rows, "why": seen.report.window.reason,
                  "drifted": seen.report.window.columns}))
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        digest = _bundle(root)
        for day, rows in ((SMALL, ROWS // 10), (LARGE, ROWS)):
            _write(root, day, rows, digest)
        small = _told("a tenth of the rows", root, SMALL)
        first = _told("first time", root, LARGE)
        _told("again", root, LARGE)
        grown = first["peak"] - small["peak"]
        print(f"ten times the rows cost {grown:.0f} MB more: {'ok' if grown <= _GROWTH else 'short'} (goal {_GROWTH})")


def _bundle(root: Path) -> str:
    train = columns(TRAINED, 0, CATEGORIES)
    words = {name: values for name, values in train.items() if values.dtype == object}
    numbers = {name: values for name, values in train.items() if name not in words}
    fields = [*map(number, numbers), *map(category, words)]
    made = make_bundle(root / "plain", contract(fields, model=MODEL))
    files = {file: (root / "plain" / made / file).read_bytes() for file in FILES}
    moments = np.repeat(np.datetime64("2023-07-01") + np.arange(_DAYS), TRAINED // _DAYS)
    files[PROFILE] = json.dumps(profile_of(numbers, words, moments=moments)).encode()
    folder = root / "lake" / MODEL / Layer.TRAINING_SETS / ("0" * 64)
    folder.mkdir(parents=True)
    times = pa.array(moments.astype("datetime64[us]"), pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({**train, EVENT_TIME: times}), folder / "train.parquet", compression="zstd")
    (root / "bundles").mkdir()
    return write_bundle(root / "bundles", files)


def _write(root: Path, day: datetime, rows: int, digest: str) -> None:
    table = Lake(root=str(root / "lake")).table(MODEL, Layer.PREDICTIONS, "answers")
    pieces = _pieces(day, rows, digest)
    first = next(pieces)
    name, inputs = f"{day:%Y-%m-%d}", {}
    rest = (piece for part in ([first], pieces) for piece in part)
    table.write_pieces(name, rest, first.schema, now=day, time_column="time", inputs=inputs)


def _pieces(day: datetime, rows: int, digest: str) -> Iterator[pa.Table]:
    for begin in range(0, rows, PIECE):
        live = columns(PIECE, begin + 1, CATEGORIES, shift=0.3)
        scores = np.random.default_rng(begin).random(PIECE)
        yield pa.table(
            {
                "request_id": [f"0a1b2c3d-{place:x}-1.0" for place in range(begin, begin + PIECE)],
                "row": pa.array(np.zeros(PIECE, dtype=np.int32)),
                "time": pa.array(
                    [day + timedelta(milliseconds=begin + p) for p in range(PIECE)], pa.timestamp("us", "UTC")
                ),
                **{
                    key: [value] * PIECE
                    for key, value in (("version", "1.0.0"), ("role", "champion"), ("bundle", digest))
                },
                "answer": pa.ListArray.from_arrays(pa.array(np.arange(PIECE + 1, dtype=np.int32)), pa.array(scores)),
                "features": pa.StructArray.from_arrays([pa.array(values) for values in live.values()], list(live)),
            }
        )


def _told(what: str, root: Path, day: datetime) -> dict:
    command = [sys.executable, "-c", _CODE, str(root), f"{day:%Y-%m-%d}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    told = json.loads(done.stdout)
    print(
        f"{what}: {told['rows']:,} rows in {told['seconds']:.2f} s ({told['busy']:.2f} of the processor), "
        f"peak {told['peak']:.0f} MB, {told['grown']:.0f} over the start; {told['why'][:60]}"
    )
    return told


if __name__ == "__main__":
    main()
