"""The house itself: the top level, what the locks hold, which licences come in, what `make` says."""

import re
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-serving.lock")
TOP_LEVEL = {
    "pyproject.toml",
    "README.md",
    "mlops_assets",
    "feature_repo",
    "serving",
    "workspace.yaml",
    "dagster.yaml",
    "tests",
    "infra",
    "Makefile",
    "LICENSE",
    *LOCKS,
}
# Weak copyleft that leaves the project's own code alone: the driver of PostgreSQL is LGPL with exceptions.
LICENCE_EXCEPTIONS = {"psycopg2-binary"}


def pins(project: Path, lock: str) -> dict[str, str]:
    """Package → version."""
    lines = [line.split(";")[0].strip() for line in (project / lock).read_text().splitlines()]
    return {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in lines if line}


def declared(project: Path) -> dict[str, list[str]]:
    """Lock → the requirements it answers."""
    document = tomllib.loads((project / "pyproject.toml").read_text())
    base, groups = document["project"]["dependencies"], document["dependency-groups"]
    return dict(zip(LOCKS, (base, base + groups["dev"], groups["serving"]), strict=True))


def test_top_level_is_as_agreed(project: Path) -> None:
    if not (project / ".git").exists():
        pytest.skip("not a git checkout")
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    top = {line.split("/")[0] for line in listing.splitlines()}

    assert {name for name in top if not name.startswith(".")} == TOP_LEVEL


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_is_a_list_of_versions_and_nothing_else(project: Path, lock: str) -> None:
    pattern = re.compile(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==[0-9][A-Za-z0-9.]*( ; .+)?")

    assert [line for line in (project / lock).read_text().splitlines() if not pattern.fullmatch(line)] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_answers_what_is_declared(project: Path, lock: str) -> None:
    held = pins(project, lock)
    wanted = [Requirement(line) for line in declared(project)[lock]]

    assert [r for r in wanted if not r.specifier.contains(held.get(canonicalize_name(r.name), "0"))] == []


def test_locks_agree_with_each_other(project: Path) -> None:
    base = pins(project, "requirements.lock")
    for lock in LOCKS[1:]:
        other = pins(project, lock)
        assert {
            name: (version, other[name]) for name, version in base.items() if other.get(name, version) != version
        } == {}
    assert base.keys() <= pins(project, "requirements-dev.lock").keys()


def test_the_endpoints_image_has_no_pipeline_in_it(project: Path) -> None:
    held = pins(project, "requirements-serving.lock")

    assert [
        n for n in held if n.startswith(("torch", "dagster", "mlflow", "evidently", "great-expectations", "nvidia-cu"))
    ] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_one_onnxruntime_and_no_cuda_libraries_are_locked(project: Path, lock: str) -> None:
    held = pins(project, lock)

    assert "onnxruntime-gpu" in held
    assert "onnxruntime" not in held
    assert [n for n in held if n.startswith("nvidia-") and n != "nvidia-ml-py"] == []


def test_licences_allow_commercial_use(project: Path) -> None:
    held = pins(project, "requirements-dev.lock")
    copyleft = re.compile(r"\bA?L?GPL|Affero|General Public|SSPL|Server Side Public|Business Source|Commons Clause")
    found = {}
    for distribution in metadata.distributions():
        name = canonicalize_name(distribution.name)
        if name in held and name not in LICENCE_EXCEPTIONS and (match := copyleft.search(_licence(distribution))):
            found[name] = match.group()

    assert found == {}


def _licence(distribution: metadata.Distribution) -> str:
    """What a package says of itself; of a licence given in full, the beginning names it."""
    facts = distribution.metadata
    said = [*facts.get_all("License-Expression", []), *facts.get_all("License", [])]
    classifiers = [c for c in facts.get_all("Classifier", []) if c.startswith("License")]
    return " ".join([*(text[:200] for text in said), *classifiers])


def test_make_says_what_it_can_do_and_does_nothing_else(project: Path) -> None:
    said = subprocess.run(["make", "-C", str(project)], capture_output=True, text=True, check=True).stdout

    for word in ("run", "test", "check", "bench", "simulate", "clean", "help", "lock"):
        assert re.search(rf"^  {word} +\S", said, re.MULTILINE), said


def test_a_missing_python_is_said_clearly(project: Path, tmp_path: Path) -> None:
    script = project / "infra" / "environment.sh"
    result = subprocess.run(
        ["/bin/bash", str(script), "none.lock"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHON": "python-that-is-not-there"},
        capture_output=True,
        text=True,
    )

    assert result.returncode != 0
    assert "No Python 3.11, 3.12 or 3.13 was found" in result.stderr
    assert "make PYTHON=" in result.stderr


def test_names_of_tests_are_at_most_60_characters(project: Path) -> None:
    names = [
        (path.name, name)
        for path in sorted((project / "tests").rglob("test_*.py"))
        for name in re.findall(r"^\s*(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    ]

    assert [(file, name) for file, name in names if len(name) > 60] == []
