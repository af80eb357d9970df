"""Looks at the process: which commit, sources, packages. What to make of them, `domain/registry/lineage.py` says."""

import hashlib
import platform
import subprocess
from importlib.metadata import distributions
from pathlib import Path

from mlops_assets.domain.registry.lineage import ProcessEnvironment

_SOURCES = ("mlops_assets", "feature_repo", "serving")
_CHANGED = "+changes"


def read_environment(root: Path, *, commit: str = "") -> ProcessEnvironment:
    """The code under `root` and the environment. `commit`: what an image was built from, without git."""
    return ProcessEnvironment(
        commit=commit or git_commit(root),
        code=code_digest(root),
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        packages=installed_packages(),
    )


def requirements(around: ProcessEnvironment) -> str:
    """The environment as a requirements file."""
    lines = [
        f"# Python {around.python}, {around.platform}",
        *(f"{n}=={v}" for n, v in around.packages.items()),
    ]
    return "\n".join(lines) + "\n"


def git_commit(root: Path) -> str:
    """The commit checked out, marked where tracked files differ from it; empty without commit or git."""
    commit = _git(root, "rev-parse", "HEAD")
    if not commit:
        return ""
    return commit + (_CHANGED if _git(root, "status", "--porcelain", "--untracked-files=no") else "")


def code_digest(root: Path) -> str:
    """SHA-256 over the project's Python sources and their places."""
    whole = hashlib.sha256()
    for file in sorted(file for folder in _SOURCES for file in (root / folder).rglob("*.py")):
        whole.update(f"{file.relative_to(root).as_posix()}\0".encode())
        whole.update(hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()


def installed_packages() -> dict[str, str]:
    """Name → version of all that is installed. Where from is not told: addresses may hold credentials."""
    return dict(sorted((packages.name.lower().replace("_", "-"), packages.version) for packages in distributions()))


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False, timeout=30)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
