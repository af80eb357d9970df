"""What Dagster's daemon does with a sensor's tick, without processes: run keys, tags, cursor, and dying in between."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from dagster._core.storage.tags import RUN_KEY_TAG, SENSOR_NAME_TAG


@dataclass
class Daemon:
    """One daemon of one instance. Two of them share the instance, as two would by mistake."""

    definitions: dg.Definitions
    instance: dg.DagsterInstance
    resources: Mapping[str, Any]
    cursors: dict[str, str | None] = field(default_factory=dict)

    def tick(self, name: str, *, dies_before_cursor: bool = False) -> tuple[list[dg.DagsterRun], str]:
        """The runs that one evaluation made, and why none where it made none."""
        sensor = self.definitions.resolve_sensor_def(name)
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursors.get(name),
            resources={key: self.resources[key] for key in sensor.required_resource_keys},
            definitions=self.definitions,
            sensor_name=name,
        ) as context:
            found = sensor.evaluate_tick(context)
        made = [run for request in found.run_requests or () if (run := self._submit(name, request)) is not None]
        if not dies_before_cursor:
            self.cursors[name] = found.cursor or self.cursors.get(name)
        return made, found.skip_message or ""

    def end(self, run: dg.DagsterRun, *, well: bool = True) -> None:
        """The run comes to its end, without having done anything."""
        kind = dg.DagsterEventType.PIPELINE_SUCCESS if well else dg.DagsterEventType.PIPELINE_FAILURE
        data = dg.DagsterEvent(kind.value, run.job_name)
        self.instance.report_dagster_event(data, run_id=run.run_id)

    def _submit(self, name: str, request: dg.RunRequest) -> dg.DagsterRun | None:
        """As `dagster._daemon.sensor` does: a run key of this sensor is used once."""
        if request.run_key:
            known = dg.RunsFilter(tags={RUN_KEY_TAG: request.run_key, SENSOR_NAME_TAG: name})
            if self.instance.get_runs_count(known):
                return None
        job = self.definitions.resolve_job_def(str(request.job_name or self._job(name)))
        subset = job.get_subset(asset_selection=set(request.asset_selection)) if request.asset_selection else job
        tags = {**request.tags, SENSOR_NAME_TAG: name, **({RUN_KEY_TAG: request.run_key} if request.run_key else {})}
        return self.instance.create_run_for_job(
            subset,
            run_config=dict(request.run_config),
            tags=tags,
            asset_selection=frozenset(request.asset_selection) if request.asset_selection else None,
        )

    def _job(self, name: str) -> str:
        return str(self.definitions.resolve_sensor_def(name).job_name)
