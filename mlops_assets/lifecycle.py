"""The component: one YAML file in, the whole life of a model out. Converts the declaration once; decides nothing."""

import hashlib
import re
from pathlib import Path

import dagster as dg
from dagster.components.scaffold.scaffold import Scaffolder, ScaffoldRequest, scaffold_with
from pydantic import Field

from mlops_assets import schema
from mlops_assets.automation import jobs, live_days, retraining, schedules
from mlops_assets.automation.conditions import automated, automation_sensor
from mlops_assets.automation.new_data import new_data_sensor
from mlops_assets.automation.release_jobs import release_jobs
from mlops_assets.automation.rollback import rollback_sensor
from mlops_assets.automation.rollout import rollout_sensor
from mlops_assets.declaration import data as data_records
from mlops_assets.declaration import evaluation as evaluation_records
from mlops_assets.declaration import features as features_records
from mlops_assets.declaration import release as release_records
from mlops_assets.declaration import training as training_records
from mlops_assets.declaration.contradictions import DeclarationError, check
from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.declaration.release import Promotion
from mlops_assets.stages import STAGES

_DEFAULT_METRIC = {Kind.BINARY: "auc", Kind.MULTICLASS: "accuracy", Kind.REGRESSION: "r2"}
_IN_UNITS = ("mae", "rmse")  # metrics for which no loss is small for everyone
_SMALL_LOSS = 0.02
_STARTER = Path(__file__).parent / "starter.yaml"


class LifecycleScaffolder(Scaffolder):
    """Writes a declaration to start from, with the usual fields and what they mean."""

    def scaffold(self, request: ScaffoldRequest) -> None:
        name = re.sub(r"\W+", "_", request.target_path.name).lower()
        target = request.target_path if request.append else request.target_path / "defs.yaml"
        text = _STARTER.read_text().replace("my_model", name)
        with target.open("a" if request.append else "w") as stream:
            stream.write(f"---\n{text}" if request.append else text)


@scaffold_with(LifecycleScaffolder)
class ModelLifecycle(dg.Component, dg.Resolvable, dg.Model):
    """A model from its data to answers in production, declared in one file."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_]*$", description="Name of the model: its assets, jobs and versions bear it."
    )
    owner: str = Field(description="An e-mail address, or team:<name>.")
    purpose: str = Field(description="What the model is for, in a sentence. Stands on the model card.")
    limits: str = Field(default="", description="Where it must not be used.")
    ethics: str = Field(default="", description="Whom a wrong answer harms, and how.")
    replay: schema.OptionalMoment = Field(
        default=None, description='For data of the past: the moment to take as "now" at the start.'
    )
    source: schema.Source = Field(description="Where data comes from.")
    partitions: schema.Partitions = Field(
        default_factory=lambda: schema.Partitions(every=data_records.Every.NONE),
        description="How data is cut in time.",
    )
    target: schema.Target = Field(description="What is predicted.")
    validation: schema.Validation = Field(default_factory=schema.Validation, description="What data must look like.")
    features: schema.Features = Field(default_factory=schema.Features, description="What the model sees.")
    network: schema.Network = Field(default_factory=schema.Network, description="The architecture.")
    training: schema.Training = Field(default_factory=schema.Training, description="Rows, schedule, device.")
    search: schema.Search = Field(default_factory=schema.Search, description="Hyperparameter search.")
    slices: list[schema.Slice] = Field(default=[], description="Parts on which quality is guarded.")
    fairness: schema.Fairness = Field(default_factory=schema.Fairness, description="Groups to treat alike.")
    gates: schema.Gates = Field(default_factory=schema.Gates, description="What a candidate must show.")
    serving: schema.Serving = Field(default_factory=schema.Serving, description="How it will be served.")
    promotion: Promotion = Field(
        default=Promotion.AUTOMATIC,
        description="automatic: a version that passes becomes champion. manual: a person says so.",
    )
    rollout: schema.Rollout = Field(
        default_factory=schema.Rollout, description="How a new version gets its traffic, and what takes it back."
    )
    monitoring: schema.Monitoring = Field(
        default_factory=schema.Monitoring, description="What is watched of live answers, and when it counts."
    )
    retraining: schema.Retraining = Field(
        default_factory=schema.Retraining, description="When it is trained again without a person."
    )

    def spec(self, root: Path) -> ModelSpec:
        """The frozen record of this declaration; paths start at `root`. Every contradiction is reported at once."""
        source = schema.source_record(self.source, str(root))
        feed = self.target.feed or source.examples
        training = schema.record(
            training_records.TrainingSpec, self.training, gap=self.training.gap or self.target.known_after
        )
        validation = schema.record(
            data_records.ValidationSpec,
            self.validation,
            expectations=[schema.expectation_record(e, source.examples) for e in self.validation.expectations],
        )
        positive = None if self.target.positive is None else schema.as_text(self.target.positive)
        metric = self.gates.metric or _DEFAULT_METRIC[self.target.kind]
        space = {name: schema.record(training_records.Dimension, axis) for name, axis in self.search.space.items()}
        return check(
            schema.record(
                ModelSpec,
                self,
                model=self.name,
                source=source,
                partitions=schema.record(data_records.PartitionSpec, self.partitions),
                target=schema.record(data_records.TargetSpec, self.target, feed=feed, positive=positive),
                validation=validation,
                features=schema.record(features_records.FeatureSpec, self.features),
                network=schema.record(training_records.NetworkSpec, self.network),
                training=training,
                search=schema.record(training_records.SearchSpec, self.search, space=space),
                slices=[schema.record(evaluation_records.SliceSpec, part) for part in self.slices],
                fairness=schema.record(evaluation_records.FairnessSpec, self.fairness),
                gates=self._gates(metric),
                serving=schema.record(release_records.ServingSpec, self.serving),
                rollout=schema.rollout_record(self.rollout),
                monitoring=schema.monitoring_record(self.monitoring),
                retraining=schema.retraining_record(self.retraining),
                declared=hashlib.sha256(self.model_dump_json().encode()).hexdigest(),
            )
        )

    def _gates(self, metric: str) -> evaluation_records.GateSpec:
        declared = {"guard_loss": self.gates.guard_loss, "anchor_loss": self.gates.anchor_loss}
        if missing := [name for name, value in declared.items() if value is None and metric in _IN_UNITS]:
            raise DeclarationError(
                f"{self.name}: {metric} is in the target's own unit: declare gates.{' and gates.'.join(missing)}"
            )
        losses = {name: _SMALL_LOSS if value is None else value for name, value in declared.items()}
        return schema.record(evaluation_records.GateSpec, self.gates, metric=metric, **losses)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        return lifecycle_of(self.spec(context.project_root))


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
