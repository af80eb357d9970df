"""Runs declared models whole, on the real resources, in a folder of the test's own."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from mlops_assets.declaration.declare import declare
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.defs.resources import resources
from mlops_assets.domain.names import Stage
from mlops_assets.lifecycle import lifecycle_of
from mlops_assets.stages.common import asset_key, partitions_of

RANGE: tuple[str, str] = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


def declaration(path: Path, **environment: Any) -> ModelSpec:
    """The spec of a YAML file, with `{{ env.NAME }}` filled in."""
    text = path.read_text()
    for name, value in environment.items():
        text = text.replace(f"{{{{ env.{name} }}}}", str(value))
    return specified(yaml.safe_load(text)["attributes"], root=path.parent)


def specified(attributes: Mapping[str, Any], root: Path = Path("/")) -> ModelSpec:
    return declare(attributes, root)


@dataclass(frozen=True)
class Bench:
    """One model on real resources under `home`."""

    spec: ModelSpec
    home: Path
    instance: dg.DagsterInstance
    endpoint: str = ""  # URL of a running one

    @property
    def resources(self) -> dict[str, Any]:
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("MLOPS_", "MLFLOW_"))}
        return resources({**plain, "MLOPS_HOME": str(self.home), "MLOPS_ENDPOINT_URL": self.endpoint})

    def materialize(self, *stages: Stage, config: Any = None) -> dg.ExecuteInProcessResult:
        """Run these stages, over all partitions there are; failures are in the result, not raised."""
        definitions = dg.Definitions.merge(lifecycle_of(self.spec), dg.Definitions(resources=self.resources))
        keys = [asset_key(self.spec.model, stage) for stage in stages]
        partitioned = partitions_of(self.spec)
        tags: dict[str, str] = {}
        if partitioned is not None and Stage.RAW_DATA in stages:
            names = partitioned.get_partition_keys()
            tags = dict(zip(RANGE, (names[0], names[-1]), strict=True))
        return definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            asset_selection=keys, instance=self.instance, tags=tags, raise_on_error=False, run_config=config
        )


def failed_checks(result: dg.ExecuteInProcessResult) -> list[str]:
    return [each.check_name for each in result.get_asset_check_evaluations() if not each.passed]


def record(bench: Bench, stage: Stage, kind: type) -> Any:
    return bench.resources["records"].latest(bench.spec.model, stage, kind)


def run_errors(result: dg.ExecuteInProcessResult) -> str:
    """Everything a failed run says, causes included."""
    errors = (getattr(event.event_specific_data, "error", None) for event in result.all_events if event.is_failure)
    return "\n".join(error.to_string() for error in errors if error is not None)
