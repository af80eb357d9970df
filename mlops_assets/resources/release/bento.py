"""Bentos: the immutable artefact of a version, built from its bundle and the service's code, and started for a trial.

A Bento serves alone, and is what an image is made from. Which version answers live traffic is not decided here:
that is the release's.
"""

import ctypes
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import yaml

_CODE = ("serving", "feature_repo")
_LOCK = "requirements-serving.lock"
_BASE = "nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04"
_MADE = "bento.yaml"  # stands in every whole Bento
_GRACE = 15  # seconds a trial may take to stop
_DIES_WITH_PARENT = 1  # prctl's PR_SET_PDEATHSIG


class BentoError(RuntimeError):
    """A Bento that could not be built, or does not start."""


@dataclass(frozen=True)
class Bento:
    tag: str  # <model>:<semantic version>
    path: Path
    source: str  # digest of its code, its locks and its bundle: the same digest answers the same


class Bentos(dg.ConfigurableResource["Bentos"]):
    """The store of Bentos under `home`, built from the code in `project`."""

    home: str
    project: str

    def build(self, bundle: Path, *, model: str, version: str) -> Bento:
        """The version's Bento. One that is there is never changed: other code gives another tag."""
        with tempfile.TemporaryDirectory(prefix="bento-") as folder:
            staged = Path(folder)
            _stage(staged, Path(self.project), bundle, model=model, version=version)
            source = digest_of(staged)
            tags = (version.lower(), f"{version.lower()}-{source[:8]}")
            for tag in tags:
                known = self._known(model, tag)
                if known is not None and known.source == source:
                    return known
            free = next((tag for tag in tags if self._known(model, tag) is None), None)
            if free is None:
                raise BentoError(f"{model}:{tags[1]} is there and holds other code: remove it from {self.home}")
            return self._build(staged, model, free, source)

    @contextmanager
    def running(self, bento: Bento, *, provider: str, log: Path) -> Iterator[str]:
        """The Bento as a process on a free port, alone with what it carries; gone at the end. Gives its URL."""
        port = _free_port()
        with tempfile.TemporaryDirectory(prefix="bento-") as home, log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "bentoml", "serve", bento.tag, "--host", "127.0.0.1", "--port", str(port)],
                cwd=home,
                env=self._environment() | _alone(Path(home), provider),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
            try:
                yield f"http://127.0.0.1:{port}"
            finally:
                _stop(process)

    def _build(self, staged: Path, model: str, tag: str, source: str) -> Bento:
        """Built aside and moved in whole: a run that is killed leaves no half of one in the store."""
        (staged / "bentofile.json").write_text(json.dumps(_bentofile(model, source)))
        command = [sys.executable, "-m", "bentoml", "build", "-f", "bentofile.json", "--version", tag, "."]
        Path(self.home).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".making-", dir=self.home) as aside:
            own = self._environment() | {"BENTOML_HOME": aside}
            done = subprocess.run(command, cwd=staged, env=own, capture_output=True, text=True, check=False)
            made = Path(aside) / "bentos" / model / tag
            if done.returncode == 0 and (made / _MADE).exists():
                _move_in(made, Path(self.home) / "bentos" / model / tag)
        built = self._known(model, tag)
        if done.returncode or built is None or built.source != source:
            raise BentoError(f"{model}:{tag} could not be built:\n{(done.stdout + done.stderr)[-2000:]}")
        return built

    def _known(self, model: str, tag: str) -> Bento | None:
        path = Path(self.home) / "bentos" / model / tag
        try:
            description = yaml.safe_load((path / _MADE).read_text())
        except FileNotFoundError:
            return None
        return Bento(f"{model}:{tag}", path, description["labels"].get("source", ""))

    def _environment(self) -> dict[str, str]:
        """Nothing of ours that may be a secret goes along."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
        return kept | {"BENTOML_HOME": self.home, "BENTOML_DO_NOT_TRACK": "True", "PYTHONDONTWRITEBYTECODE": "1"}


def _move_in(made: Path, place: Path) -> None:
    """One that another run moved in meanwhile stays; the remains of one that was cut off do not."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if (place / _MADE).exists():
        return
    shutil.rmtree(place, ignore_errors=True)
    made.rename(place)
    (place.parent / "latest").write_text(place.name)


def digest_of(folder: Path) -> str:
    """Of every file's name and content."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    whole = hashlib.sha256()
    for path in files:
        whole.update(f"{path.relative_to(folder)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def _stage(folder: Path, project: Path, bundle: Path, *, model: str, version: str) -> None:
    """What the Bento is made of, and nothing else of the project."""
    for name in _CODE:
        shutil.copytree(project / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", "*.md"))
    shutil.copy(project / _LOCK, folder / _LOCK)
    shutil.copytree(bundle, folder / "baked" / bundle.name)
    (folder / "baked" / "VERSION").write_text(f"{version}\n")


def _bentofile(model: str, source: str) -> Mapping[str, object]:
    """As `bentoml build` reads it (JSON is YAML). The base image has no Python: uv brings it, pip brings uv."""
    return {
        "service": "serving.service:Endpoint",
        "name": model,
        "description": f"# {model}\n\nServes the bundle it carries, or what the releases in MLOPS_HOME say.",
        "labels": {"source": source},
        "include": [*(f"{name}/" for name in _CODE), "baked/", _LOCK],
        "python": {"requirements_txt": _LOCK, "lock_packages": False},
        "docker": {
            "base_image": _BASE,
            "python_version": "3.12",
            "system_packages": ["python3-pip"],
        },
        "envs": [
            {"name": "PIP_BREAK_SYSTEM_PACKAGES", "value": "1"},
            {"name": "ENDPOINT_GRPC_HOST", "value": "0.0.0.0"},  # within the container
        ],
    }


def _alone(home: Path, provider: str) -> dict[str, str]:
    return {
        "MLOPS_HOME": str(home),
        "ENDPOINT_RELEASES": str(home / "releases"),
        "ENDPOINT_PROVIDER": provider,
        "ENDPOINT_LOG": "off",
        "ENDPOINT_DRAIN_SECONDS": "0",
        "ENDPOINT_GRPC_PORT": "0",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_libc = ctypes.CDLL(None)


def _die_with_parent() -> None:
    """Whoever kills the run kills its trial too."""
    if hasattr(_libc, "prctl"):
        _libc.prctl(_DIES_WITH_PARENT, signal.SIGTERM)


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=_GRACE)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()
