"""How a bundle lies in MLflow: a LoggedModel whose data is the bundle folder, unchanged.

`mlflow models serve` and `mlflow.pyfunc.load_model` answer named fields through `serving/contract/pyfunc.py`, which
goes along as code; `mlflow.onnx.load_model` finds the same graph. Beside the data lie the model card and the
provenance.
"""

import os
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import mlflow
import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, LoggedModelStatus, RunTag
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from pydantic import TypeAdapter

from mlops_assets.domain.registry.lineage import Provenance
from mlops_assets.domain.registry.versions import Candidate, VersionInfo
from mlops_assets.resources.registry.mlflow_format import DATA, write_model
from mlops_assets.resources.registry.tags import Tag, facts_from_text
from serving.contract.bundle import open_bundle

CARD = "model_card.md"
PROVENANCE = "provenance.json"
_DESCRIPTION_LIMIT = 5000  # of the database
_PROVENANCE = TypeAdapter(Provenance)


def log_bundle(client: MlflowClient, experiment: str, candidate: Candidate, bundle: Path, *, tag: str) -> str:
    """The id of the LoggedModel that holds this bundle; one that was begun and not finished is finished."""
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
            write_model(Path(folder) / "model", model.model_id, candidate, bundle)
            client.log_model_artifacts(model.model_id, str(Path(folder) / "model"))
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        client.log_outputs(candidate.run_id, models=[LoggedModelOutput(model.model_id, step=0)])
    return model.model_id


def log_papers(client: MlflowClient, model_id: str, *, card: str, provenance: Provenance) -> None:
    """The card and the provenance beside the bundle. Written until the version exists, then never again."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / CARD).write_text(card, encoding="utf-8")
        (Path(folder) / PROVENANCE).write_bytes(_PROVENANCE.dump_json(provenance, indent=1))
        client.log_model_artifacts(model_id, folder)


def ensure_registered_model(client: MlflowClient, model: str, purpose: str) -> None:
    try:
        client.create_registered_model(model, description=shortened(purpose))
    except MlflowException as err:
        if err.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def create_version(
    client: MlflowClient,
    model_id: str,
    candidate: Candidate,
    tags: dict[str, str],
    *,
    card: str,
    tracking_uri: str,
) -> str:
    """The number of a new version, made with all its tags in one transaction."""
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


def read_aliases(client: MlflowClient, model: str) -> dict[str, str]:
    """Alias → number of the version; nothing where the model is not registered."""
    try:
        aliases = client.get_registered_model(model).aliases
    except MlflowException as err:
        if err.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return {}
    return {alias: str(number) for alias, number in aliases.items()}


def read_versions(client: MlflowClient, model: str) -> tuple[VersionInfo, ...]:
    """Every version with its aliases, oldest first."""
    found: list[ModelVersion] = []
    token: str | None = None
    while token is None or token:
        page = client.search_model_versions(f"name = '{model}'", max_results=1000, page_token=token)
        found, token = [*found, *page], page.token or ""
    aliases = read_aliases(client, model) if found else {}
    return tuple(sorted((_info(version, aliases) for version in found), key=lambda info: int(info.number)))


def link_run(client: MlflowClient, info: VersionInfo) -> None:
    """Name the version in its run; the way back is in the version itself."""
    values = {Tag.VERSION: info.number, Tag.SEMANTIC: info.semantic, Tag.BUNDLE: info.bundle}
    client.log_batch(info.run_id, tags=[RunTag(key, value) for key, value in values.items()])


def fetch_bundle(client: MlflowClient, info: VersionInfo, into: Path, tracking_uri: str) -> Path:
    """The bundle of a version as `into/<digest>`: there already, or downloaded; checked either way."""
    target = into / info.bundle
    if not target.exists():
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=into) as aside:
            local = _download(client, info, f"{DATA}/{info.bundle}", Path(aside), tracking_uri=tracking_uri)
            _verified(local, info.bundle)
            _move(local, target)
    return _verified(target, info.bundle)


def read_provenance(client: MlflowClient, info: VersionInfo, tracking_uri: str) -> Provenance:
    with tempfile.TemporaryDirectory() as folder:
        local = _download(client, info, PROVENANCE, Path(folder), tracking_uri=tracking_uri)
        return _PROVENANCE.validate_json(local.read_bytes())


def read_card(client: MlflowClient, info: VersionInfo, tracking_uri: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return _download(client, info, CARD, Path(folder), tracking_uri=tracking_uri).read_text(encoding="utf-8")


def shortened(text: str) -> str:
    """As much as MLflow's description holds; the whole card lies beside the bundle."""
    note = f"\n\n… the whole card is the artefact {CARD}."
    return text if len(text) <= _DESCRIPTION_LIMIT else text[: _DESCRIPTION_LIMIT - len(note)] + note


def _info(version: ModelVersion, aliases: Mapping[str, str]) -> VersionInfo:
    try:
        tags, number = dict(version.tags), str(version.version)
        return VersionInfo(
            model=version.name,
            number=number,
            semantic=tags[Tag.SEMANTIC],
            bundle=tags[Tag.BUNDLE],
            run_id=version.run_id or "",
            training_set=tags[Tag.TRAINING_SET],
            facts=facts_from_text(tags[Tag.FACTS]),
            metric=tags[Tag.METRIC],
            score=float(tags[Tag.SCORE]),
            aliases=tuple(sorted(alias for alias, pointed in aliases.items() if pointed == number)),
            tags=tags,
            created_at=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC),
        )
    except KeyError as err:
        raise LookupError(
            f"{version.name} version {version.version} has no tag {err}: it was not registered by this "
            "project. Give it another model name, or delete the version in MLflow."
        ) from err


def _download(client: MlflowClient, info: VersionInfo, path: str, into: Path, *, tracking_uri: str) -> Path:
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
    found = open_bundle(folder)
    if found.digest != digest:
        raise ValueError(f"{folder} is bundle {found.digest}, not {digest}")
    return folder
