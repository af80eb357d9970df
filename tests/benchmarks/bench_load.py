"""How long the code location takes to load, against an empty Dagster project. Goal: at most 1.3 times.

Empty is what `create-dagster project` makes: a definitions.py that loads a defs folder with nothing in it. Fresh
processes, bytecode warm, rounds interleaved, medians. Processor time is told too: it moves less on a busy machine.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PROJECT = Path(__file__).parents[2]
ROUNDS, GOAL = 7, 1.3
OURS, EMPTY = "mlops_assets.definitions", "empty_project.definitions"
HEAVY = ("torch", "mlflow", "feast", "evidently", "great_expectations", "bentoml", "onnx", "onnxruntime", "optuna")
HEAVY += ("pandas", "numpy", "pyarrow", "scipy", "sklearn", "matplotlib", "duckdb")
DEFINITIONS = """from pathlib import Path

import dagster as dg

defs = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
"""
TOML = '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "empty_project"\n'


def empty_project(folder: Path) -> Path:
    package = folder / "empty_project"
    (package / "defs").mkdir(parents=True)
    for place in (package, package / "defs"):
        (place / "__init__.py").touch()
    (package / "definitions.py").write_text(DEFINITIONS)
    (folder / "pyproject.toml").write_text(TOML)
    return folder


def run(command: Sequence[str], folder: Path) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PYTHONPATH": str(folder), "PYTHONWARNINGS": "ignore"}
    before, begun = processor(), time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - begun, processor() - before


def processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def compare(what: str, commands: Mapping[str, tuple[Sequence[str], Path]]) -> None:
    """`commands`: ours first, the empty one second."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for turn in range(ROUNDS + 1):
        for name, (command, folder) in commands.items():
            seconds = run(command, folder)
            if turn:  # the first writes bytecode
                found[name].append(seconds)
    (ours, ours_cpu), (empty, empty_cpu) = (
        [statistics.median(times) for times in zip(*each, strict=True)] for each in found.values()
    )
    verdict = "" if ours / empty <= GOAL else ", short"
    print(f"{what}: ours {ours:.2f} s, empty {empty:.2f} s: {ours / empty:.2f} x, goal {GOAL:g}{verdict}")
    print(f"  processor time: {ours_cpu:.2f} s, {empty_cpu:.2f} s: {ours_cpu / empty_cpu:.2f} x")


def heavy() -> list[str]:
    code = f"import sys, {OURS}; print(*[name for name in {HEAVY} if name in sys.modules])"
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=PROJECT, check=True, capture_output=True, text=True
    ).stdout.split()


def main() -> None:
    dagster = str(Path(sys.executable).parent / "dagster")
    with tempfile.TemporaryDirectory() as aside:
        folders = {OURS: PROJECT, EMPTY: empty_project(Path(aside))}
        loads = {name: ([sys.executable, "-c", f"import {name}"], folder) for name, folder in folders.items()}
        validates = {
            name: ([dagster, "definitions", "validate", "-m", name], folder) for name, folder in folders.items()
        }
        compare("code location", loads)
        compare("dagster definitions validate", validates)
    print(f"heavy modules after loading: {', '.join(heavy()) or 'none'}")


if __name__ == "__main__":
    main()
