"""Writes down the asset graph of the code location, one line a fact. Run as a module it renews the snapshot."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from mlops_assets.definitions import build_definitions

SNAPSHOT = Path(__file__).parent / "asset_graph.txt"


def lines() -> list[str]:
    """`child <- parents` for each asset with its partitions, condition and checks; jobs, schedules, sensors."""
    definitions = build_definitions()
    graph = definitions.resolve_asset_graph()
    found = [line for key in graph.get_all_asset_keys() for line in _asset(graph.get(key))]
    found += [_check(graph.get(key)) for key in graph.asset_check_keys]
    found += [f"job {job.name}: {_selected(job)}" for job in definitions.resolve_all_job_defs() if _own(job.name)]
    found += [f"schedule {each.name}" for each in definitions.schedules or ()]
    found += [f"sensor {each.name}" for each in definitions.sensors or ()]
    return sorted(found)


def _asset(node) -> Iterator[str]:
    name = node.key.to_user_string()
    yield f"{name} <- {', '.join(sorted(key.to_user_string() for key in node.parent_keys)) or 'nothing'}"
    condition = node.automation_condition
    yield f"{name} partitions: {_partitions(node.partitions_def)}"
    yield f"{name} runs: {condition.get_label() if condition else 'when launched'}"


def _check(node) -> str:
    return f"{node.key.asset_key.to_user_string()} check {node.key.name}: {'blocking' if node.blocking else 'warns'}"


def _partitions(definition: dg.PartitionsDefinition | None) -> str:
    if not isinstance(definition, dg.TimeWindowPartitionsDefinition):
        return "none" if definition is None else type(definition).__name__
    return f"{definition.cron_schedule} from {definition.start:%F} to {definition.end or 'now'}"


def _selected(job: dg.JobDefinition) -> str:
    keys = job.asset_layer.selected_asset_keys
    return ", ".join(sorted(key.to_user_string() for key in keys)) or "no assets"


def _own(name: str) -> bool:
    return not name.startswith("__")


if __name__ == "__main__":
    SNAPSHOT.write_text("\n".join(lines()) + "\n")
