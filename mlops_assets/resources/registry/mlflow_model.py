"""How a bundle lies in MLflow: a LoggedModel whose data is the bundle folder, unchanged.

`mlflow models serve` and `mlflow.pyfunc.load_model` answer named fields through `serving/contract/pyfunc.py`, which
goes along as code; `mlflow.onnx.load_model` finds the same graph. Beside the data lie the model card and the
provenance.
"""

import json
import os
import shutil
import tempfile
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from mlops_assets.domain.registry.lineage import Provenance
from mlops_assets.domain.registry.versions import Candidate, VersionFacts, VersionInfo

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

CARD = "model_card.md"
PROVENANCE = "provenance.json"
_DATA = "data"
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
_DESCRIPTION_LIMIT = 5000  # of the database
_FACTS = TypeAdapter(VersionFacts)
_PROVENANCE = TypeAdapter(Provenance)


def log_bundle(client: "MlflowClient", experiment: str, candidate: Candidate, bundle: Path, tag: str) -> str:
    """The id of the LoggedModel that holds this bundle; one that was begun and not finished is finished."""
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    _verified(bundle, candidate.bundle)
    found = client.search_logged_models([experiment], filter_string=f"tags.`{tag}` = '{candidate.bundle}'")
    model = found[0] if found else None
    if model is None:
        model = client.create_logged_model(
            experiment,
            name=candidate.model,
            source_run_id=candidate.run_id,
            tags={tag: candidate.bundle},
            model_type=candidate.facts.kind,
        )
    if model.status != LoggedModelStatus.READY:
        with tempfile.TemporaryDirectory() as folder:
            _write_model(Path(folder) / "model", model.model_id, candidate, bundle)
            client.log_model_artifacts(model.model_id, str(Path(folder) / "model"))
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        client.log_outputs(candidate.run_id, models=[LoggedModelOutput(model.model_id, step=0)])
    return model.model_id


def log_papers(client: "MlflowClient", model_id: str, *, card: str, provenance: Provenance) -> None:
    """The card and the provenance beside the bundle. Written until the version exists, then never again."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / CARD).write_text(card, encoding="utf-8")
        (Path(folder) / PROVENANCE).write_bytes(_PROVENANCE.dump_json(provenance, indent=1))
        client.log_model_artifacts(model_id, folder)


def ensure_registered_model(client: "MlflowClient", model: str, purpose: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(model, description=shortened(purpose))
    except MlflowException as err:
        if err.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def create_version(
    client: "MlflowClient",
    model_id: str,
    candidate: Candidate,
    tags: dict[str, str],
    card: str,
    tracking_uri: str,
) -> str:
    """The number of a new version, made with all its tags in one transaction."""
    import mlflow

    mlflow.set_tracking_uri(tracking_uri)  # where the database store looks a `models:/<id>` up
    created = client.create_model_version(
        name=candidate.model,
        source=f"models:/{model_id}",
        run_id=candidate.run_id,
        model_id=model_id,
        tags=tags,
        description=shortened(card),
    )
    return str(created.version)


def fetch_bundle(client: "MlflowClient", info: VersionInfo, into: Path, tracking_uri: str) -> Path:
    """The bundle of a version as `into/<digest>`: there already, or downloaded; checked either way."""
    target = into / info.bundle
    if not target.exists():
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=into) as aside:
            local = _download(client, info, f"{_DATA}/{info.bundle}", Path(aside), tracking_uri)
            _verified(local, info.bundle)
            _move(local, target)
    return _verified(target, info.bundle)


def read_provenance(client: "MlflowClient", info: VersionInfo, tracking_uri: str) -> Provenance:
    with tempfile.TemporaryDirectory() as folder:
        local = _download(client, info, PROVENANCE, Path(folder), tracking_uri)
        return _PROVENANCE.validate_json(local.read_bytes())


def read_card(client: "MlflowClient", info: VersionInfo, tracking_uri: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return _download(client, info, CARD, Path(folder), tracking_uri).read_text(encoding="utf-8")


def facts_to_text(facts: VersionFacts) -> str:
    return json.dumps(asdict(facts), sort_keys=True, separators=(",", ":"))


def facts_from_text(text: str) -> VersionFacts:
    return _FACTS.validate_json(text)


def shortened(text: str) -> str:
    """As much as MLflow's description holds; the whole card lies beside the bundle."""
    note = f"\n\n… the whole card is the artefact {CARD}."
    return text if len(text) <= _DESCRIPTION_LIMIT else text[: _DESCRIPTION_LIMIT - len(note)] + note


def _write_model(folder: Path, model_id: str, candidate: Candidate, bundle: Path) -> None:
    """The model in MLflow's format. The bundle's files are copied, never written again."""
    import mlflow.pyfunc
    from mlflow.models import Model

    described = Model(model_id=model_id, run_id=candidate.run_id, signature=_signature(candidate.facts))
    described.metadata = {"bundle": candidate.bundle, "training_set": candidate.training_set}
    graph = f"{_DATA}/{candidate.bundle}/model.onnx"
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


def _signature(facts: VersionFacts) -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    inputs = Schema([ColSpec(_column_type(kind), n, required=False) for n, kind in facts.inputs.items()])
    outputs = Schema([ColSpec(_column_type(kind), name) for name, kind in facts.outputs.items()])
    return ModelSignature(inputs=inputs, outputs=outputs)


def _column_type(kind: str) -> Any:
    """A whole number that is missing is NaN, which only a double can hold; several numbers are a list."""
    from mlflow.types import DataType
    from mlflow.types.schema import Array

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


def _download(client: "MlflowClient", info: VersionInfo, path: str, into: Path, tracking_uri: str) -> Path:
    import mlflow.artifacts

    source = client.get_model_version_download_uri(info.model, info.number)
    found = mlflow.artifacts.download_artifacts(
        artifact_uri=f"{source}/{path}",
        dst_path=str(into),
        tracking_uri=tracking_uri,
        registry_uri=tracking_uri,
    )
    return Path(found)


def _move(local: Path, target: Path) -> None:
    """Rename, or leave it where another process was first."""
    try:
        os.rename(local, target)
    except OSError:
        if not target.is_dir():
            raise


def _verified(folder: Path, digest: str) -> Path:
    """The bundle folder, once every file is what the digest says."""
    from serving.contract.bundle import open_bundle

    found = open_bundle(folder)
    if found.digest != digest:
        raise ValueError(f"{folder} is bundle {found.digest}, not {digest}")
    return folder
