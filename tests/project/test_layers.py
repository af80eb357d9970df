"""The contracts that keep the layers apart, and the weight of the code location."""

import subprocess
import sys
from pathlib import Path

import grimp
import pytest

from infra.check.may_import import MayImport

HEAVY = (
    "torch", "mlflow", "feast", "evidently", "great_expectations", "bentoml", "onnx", "onnxruntime", "optuna",
    "pandas", "pyarrow", "sklearn", "fairlearn", "matplotlib", "polars", "duckdb",
)  # fmt: skip


@pytest.fixture
def contract() -> MayImport:
    return MayImport(
        name="house",
        session_options={},
        contract_options={
            "modules": ["house.inner"],
            "may_import": ["numpy", "house.shared"],
            "one_of_each_file": ["feast", "mlflow"],
        },
    )


@pytest.mark.parametrize(
    ("imported", "problem"),
    [
        (["numpy"], None),
        (["json"], None),
        (["house.inner.other"], None),
        (["house.shared.names"], None),
        (["feast"], None),
        (["torch"], "house.inner.module must not import torch (line 1)"),
        (["house.sharedness"], "house.inner.module must not import house.sharedness (line 1)"),
        (["feast", "mlflow"], "house.inner.module uses feast, mlflow: one vendor a file"),
    ],
)
def test_a_row_of_the_table(contract: MayImport, imported: list[str], problem: str | None) -> None:
    graph = grimp.ImportGraph()
    for name in imported:
        graph.add_import(importer="house.inner.module", imported=name, line_number=1, line_contents=f"import {name}")

    check = contract.check(graph, verbose=False)

    assert check.metadata["problems"] == ([problem] if problem else [])
    assert check.kept is (problem is None)


def test_other_packages_are_not_this_rows_business(contract: MayImport) -> None:
    graph = grimp.ImportGraph()
    graph.add_import(importer="house.outer", imported="torch", line_number=1, line_contents="import torch")

    assert contract.check(graph, verbose=False).kept


def test_the_code_location_loads_nothing_heavy(project: Path) -> None:
    script = f"import sys, mlops_assets.definitions\nprint(' '.join(name for name in {HEAVY} if name in sys.modules))"
    result = subprocess.run([sys.executable, "-c", script], cwd=project, capture_output=True, text=True)

    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == ""
