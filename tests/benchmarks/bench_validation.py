"""validated_data on one partition of 1,000,000 rows against reading and writing the same Parquet alone.

Rounds are interleaved and medians compared. Goal: at most 3 times (`make bench`).
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlops_assets.declaration.data import Every
from mlops_assets.domain.names import Layer
from mlops_assets.domain.partitions import windows
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.stages.data.validated_data.partition_inputs import judge_columns, read_inputs
from mlops_assets.stages.data.validated_data.validate_partition import validate_feed
from tests.kit.specs import START, expectation, feed_spec, model_spec, source_spec, validation_spec

ROWS, ROUNDS, GOAL, DAY = 1_000_000, 5, 3.0, "2024-01-01"

EXPECTATIONS = (
    *(expectation(f"x{number}", between=(-4, 4)) for number in range(5)),
    expectation("seats", type="integer", between=(1, 900), nulls=0),
    expectation("origin", among=("EWR", "JFK", "LGA"), nulls=0),
    expectation("carrier", matches="^[A-Z0-9]{2}$"),
    expectation("tail", matches="^N[0-9]+$", nulls=0.1),
)


def rows() -> pa.Table:
    """Twelve columns as they are met: numbers, texts of few and of many values, a key, a time; a few faults."""
    draw = np.random.default_rng(0)
    numbers = {f"x{number}": draw.normal(size=ROWS) for number in range(5)}
    at = np.datetime64("2024-01-01", "us") + draw.integers(0, 86_400, ROWS).astype("timedelta64[s]")
    return pa.table(
        {
            "id": np.arange(ROWS),
            "at": pa.array(at).cast(pa.timestamp("us", tz="UTC")),
            "label": draw.integers(0, 2, ROWS),
            **numbers,
            "seats": draw.integers(1, 900, ROWS),
            "origin": draw.choice(["EWR", "JFK", "LGA"], ROWS),
            "carrier": draw.choice(["UA", "B6", "9E", "DL"], ROWS),
            "tail": draw.choice([f"N{number}" for number in range(4000)], ROWS),
        }
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(root=f"{folder}/lake")
        spec = model_spec(
            source=source_spec(feed_spec()),
            validation=validation_spec(*EXPECTATIONS),
            replay=START + timedelta(days=9),
        )
        lake.table(spec.model, Layer.RAW, "events").write(DAY, rows(), now=START)
        file = next(Path(folder).rglob("*.parquet"))
        tasks: dict[str, Callable[[], None]] = {
            "read and write alone": lambda: alone(file, Path(folder) / "copy.parquet"),
            "validated_data": lambda: whole(spec, lake),
        }
        taken: dict[str, list[float]] = {name: [] for name in tasks}
        whole(spec, lake)  # imports
        for _ in range(ROUNDS):
            for name, task in tasks.items():
                forget(lake, spec.model)
                begun = time.perf_counter()
                task()
                taken[name].append(time.perf_counter() - begun)
        report(taken)


def alone(file: Path, copy: Path) -> None:
    pq.write_table(pq.read_table(file), copy, compression="zstd", compression_level=1)


def whole(spec, lake) -> None:
    """All that the asset does with one partition."""
    inputs = read_inputs(spec, spec.source.feeds["events"], windows(Every.DAY, [DAY]), lake)
    assert judge_columns(spec, [inputs], accept=False).passed
    validated = validate_feed(inputs, START + timedelta(days=9))
    assert validated.after[DAY].rows + validated.quarantined[DAY] == ROWS
    assert validated.quarantined[DAY] > 0


def forget(lake: Lake, model: str) -> None:
    """Without the manifests of the last round everything is written again."""
    for layer in (Layer.VALIDATED, Layer.QUARANTINE):
        (Path(lake.table(model, layer, "events").path) / f"{DAY}.json").unlink(missing_ok=True)


def report(taken: dict[str, list[float]]) -> None:
    base, full = (statistics.median(times) for times in taken.values())
    for name, times in taken.items():
        print(f"{name:24} {statistics.median(times):6.2f} s  ({', '.join(f'{each:.2f}' for each in times)})")
    verdict = "ok" if full / base <= GOAL else "short"
    print(f"validation at {ROWS:,} rows: {full / base:.2f} times reading and writing, goal {GOAL:g}: {verdict}")


if __name__ == "__main__":
    main()
