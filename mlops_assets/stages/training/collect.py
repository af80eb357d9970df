"""Reads a training set back from the lake, for the stages that learn from it and test on it."""

from collections.abc import Mapping

import pyarrow as pa

from mlops_assets.domain.names import training_set_path
from mlops_assets.domain.records import TrainingSet
from mlops_assets.domain.training_set.training_rows import read_parts
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.workspace import Workspace


def read_training_set(training_set: TrainingSet, lake: Lake, workspace: Workspace) -> Mapping[str, pa.Table]:
    """Its train, validation and test rows."""
    return read_parts(lake.fetch(training_set_path(training_set.model, training_set.digest), workspace.cache))
