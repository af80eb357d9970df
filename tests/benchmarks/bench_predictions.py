"""A day of 1,000,000 answers into the lake: seconds and memory, the first time, again, and with late rows."""

import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.kit.prediction_log import SegmentLog, live_rows

ROWS, SEGMENTS, FEATURES = 1_000_000, 40, 20
DAY = datetime(2024, 1, 1, tzinfo=UTC)
_MEMORY = 1_500  # megabytes: the identities of a day and a few pieces of it
_CODE = """
import json, resource, sys, time
from datetime import UTC, datetime
from pathlib import Path
import pyarrow as pa, pyarrow.parquet, pyarrow.compute
from mlops_assets.resources.lake.table import Table
from mlops_assets.resources.traffic.log_segments import LogSegments
from mlops_assets.stages.traffic.predictions.collect import compact
root = Path(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.perf_counter()
segments = LogSegments(root / "log" / "m", root / "notes.json").look()
made = compact("answers", "2024-01-01", segments, Table(str(root / "lake")), [], now=datetime(2024, 2, 1, tzinfo=UTC))
seconds = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"seconds": seconds, "peak": peak / 1024, "grown": (peak - before) / 1024, "rows": made.snapshot.rows,
                  "added": made.added}))
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        log = SegmentLog(root / "log", "m")
        size = _write(log)
        print(f"log: {ROWS:,} rows with {FEATURES} features, {SEGMENTS} segments, {size(root):.0f} MB")
        _told("first time", root)
        _told("again", root)
        log.closed(_batch(10**7, 1_000))
        _told("1,000 late rows", root)


def _write(log: SegmentLog):
    each = ROWS // SEGMENTS
    for number in range(SEGMENTS):
        log.closed(*(_batch(number * each + begin, 500) for begin in range(0, each, 500)))
    return lambda root: sum(path.stat().st_size for path in root.rglob("*.arrow")) / 1e6


def _batch(first: int, rows: int):
    ids = [f"0a1b2c3d-{number:x}-1.0" for number in range(first, first + rows)]
    start = DAY + timedelta(milliseconds=(first % ROWS) * 80)
    return live_rows(ids, start, features=[f"f{i}" for i in range(FEATURES)], apart=timedelta(milliseconds=1))


def _told(what: str, root: Path) -> None:
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", _CODE, str(root)], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    short = "" if told["peak"] <= _MEMORY else "  short"
    print(
        f"{what}: {told['seconds']:.1f} s ({time.perf_counter() - began:.1f} s with start-up), {told['rows']:,} rows, "
        f"{told['added']:,} new, peak {told['peak']:.0f} MB (goal {_MEMORY}), {told['grown']:.0f} over the start{short}"
    )


if __name__ == "__main__":
    main()
