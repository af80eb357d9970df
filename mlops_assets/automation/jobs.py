"""The jobs of a model, by name in the UI and on the command line."""

from typing import Any

import dagster as dg

from mlops_assets.domain.names import DATA_STAGES, MODEL_TAG, TRAINING_STAGES, TRAINING_TAG, Stage, training_job
from mlops_assets.domain.spec import ModelSpec
from mlops_assets.stages.common import asset_key


def data_job_name(model: str) -> str:
    return f"{model}_data"


def data_job(spec: ModelSpec) -> Any:
    """Raw rows to features, for one partition or a range of them."""
    return dg.define_asset_job(
        name=data_job_name(spec.model),
        selection=_assets(spec, DATA_STAGES),
        description=f"Brings the data of {spec.model} up to date: raw, validated, features.",
        tags={MODEL_TAG: spec.model},
    )


def predictions_job(spec: ModelSpec) -> Any:
    """The endpoint's log into the lake, for one day or a range of them."""
    return dg.define_asset_job(
        name=f"{spec.model}_predictions",
        selection=_assets(spec, (Stage.PREDICTIONS,)),
        description=f"Brings what {spec.model} answered on a day, and what came of it, into the lake.",
        tags={MODEL_TAG: spec.model},
    )


def batch_job(spec: ModelSpec) -> Any:
    """The champion's answers for whole partitions."""
    return dg.define_asset_job(
        name=f"{spec.model}_batch",
        selection=_assets(spec, (Stage.BATCH_PREDICTIONS,)),
        description=f"Answers every example of {spec.model}'s partitions with the champion's bundle.",
        tags={MODEL_TAG: spec.model},
    )


def train_job(spec: ModelSpec) -> Any:
    """Training set to released version."""
    return dg.define_asset_job(
        name=training_job(spec.model),
        selection=_assets(spec, (*TRAINING_STAGES, Stage.DEPLOYED_ENDPOINT)),
        description=f"Trains {spec.model} on the features there are and judges it; registers and releases what passes.",
        tags={MODEL_TAG: spec.model, TRAINING_TAG: spec.model},
    )


def _assets(spec: ModelSpec, stages: tuple[Stage, ...]) -> dg.AssetSelection:
    return dg.AssetSelection.assets(*(asset_key(spec.model, stage) for stage in stages))
