"""The component: one YAML file in, the whole life of a model out. Reads the declaration; decides nothing."""

import re
from pathlib import Path
from typing import Any

import dagster as dg
from dagster.components.scaffold.scaffold import Scaffolder, ScaffoldRequest, scaffold_with
from pydantic import BaseModel, RootModel

from mlops_assets.automation import jobs, live_days, retraining, schedules
from mlops_assets.automation.conditions import automated, automation_sensor
from mlops_assets.automation.new_data import new_data_sensor
from mlops_assets.automation.release_jobs import release_jobs
from mlops_assets.automation.rollback import rollback_sensor
from mlops_assets.automation.rollout import rollout_sensor
from mlops_assets.declaration.declare import declare
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.declaration.values import FieldPath
from mlops_assets.declaration.yaml_schema import yaml_schema
from mlops_assets.stages import STAGES

_STARTER = Path(__file__).parent / "starter.yaml"


class LifecycleScaffolder(Scaffolder):
    """Writes a declaration to start from, with the usual fields and what they mean."""

    def scaffold(self, request: ScaffoldRequest) -> None:
        name = re.sub(r"\W+", "_", request.target_path.name).lower()
        target = request.target_path if request.append else request.target_path / "defs.yaml"
        text = _STARTER.read_text().replace("my_model", name)
        with target.open("a" if request.append else "w") as stream:
            stream.write(f"---\n{text}" if request.append else text)


class DeclarationYaml(RootModel[dict[str, Any]]):
    """The attributes of a YAML file as they are written, with templates that are not filled in yet."""

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The schema of the whole declaration."""
        return yaml_schema(ModelSpec)


@scaffold_with(LifecycleScaffolder)
class ModelLifecycle(dg.Component):
    """A model from its data to answers in production, declared in one file."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        return DeclarationYaml

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> "ModelLifecycle":
        values = attributes.model_dump() if attributes else {}
        resolution = context.resolution_context.at_path("attributes")
        tree = resolution.source_position_tree

        def place(path: FieldPath) -> str:
            return f"{tree.lookup_closest_and_path(['attributes', *path], None)[0]} - " if tree else ""

        return cls(declare(resolution.resolve_value(values), context.project_root, place))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        return lifecycle_of(self.spec)


def lifecycle_of(spec: ModelSpec) -> dg.Definitions:
    """Assets, checks, jobs, schedules and sensors of one model."""
    data, training = jobs.data_job(spec), jobs.train_job(spec)
    release = release_jobs(spec)
    predictions, batch = jobs.predictions_job(spec), jobs.batch_job(spec)
    watch = live_days.watch_job(spec)
    decision, person, pause = retraining.decision_job(spec), retraining.person_job(spec), retraining.pause_job(spec)
    return dg.Definitions(
        assets=[stage(spec) for stage in STAGES],
        jobs=[data, training, predictions, batch, watch, decision, person, pause, *release.values()],
        schedules=schedules.schedules_of(spec, data=data, decision=decision),
        sensors=[
            new_data_sensor(spec, data),
            automation_sensor(spec),
            rollout_sensor(spec, release["rollout_step"]),
            live_days.watch_sensor(spec, watch),
            rollback_sensor(spec, release["rollback"]),
            *retraining.cause_sensors(spec, decision),
            retraining.launch_sensor(spec, training),
        ],
    ).map_asset_specs(func=automated)
