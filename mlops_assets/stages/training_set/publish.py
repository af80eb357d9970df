"""Keeps the rows of a training set under their digest, and says what they are."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import TypeAdapter

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.data.checks import LEAKAGE
from mlops_assets.domain.names import TRAINING_SET_RECORD, Layer
from mlops_assets.domain.records import TrainingSet
from mlops_assets.domain.training_set.suspects import Telling
from mlops_assets.domain.training_set.training_rows import Parts, label_summary, write_parts
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.workspace import Workspace
from mlops_assets.stages.metadata import table
from mlops_assets.stages.training_set.join import JoinedRows

_RECORD = TypeAdapter(TrainingSet)
_SHOWN = 12  # columns in the table of the most telling ones


def keep_rows(record: TrainingSet, parts: Parts, lake: Lake, workspace: Workspace) -> TrainingSet:
    """Keep the rows under their digest; the same rows as before are the training set there already is."""
    with tempfile.TemporaryDirectory() as aside:
        folder = Path(aside) / record.digest
        folder.mkdir()
        write_parts(parts.tables, folder)
        (folder / TRAINING_SET_RECORD).write_bytes(_RECORD.dump_json(record, indent=1))
        relative = lake.publish(record.model, Layer.TRAINING_SETS, record.digest, folder)
    return _RECORD.validate_json((lake.fetch(relative, workspace.cache) / TRAINING_SET_RECORD).read_bytes())


def describe_suspicion(spec: ModelSpec, telling: Sequence[Telling]) -> dict[str, Any]:
    """The columns that tell most of the outcome, and what is not proven of a model that looks nothing up."""
    lines = [(each.named, each.how, f"{each.share:.1%}") for each in telling[:_SHOWN]]
    proven = {} if spec.features.service else {LEAKAGE: "Not applicable: each row brings its own columns."}
    return {"most_telling": table(("column", "tells", "of the outcome's uncertainty"), lines), **proven}


def describe(record: TrainingSet, joined: JoinedRows, parts: Parts) -> dict[str, Any]:
    """The digest, the parts, what was left out and the inputs."""

    def line(name: str) -> list[Any]:
        first, last = record.boundaries[name]
        label = ", ".join(
            f"{key} {value:.4g}" for key, value in label_summary(parts.tables[name], record.classes).items()
        )
        return [name, record.rows[name], first, last, label]

    left_out: Mapping[str, int] = {**joined.left_out, **parts.left_out}
    return {
        "digest": record.digest,
        "feature_service": record.service,
        "dagster/row_count": sum(record.rows.values()),
        "as_of": dg.MetadataValue.timestamp(record.as_of),
        "parts": table(("part", "rows", "from", "to", "label"), [line(name) for name in record.rows]),
        "left_out": table(("why", "rows"), left_out.items()),
        "inputs": table(
            ("kind", "columns"),
            [
                ("numbers", ", ".join(record.inputs.numbers)),
                ("categories", ", ".join(record.inputs.categories)),
            ],
        ),
    }
