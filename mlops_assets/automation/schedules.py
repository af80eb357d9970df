"""What runs by the clock: each new partition, and a decision to train again where a schedule is declared."""

from typing import Any

import dagster as dg

from mlops_assets.automation.retraining import wish_config
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.stages.common import partitions_of


def schedules_of(spec: ModelSpec, *, data: Any, decision: Any) -> list[Any]:
    """Stopped until somebody starts them in the UI, as a new model's data is first looked at by a person."""
    schedules: list[Any] = []
    if partitions_of(spec) is not None and spec.replay is None:
        schedules.append(dg.build_schedule_from_partitioned_job(data, name=f"{spec.model}_new_partition"))
    if spec.retraining.schedule is not None:
        schedules.append(
            dg.ScheduleDefinition(
                name=f"{spec.model}_training",
                job=decision,
                cron_schedule=spec.retraining.schedule,
                run_config=wish_config(spec.model, due=True),
                description="Asks for a training through the decision, which holds it back where it must.",
            )
        )
    return schedules
