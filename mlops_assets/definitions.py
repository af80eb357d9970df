"""The code location: what `defs/` declares, the resources it runs on, and the policies that hold for every model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_assets.automation.alerts import alert_sensors
from mlops_assets.defs.resources import resources

ROOT = Path(__file__).parent.parent


def build_definitions(*, root: Path = ROOT, instead: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Everything under `root`'s defs folder. `instead` swaps resources by name, which is what tests do."""
    return dg.Definitions.merge(
        dg.load_from_defs_folder(path_within_project=root),
        dg.Definitions(
            resources={**resources(), **(instead or {})},
            sensors=alert_sensors(),
            # A model's stages form a chain, so a run gains nothing from a process per step but pays seconds for each.
            executor=dg.in_process_executor,
        ),
    )


defs = build_definitions()
