"""Assembles the bundle of a trained model, and describes it for people."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.evaluation.slices import cut
from mlops_assets.domain.records import Compressed, ServingModel, TrainedModel, TrainingSet
from mlops_assets.domain.registry.model_card import bundle_card
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.workspace import Workspace
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.stages.metadata import table
from mlops_assets.stages.training.collect import read_training_set
from mlops_assets.training.assemble import assemble

_ALL_ROWS = "all rows"
_COLUMNS = ("precision", "outcome", "bytes", "one row, ms", "1,000 rows, ms", "worst difference", "mean")


def assemble_bundle(
    spec: ModelSpec,
    training_set: TrainingSet,
    trained: TrainedModel,
    *,
    lake: Lake,
    bundles: Bundles,
    workspace: Workspace,
    commit: str,
    recipe: str,
) -> ServingModel:
    """Write the bundle, and return what was measured of it."""
    tables = read_training_set(training_set, lake, workspace)
    assembled = assemble(
        lake.fetch(trained.path, workspace.cache),
        training_set,
        tables,
        spec.serving,
        root=bundles.folder,
        commit=commit,
        card=bundle_card(spec, training_set, trained),
        slices=slice_masks(spec, tables),
    )
    parity = assembled.slices[assembled.precision]
    return ServingModel(
        model=spec.model,
        bundle=bundles.keep(assembled.digest),
        training_set=training_set.digest,
        run_id=trained.run_id,
        recipe=recipe,
        precision=assembled.precision,
        measured=assembled.measured,
        parity={name: float(difference.worst) for name, difference in parity.items()},
    )


def slice_masks(spec: ModelSpec, tables: Mapping[str, pa.Table]) -> dict[str, np.ndarray]:
    """All test rows, and the rows of each slice."""
    test = tables["test"]
    parts = cut(spec.slices, test, tables["train"])
    return {_ALL_ROWS: np.ones(len(test), bool), **{part.name: part.mask for part in parts}}


def describe(record: ServingModel, bundles: Bundles) -> dict[str, Any]:
    """The metadata of the asset."""
    return {
        "bundle": record.bundle,
        "precision": record.precision.value,
        "precisions": table(_COLUMNS, [_line(each, record) for each in record.measured]),
        "choice": table(("precision", "why"), [(each.precision.value, each.reason) for each in record.measured]),
        "parity": table(("slice", "worst difference from torch"), record.parity.items()),
        "card": dg.MetadataValue.md(bundles.open(record.bundle).card),
    }


def _line(each: Compressed, record: ServingModel) -> list[Any]:
    outcome = "served" if each.precision is record.precision else ("passed" if each.passed else "failed")
    times, differences = (each.single_row_ms, each.batch_ms), (each.worst_difference, each.mean_difference)
    return [each.precision.value, outcome, each.bytes, *times, *differences]
