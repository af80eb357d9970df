"""What `dg` itself reports about wrong YAML: the file, the line, the value, and what would be right."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DG = Path(sys.executable).parent / "dg"
PROJECT = """
[project]
name = "wrong-models"
version = "1"
[tool.dg]
directory_type = "project"
[tool.dg.project]
root_module = "wrong_models"
registry_modules = ["mlops_assets"]
"""
DEFINITIONS = """
from pathlib import Path
import dagster as dg
from mlops_assets.defs.resources import resources

@dg.definitions
def defs():
    here = Path(__file__).parent
    loaded = dg.load_from_defs_folder(path_within_project=here)
    return dg.Definitions.merge(loaded, dg.Definitions(resources=resources({"MLOPS_HOME": str(here)})))
"""
SOUND = """
type: mlops_assets.ModelLifecycle
attributes:
  name: sound
  owner: team:t
  purpose: A test.
  source: {path: "{{ env.DATA }}/rows.csv", time: t}
  partitions: {every: day, start: 2024-01-01}
  target: {column: y, kind: binary, positive: "yes"}
  training: {epochs: "{{ env.EPOCHS }}", gap: null}
"""
WRONG = """
type: mlops_assets.ModelLifecycle
attributes:
  name: Wrong Name
  owner: team:t
  purpose: A test.
  replay: tomorrow
  source: {path: rows.csv, time: t}
  target:
    column: y
    kind: binry
  training:
    epoch: 3
    epochs: 0
    window: 1 day
    seed: many
    compile: [1]
    elephant: 1
  gates:
    anchor: latest
  retraining:
    causes: [person]
"""
CONTRADICTORY = """
type: mlops_assets.ModelLifecycle
attributes:
  name: contradictory
  owner: team:t
  purpose: A test.
  source: {path: rows.csv, time: t}
  target: {column: y, kind: multiclass, positive: 1}
  gates:
    metric: r2
  rollout:
    steps: [0.5, 1.0]
  monitoring:
    drift: {needed: 5}
"""


def run_dg(folder: Path, declaration: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    package = folder / "wrong_models"
    (package / "defs" / "m").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PROJECT)
    for place in (package, package / "defs"):
        (place / "__init__.py").touch()
    (package / "definitions.py").write_text(DEFINITIONS)
    (package / "defs" / "m" / "defs.yaml").write_text(declaration)
    paths = os.pathsep.join(map(str, (folder, Path.cwd())))
    environment = {**os.environ, "PYTHONPATH": paths, "DATA": "/data", "EPOCHS": "3", "DAGSTER_HOME": ""}
    return subprocess.run([DG, *arguments], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> str:
    result = run_dg(tmp_path_factory.mktemp("wrong"), WRONG, "check", "yaml")
    assert result.returncode == 1, result.stdout + result.stderr
    return result.stdout


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("name", "'Wrong Name' is not one of ['a name of lower-case letters"),
        ("replay", "'tomorrow' is not one of ['a date or a time in ISO form, such as 2024-01-31"),
        ("target.kind", "'binry' is not one of ['binary', 'multiclass', 'regression']"),
        ("training.epoch", "'the field name epochs' was expected"),
        ("training.elephant", "'one of the field names window, validation, test"),
        ("training.epochs", "0 is less than the minimum of 1"),
        ("training.window", "'1 day' is not one of ['a number and a unit (s, m, h, d or w), such as 36h or 14d']"),
        ("training.seed", "'many' is not of type 'integer'"),
        ("training.compile", "[1] is not of type 'boolean', 'string'"),
        ("gates.anchor", "'latest' is not one of ['first or a version number']"),
        ("retraining.causes.0", "'person' is not one of ['quality', 'drift', 'data_volume', 'staleness', 'schedule']"),
    ],
)
def test_a_wrong_field_is_reported_at_its_line(wrong: str, field: str, message: str) -> None:
    last = field.removesuffix(".0").rpartition(".")[2]
    line = next(n for n, text in enumerate(WRONG.splitlines(), 1) if text.strip().startswith(f"{last}:"))
    report = next(text for text in wrong.splitlines() if f"attributes.{field} " in text.replace("[0]", ".0"))
    assert f"defs.yaml:{line} - " in report
    assert message in report


def test_each_mistake_is_reported_once(wrong: str) -> None:
    assert len(re.findall(r"defs\.yaml:\d+ - ", wrong)) == 11


def test_templates_may_be_any_value(tmp_path: Path) -> None:
    result = run_dg(tmp_path, SOUND, "check", "defs")
    assert result.returncode == 0, result.stdout + result.stderr


def test_contradictions_are_reported_at_their_lines(tmp_path: Path) -> None:
    result = run_dg(tmp_path, CONTRADICTORY, "check", "defs")
    output = result.stdout + result.stderr
    assert result.returncode == 1
    assert "The declaration of contradictory has 3 problem(s):" in output
    assert "defs.yaml:8 - target.positive: '1' means nothing for multiclass" in output
    assert "defs.yaml:10 - gates.metric: 'r2' does not fit multiclass; use one of accuracy" in output
    assert "defs.yaml:14 - monitoring.drift.needed: 5 cannot be more than of_last 3" in output


def test_a_new_model_is_scaffolded_and_valid(tmp_path: Path) -> None:
    result = run_dg(tmp_path, SOUND, "scaffold", "defs", "mlops_assets.ModelLifecycle", "new_one")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "name: new_one" in (tmp_path / "wrong_models" / "defs" / "new_one" / "defs.yaml").read_text()


def test_the_component_shows_its_fields(tmp_path: Path) -> None:
    result = run_dg(tmp_path, SOUND, "utils", "inspect-component", "mlops_assets.ModelLifecycle")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "How long after the event the outcome is known" in result.stdout


def test_the_component_is_listed(tmp_path: Path) -> None:
    assert "mlops_assets.ModelLifecycle" in run_dg(tmp_path, SOUND, "list", "components").stdout
