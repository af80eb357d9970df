"""The whole lifecycle of flight_delay by Dagster's command line against a plain script. Goal: at most 1.25 times.

    dagster asset materialize -m mlops_assets.definitions \\
        --select '+key:"flight_delay/features"' --partition-range 2013-01-01...2013-09-30
    dagster asset materialize -m mlops_assets.definitions \\
        --select 'key:"flight_delay/training_set"+ and +key:"flight_delay/registered_version"'

Two commands, since Dagster does not mix partitioned and unpartitioned assets in one. The script (`plain_flow.py`) does
the same work with the same functions. Each starts from nothing, rounds are interleaved, the order swaps. Wall time is
what counts; processor time is told too, for it moves less on a busy machine. `bench_whole.py 3`: three rounds, not 2.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.bench_load import processor

PROJECT = Path(__file__).parents[2]
FIRST, LAST = "2013-01-01", "2013-09-30"
DATA = '+key:"flight_delay/features"'
TRAINING = 'key:"flight_delay/training_set"+ and +key:"flight_delay/registered_version"'
ROUNDS, GOAL = 2, 1.25
PLAIN, DAGSTER = "plain script", "dagster asset materialize"


def by_dagster(home: Path) -> None:
    """Data stages over the range, then the training stages."""
    instance = home / "dagster"
    instance.mkdir()
    (instance / "dagster.yaml").symlink_to(PROJECT / "dagster.yaml")
    materialize = [
        str(Path(sys.executable).parent / "dagster"),
        "asset",
        "materialize",
        "-m",
        "mlops_assets.definitions",
    ]
    _run([*materialize, "--select", DATA, "--partition-range", f"{FIRST}...{LAST}"], home)
    _run([*materialize, "--select", TRAINING], home)


def by_script(home: Path) -> None:
    _run([sys.executable, str(Path(__file__).with_name("plain_flow.py")), str(home), FIRST, LAST], home)


def _run(command: list[str], home: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PYTHONPATH": str(PROJECT), "PYTHONWARNINGS": "ignore"}
    environment |= {"MLOPS_HOME": str(home), "DAGSTER_HOME": str(home / "dagster")}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        )


def measured(flow: Callable[[Path], None]) -> tuple[float, float]:
    """Seconds by the clock and of the processor, from an empty home."""
    with tempfile.TemporaryDirectory() as home:
        before, begun = processor(), time.perf_counter()
        flow(Path(home))
        return time.perf_counter() - begun, processor() - before


def main(rounds: int) -> None:
    flows = {PLAIN: by_script, DAGSTER: by_dagster}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in flows}
    for turn in range(rounds):
        for name in sorted(flows, reverse=bool(turn % 2)):
            found[name].append(measured(flows[name]))
            print(f"  {name}: {found[name][-1][0]:.1f} s, processor {found[name][-1][1]:.1f} s", flush=True)
    (plain, plain_cpu), (dagster, dagster_cpu) = (
        [statistics.median(times) for times in zip(*found[name], strict=True)] for name in (PLAIN, DAGSTER)
    )
    verdict = "" if dagster / plain <= GOAL else ", short"
    print(f"whole lifecycle, {FIRST} to {LAST}: {dagster / plain:.2f} x a plain script, goal {GOAL:g}{verdict}")
    print(f"  processor time: {dagster_cpu / plain_cpu:.2f} x")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
