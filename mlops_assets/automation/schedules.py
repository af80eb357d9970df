"""Runs by the clock: each new partition, and a decision to train again where a schedule is declared."""

from typing import Any

import dagster as dg

from mlops_assets.automation.retraining import decision_config
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.stages.common import partitions_of


def schedules_of(spec: ModelSpec, *, data: Any, decision: Any) -> list[Any]:
    """Stopped until somebody starts them in the UI: a person looks at a new model's data first."""
    schedules: list[Any] = []
    if partitions_of(spec) is not None and spec.replay is None:
        schedules.append(dg.build_schedule_from_partitioned_job(data, name=f"{spec.model}_new_partition"))
    if spec.retraining.schedule is not None:
        schedules.append(
            dg.ScheduleDefinition(
                name=f"{spec.model}_training",
                job=decision,
                cron_schedule=spec.retraining.schedule,
                run_config=decision_config(spec.model, due=True),
                description="Requests a training through the decision, which holds it back where it must.",
            )
        )
    return schedules
