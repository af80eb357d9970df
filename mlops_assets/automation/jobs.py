"""The jobs of a model, by name in the UI and on the command line."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import dagster as dg

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import DATA_STAGES, MODEL_TAG, TRAINING_STAGES, TRAINING_TAG, Stage, training_job
from mlops_assets.stages.common import asset_key


def data_job_name(model: str) -> str:
    return f"{model}_data"


def data_job(spec: ModelSpec) -> Any:
    """Raw rows to features, for one partition or a range of them."""
    text = f"Brings the data of {spec.model} up to date: raw, validated, features."
    return asset_job(spec, data_job_name(spec.model), DATA_STAGES, text)


def predictions_job(spec: ModelSpec) -> Any:
    """The endpoint's log into the lake, for one day or a range of them."""
    text = f"Brings the answers that {spec.model} gave on a day, and their outcomes, into the lake."
    return asset_job(spec, f"{spec.model}_predictions", (Stage.PREDICTIONS,), text)


def batch_job(spec: ModelSpec) -> Any:
    """The champion's answers for whole partitions."""
    text = f"Scores every example of {spec.model}'s partitions with the champion's bundle."
    return asset_job(spec, f"{spec.model}_batch", (Stage.BATCH_PREDICTIONS,), text)


def train_job(spec: ModelSpec) -> Any:
    """Training set to released version."""
    text = f"Trains {spec.model} on all features, judges it; registers and releases a version that passes."
    stages = (*TRAINING_STAGES, Stage.DEPLOYED_ENDPOINT)
    return asset_job(spec, training_job(spec.model), stages, text, tags={TRAINING_TAG: spec.model})


def asset_job(
    spec: ModelSpec, name: str, stages: Sequence[Stage], text: str, *, tags: Mapping[str, str] = MappingProxyType({})
) -> Any:
    """A job over these assets of a model."""
    return dg.define_asset_job(
        name=name,
        selection=dg.AssetSelection.assets(*(asset_key(spec.model, stage) for stage in stages)),
        description=text,
        tags={MODEL_TAG: spec.model, **tags},
    )
