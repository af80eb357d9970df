"""What the process says of its code and environment."""

import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from mlops_assets.resources.registry.provenance import code_digest, git_commit, read_environment, requirements


@pytest.fixture
def checkout(tmp_path) -> Path:
    (tmp_path / "serving").mkdir()
    (tmp_path / "serving" / "a.py").write_text("A = 1\n")
    for arguments in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "-m", "first"],
    ):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    return tmp_path


def test_a_changed_checkout_is_marked_beside_its_commit(checkout):
    commit = git_commit(checkout)
    assert len(commit) == 40
    (checkout / "serving" / "a.py").write_text("A = 2\n")
    assert git_commit(checkout) == f"{commit}+changes"


def test_no_git_is_no_commit_unless_it_is_given(tmp_path):
    assert git_commit(tmp_path) == ""
    assert read_environment(tmp_path, commit="abc").commit == "abc"


def test_the_code_digest_follows_content_and_place(checkout):
    before = code_digest(checkout)
    assert code_digest(checkout) == before
    (checkout / "serving" / "a.py").rename(checkout / "serving" / "b.py")
    moved = code_digest(checkout)
    (checkout / "serving" / "b.py").write_text("A = 2\n")
    assert len({before, moved, code_digest(checkout)}) == 3


def test_the_environment_is_pinned(checkout):
    around = read_environment(checkout)
    assert around.packages["dagster"] == version("dagster")
    assert f"dagster=={version('dagster')}" in requirements(around).splitlines()
    assert "://" not in requirements(around)
