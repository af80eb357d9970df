"""A bundle in MLflow's model format: its files as data, its signature, the code that answers and what that needs."""

import shutil
import tempfile
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mlflow.pyfunc
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import Array

from mlops_assets.domain.registry.versions import Candidate, VersionFacts

DATA = "data"
_LOADER = "serving.contract.pyfunc"
_NEEDED = ("mlflow", "numpy", "pandas", "pyarrow")  # by the loader, beside onnxruntime in one of its builds
_RUNTIMES = ("onnxruntime-gpu", "onnxruntime")
_CODE = (  # what the loader is made of
    "serving",
    "serving.contract",
    "serving.contract.atomic",
    "serving.contract.bundle",
    "serving.contract.encoding",
    "serving.contract.fields",
    "serving.contract.pyfunc",
)


def write_model(folder: Path, model_id: str, candidate: Candidate, bundle: Path) -> None:
    """The model in MLflow's format. The bundle's files are copied, never written again."""
    described = Model(model_id=model_id, run_id=candidate.run_id, signature=_signature(candidate.facts))
    described.metadata = {"bundle": candidate.bundle, "training_set": candidate.training_set}
    graph = f"{DATA}/{candidate.bundle}/model.onnx"
    described.add_flavor("onnx", onnx_version=_installed("onnx"), data=graph, providers=None)
    with tempfile.TemporaryDirectory() as code:
        for module in _CODE:
            _copy_module(module, Path(code))
        mlflow.pyfunc.save_model(
            path=str(folder),
            loader_module=_LOADER,
            data_path=str(bundle),
            code_paths=[f"{code}/serving"],
            mlflow_model=described,
            pip_requirements=_requirements(),
        )


def _copy_module(name: str, into: Path) -> None:
    """The module's one source file, at the place where it is imported from."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{name} has no source file: the model cannot take it along")
    target = into.joinpath(*name.split("."))
    file = target / "__init__.py" if spec.submodule_search_locations else target.with_suffix(".py")
    file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(spec.origin, file)


def _signature(facts: VersionFacts) -> ModelSignature:
    inputs = Schema([ColSpec(_column_type(kind), n, required=False) for n, kind in facts.inputs.items()])
    outputs = Schema([ColSpec(_column_type(kind), name) for name, kind in facts.outputs.items()])
    return ModelSignature(inputs=inputs, outputs=outputs)


def _column_type(kind: str) -> Any:
    """A whole number that is missing is NaN, which only a double can hold; several numbers are a list."""
    known = {"text": DataType.string, "boolean": DataType.boolean, "integer": DataType.double}
    return Array(DataType.double) if kind.endswith(" numbers") else known.get(kind, DataType.double)


def _requirements() -> list[str]:
    runtime = next((name for name in _RUNTIMES if _installed(name)), None)
    if runtime is None:
        raise RuntimeError(f"none of {', '.join(_RUNTIMES)} is installed: the bundle cannot be registered without it")
    return [f"{name}=={_installed(name)}" for name in (*_NEEDED, runtime)]


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
