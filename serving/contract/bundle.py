"""The bundle: an immutable folder, named by its content, in which pipeline and serving meet.

    <digest>/model.onnx       raw inputs → answers, with scaling and vocabularies inside the graph
             contract.json    what it takes and gives
             profile.json     what the training data looked like
             golden.json      requests with the answers they must get
             model_card.md
             manifest.json    the digest of each file; its own digest is the folder's name

Knows neither the pipeline nor torch. Nothing here depends on time or on who wrote it.
"""

import ctypes
import hashlib
import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from serving.contract.atomic import sync, write_synced
from serving.contract.encoding import pack_rows
from serving.contract.fields import Contract

if TYPE_CHECKING:
    import onnxruntime as ort

MODEL, CONTRACT, PROFILE, GOLDEN, CARD = (
    "model.onnx",
    "contract.json",
    "profile.json",
    "golden.json",
    "model_card.md",
)
FILES = (MODEL, CONTRACT, PROFILE, GOLDEN, CARD)
MANIFEST = "manifest.json"
PROVIDERS = {  # each falls back on those before it, for what it cannot run
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


class CorruptBundleError(ValueError):
    """The folder is not what its name says."""


class ProviderError(RuntimeError):
    """The provider that was asked for is not the one that would run."""


def write_bundle(root: Path, files: Mapping[str, bytes]) -> str:
    """Write the five files as a folder under `root`; returns its digest. The same again changes nothing."""
    absent, unknown = sorted(set(FILES) - set(files)), sorted(set(files) - set(FILES))
    if absent or unknown:
        raise ValueError(f"a bundle is {', '.join(FILES)}; absent: {absent}; unknown: {unknown}")
    manifest = _manifest(files)
    digest = hashlib.sha256(manifest).hexdigest()
    target = root / digest
    if target.exists():
        open_bundle(target)
        return digest
    aside = root / f".{digest[:12]}.{uuid.uuid4().hex}"
    aside.mkdir(parents=True)
    for name, content in {**files, MANIFEST: manifest}.items():
        write_synced(aside / name, content)
    sync(aside)
    _publish(aside, target)
    sync(root)
    return digest


def open_bundle(path: Path) -> "Bundle":
    """The bundle in a folder, once every file matched its digest. One error lists every mismatch."""
    manifest = path / MANIFEST
    if not manifest.is_file():
        raise CorruptBundleError(f"{path}: no {MANIFEST}, so this is no bundle. Give the folder named by its digest.")
    content = manifest.read_bytes()
    problems = [] if hashlib.sha256(content).hexdigest() == path.name else [f"{MANIFEST}: not the one it was named by"]
    expected = _read_manifest(content)
    problems += [f"{MANIFEST}: cannot be read"] if expected is None else _mismatches(path, expected)
    if problems:
        raise CorruptBundleError(
            f"{path}: {'; '.join(problems)}. Fetch the bundle again, or materialise serving_model to rebuild it."
        )
    return Bundle(path, Contract.from_json((path / CONTRACT).read_bytes()))


def open_session(model: bytes, provider: str, *, threads: int) -> "ort.InferenceSession":
    """An onnxruntime session on `cpu`, `cuda`, `tensorrt`, or `auto`: cuda where it starts. Never silently on another.

    TensorRT builds its engine for minutes, so only who asks for it gets it.
    """
    import onnxruntime as ort

    if provider not in (*PROVIDERS, "auto"):
        raise ValueError(f"provider is {provider!r}; it has to be auto, {', '.join(PROVIDERS)}")
    if provider == "auto" and not _has_nvidia_driver():
        provider = "cpu"  # onnxruntime would try, and report the attempt as an error
    if provider != "cpu" and hasattr(ort, "preload_dlls"):
        ort.preload_dlls()
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3 if provider == "cpu" else 4  # a CUDA that does not start is reported below
    names = list(PROVIDERS)
    able = names[: names.index("cuda" if provider == "auto" else provider) + 1]
    session = ort.InferenceSession(model, options, providers=[PROVIDERS[name] for name in reversed(able)])
    if provider != "auto" and PROVIDERS[provider] not in session.get_providers():
        needs = "a GPU with CUDA 13 and cuDNN 9" + (" and TensorRT 10" if provider == "tensorrt" else "")
        raise ProviderError(
            f"provider {provider} was asked for, but onnxruntime started {', '.join(session.get_providers())}."
            f" Run where {needs} is visible, or set serving.provider to auto or cpu."
        )
    return session


def _has_nvidia_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class Session:
    """A model ready to answer."""

    contract: Contract
    raw: "ort.InferenceSession"

    @property
    def provider(self) -> str:
        """The provider that really runs: cpu, cuda or tensorrt."""
        return next(name for name in reversed(PROVIDERS) if PROVIDERS[name] in self.raw.get_providers())

    def predict(self, numbers: np.ndarray, categories: np.ndarray) -> np.ndarray:
        """Packed rows → probability [n], probabilities [n, k] or value [n]."""
        given = {"numbers": numbers, "categories": categories}
        feed = {name: array for name, array in given.items() if array.shape[1]}
        return np.asarray(self.raw.run(None, feed)[0])


@dataclass(frozen=True)
class Bundle:
    """A verified folder."""

    path: Path
    contract: Contract

    @property
    def digest(self) -> str:
        return self.path.name

    @cached_property
    def profile(self) -> Mapping[str, Any]:
        return json.loads((self.path / PROFILE).read_bytes())

    @cached_property
    def golden(self) -> Mapping[str, Any]:
        return json.loads((self.path / GOLDEN).read_bytes())

    @property
    def card(self) -> str:
        return (self.path / CARD).read_text(encoding="utf-8")

    def session(self, provider: str = "cpu", *, threads: int = 1) -> Session:
        return Session(self.contract, open_session((self.path / MODEL).read_bytes(), provider, threads=threads))

    @cached_property
    def _on_cpu(self) -> Session:
        return self.session()

    def predict(self, numbers: np.ndarray, categories: np.ndarray) -> np.ndarray:
        """Packed rows → answers, on one core of the CPU. For another provider open a session."""
        return self._on_cpu.predict(numbers, categories)

    def check_golden(self, session: Session | None = None) -> tuple[str, ...]:
        """Every golden request whose answer is not the expected one, in words; empty where all is well."""
        rows = [request["row"] for request in self.golden["requests"]]
        packed = pack_rows(rows, self.contract.numbers, self.contract.categories)
        answers = (session or self._on_cpu).predict(*packed)
        expected = np.array([request["answer"] for request in self.golden["requests"]], dtype=np.float64)
        return _differences(answers, expected, self.golden)


def _differences(answers: np.ndarray, expected: np.ndarray, golden: Mapping[str, Any]) -> tuple[str, ...]:
    if answers.shape != expected.shape:
        return (f"answers have shape {answers.shape}, expected was {expected.shape}",)
    near = np.isclose(answers, expected, rtol=golden["relative"], atol=golden["absolute"])
    wrong = np.flatnonzero(~near.reshape(len(near), -1).all(axis=1))
    return tuple(
        f"golden request {i} ({golden['requests'][i]['name']}): answered {answers[i]}, expected {expected[i]}"
        for i in wrong
    )


def _manifest(files: Mapping[str, bytes]) -> bytes:
    digests = {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)}
    return json.dumps(digests, indent=1).encode()


def _read_manifest(content: bytes) -> dict[str, str] | None:
    """None where it is no manifest."""
    try:
        found = json.loads(content)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _mismatches(path: Path, expected: Mapping[str, str]) -> list[str]:
    problems = [f"{name}: not in the manifest" for name in FILES if name not in expected]
    present = {entry.name for entry in path.iterdir()}
    problems += [f"{name}: does not belong here" for name in sorted(present - set(expected) - {MANIFEST})]
    for name, digest in expected.items():
        if name not in present:
            problems.append(f"{name}: absent")
        elif (found := hashlib.sha256((path / name).read_bytes()).hexdigest()) != digest:
            problems.append(f"{name}: content is {found[:12]}, not {digest[:12]}")
    return problems


def _publish(aside: Path, target: Path) -> None:
    try:
        aside.rename(target)
    except OSError:  # another writer of the same content was first
        shutil.rmtree(aside)
        open_bundle(target)
