"""Point-in-time join through Feast against engines doing the same join by hand: time, memory, growth.

Ratios are of one run, medians of three interleaved rounds; seconds are told, not demanded.
`python bench_asof.py <case> <rows> <folder>` runs one case alone, for its peak memory.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import duckdb
import feast
import numpy as np
import pandas as pd
import polars as pl
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.repo_config import RepoConfig
from feast.types import Float64

ROWS, FEATURES, KEYS, MANY = 1_000_000, 12, 10_000, 10_000_000
NAMES = [f"f{place}" for place in range(FEATURES)]
TTL = timedelta(days=30)
SPEED_GOAL, MEMORY_GOAL, GROWTH_GOAL = 1.5, 2.0, 12.0


def moments(rng: np.random.Generator, rows: int) -> pa.Array:
    year = 365 * 86_400 * 1_000_000
    return pa.array(1_700_000_000_000_000 + rng.integers(0, year, rows), pa.timestamp("us", "UTC"))


def entity_rows(rows: int) -> pa.Table:
    rng = np.random.default_rng(1)
    return pa.table({"k": rng.integers(0, KEYS, rows), "event_timestamp": moments(rng, rows)})


def view_rows() -> pa.Table:
    rng = np.random.default_rng(2)
    columns = {name: rng.normal(size=ROWS) for name in NAMES}
    return pa.table({"k": rng.integers(0, KEYS, ROWS), "event_timestamp": moments(rng, ROWS), **columns})


def opened(folder: Path) -> feast.FeatureStore:
    return feast.FeatureStore(
        config=RepoConfig(
            project="bench",
            provider="local",
            registry=str(folder / "registry.db"),
            offline_store={
                "type": "mlops_assets.resources.features.asof_store.AsOfOfflineStore",
                "lake": str(folder),
            },
            online_store={"type": "sqlite", "path": str(folder / "online.db")},
            entity_key_serialization_version=3,
        )
    )


def prepare(folder: Path) -> None:
    pq.write_table(view_rows(), folder / "view.parquet", row_group_size=ROWS // 10)
    key = Entity(name="k", value_type=ValueType.INT64)
    source = FileSource(name="view", path=str(folder / "view.parquet"), timestamp_field="event_timestamp")
    schema = [Field(name=name, dtype=Float64) for name in NAMES]
    opened(folder).apply([key, FeatureView(name="view", entities=[key], ttl=TTL, schema=schema, source=source)])


def through_feast(folder: Path, entities: pa.Table) -> pa.Table:
    return job(folder, entities).to_arrow()


def job(folder: Path, entities: pa.Table) -> RetrievalJob:
    return opened(folder).get_historical_features(entities, [f"view:{name}" for name in NAMES])


def by_polars(folder: Path, entities: pa.Table) -> pa.Table:
    left = pl.DataFrame(pl.from_arrow(entities)).with_row_index("row").sort("event_timestamp")
    right = pl.DataFrame(pl.from_arrow(pq.read_table(folder / "view.parquet"))).sort("event_timestamp")
    joined = left.join_asof(
        right, on="event_timestamp", by="k", strategy="backward", tolerance=TTL, check_sortedness=False
    )
    return joined.sort("row").drop("row").to_arrow()


def by_duckdb(folder: Path, entities: pa.Table) -> pa.Table:
    bare = entities.set_column(1, "t", entities["event_timestamp"].cast(pa.timestamp("us")))
    bare = bare.append_column("row", pa.array(np.arange(len(bare))))
    with duckdb.connect() as engine:
        engine.execute("create table entities as select * from bare")
        engine.execute(
            f"create table view as select event_timestamp::timestamp as v, * exclude (event_timestamp) "
            f"from '{folder}/view.parquet'"
        )
        fresh = ", ".join(f"case when v >= t - interval 30 day then {name} end as {name}" for name in NAMES)
        query = f"select e.k, t, {fresh} from entities e asof left join view w on e.k = w.k and t >= v order by row"
        return engine.execute(query).to_arrow_table()


def by_pandas(folder: Path, entities: pa.Table) -> pd.DataFrame:
    left = entities.to_pandas().reset_index().sort_values("event_timestamp")
    right = pd.read_parquet(folder / "view.parquet").sort_values("event_timestamp")
    limit = pd.Timedelta(TTL)
    assert isinstance(limit, pd.Timedelta)
    joined = pd.merge_asof(left, right, on="event_timestamp", by="k", tolerance=limit)
    return joined.sort_values("index")


CASES: dict[str, Callable[[Path, pa.Table], object]] = {
    "through Feast": through_feast,
    "polars join_asof": by_polars,
    "DuckDB ASOF": by_duckdb,
    "pandas merge_asof": by_pandas,
}


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def speed(folder: Path) -> None:
    entities = entity_rows(ROWS)
    ours, theirs = through_feast(folder, entities), by_polars(folder, entities)
    assert all(ours[name].combine_chunks().equals(theirs[name].combine_chunks()) for name in NAMES)
    found: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(3):
        for name, case in CASES.items():
            found[name].append(seconds(lambda case=case: case(folder, entities)))
    took = {name: statistics.median(times) for name, times in found.items()}
    for name, median in took.items():
        print(f"{name:<20}{median:8.2f} s")
    best = min(median for name, median in took.items() if name != "through Feast")
    told("through Feast / best engine by hand", took["through Feast"] / best, SPEED_GOAL)


def growth(folder: Path) -> None:
    few, many = entity_rows(ROWS), entity_rows(MANY)
    base = statistics.median(seconds(lambda: through_feast(folder, few)) for _ in range(5))
    storage = SavedDatasetFileStorage(path=str(folder / "out.parquet"))
    joined = seconds(lambda: through_feast(folder, many))
    written = seconds(lambda: job(folder, many).persist(storage))
    print(f"1e7 entity rows: joined {joined:.1f} s, joined and written part by part {written:.1f} s")
    told("1e7 / 1e6 entity rows", joined / base, GROWTH_GOAL)


def memory(folder: Path) -> None:
    """Peak of a process of its own; what it had before the join does not count."""
    for case, rows in (("joined", ROWS), ("joined", MANY), ("written", MANY)):
        line = subprocess.run(
            [sys.executable, __file__, case, str(rows), str(folder)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()[-1]
        used, result = (float(value) for value in line.split())
        what = f"{rows:.0e} rows {case}: growth of the process / result of {result / 2**20:.0f} MB"
        told(what, used / result, MEMORY_GOAL)


def alone(case: str, rows: int, folder: Path) -> None:
    entities = entity_rows(rows)
    opened(folder).list_feature_views()
    before = psutil.Process().memory_info().rss
    if case == "joined":
        through_feast(folder, entities)
    else:
        job(folder, entities).persist(SavedDatasetFileStorage(path=str(folder / "alone.parquet")), True)
    print(_peak() - before, rows * (FEATURES + 2) * 8)


def _peak() -> int:
    """Of this process only: what `getrusage` tells goes back to before it was started."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    return int(line.split()[1]) * 1024


def told(what: str, ratio: float, goal: float) -> None:
    print(f"{what}: {ratio:.2f} (goal: at most {goal}){'' if ratio <= goal else '  short'}")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        speed(Path(folder))
        memory(Path(folder))
        growth(Path(folder))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        alone(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
