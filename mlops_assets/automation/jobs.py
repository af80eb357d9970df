"""The jobs of a model, by name in the UI and on the command line."""

from typing import Any

import dagster as dg

from mlops_assets.domain.names import DATA_STAGES, MODEL_TAG, TRAINING_STAGES, TRAINING_TAG, Stage
from mlops_assets.domain.spec import ModelSpec
from mlops_assets.stages.common import asset_key


def data_job_name(model: str) -> str:
    return f"{model}_data"


def train_job_name(model: str) -> str:
    return f"{model}_train"


def data_job(spec: ModelSpec) -> Any:
    """Raw rows to features, for one partition or a range of them."""
    return dg.define_asset_job(
        name=data_job_name(spec.model),
        selection=_assets(spec, DATA_STAGES),
        description=f"Brings the data of {spec.model} up to date: raw, validated, features.",
        tags={MODEL_TAG: spec.model},
    )


def train_job(spec: ModelSpec) -> Any:
    """Training set to registered version."""
    return dg.define_asset_job(
        name=train_job_name(spec.model),
        selection=_assets(spec, TRAINING_STAGES),
        description=f"Trains {spec.model} on the features there are, judges it, and registers it if it passes.",
        tags={MODEL_TAG: spec.model, TRAINING_TAG: spec.model},
    )


def _assets(spec: ModelSpec, stages: tuple[Stage, ...]) -> dg.AssetSelection:
    return dg.AssetSelection.assets(*(asset_key(spec.model, stage) for stage in stages))
