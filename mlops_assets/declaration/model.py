"""The whole declaration of one model."""

from typing import Annotated, TypeVar

from pydantic import ConfigDict, Field, ValidationInfo, field_validator
from pydantic.json_schema import SkipJsonSchema

from mlops_assets.declaration.data import Every, PartitionSpec, SourceSpec, TargetSpec
from mlops_assets.declaration.evaluation import METRICS, METRICS_IN_UNITS, FairnessSpec, GateSpec, SliceSpec
from mlops_assets.declaration.features import FeatureSpec
from mlops_assets.declaration.monitoring import MonitoringSpec, RetrainPolicy
from mlops_assets.declaration.release import Promotion, RolloutPolicy, ServingSpec
from mlops_assets.declaration.training import NetworkSpec, SearchSpec, TrainingSpec
from mlops_assets.declaration.validation import ValidationSpec
from mlops_assets.declaration.values import Choice, DeclaredPart, Items, Moment, text_like

Part = TypeVar("Part", bound=DeclaredPart)

_SMALL_LOSS = 0.02  # of a metric without a unit


class ModelSpec(DeclaredPart):
    """A model from its data to its answers in production. Fields that depend on others are filled in."""

    model_config = ConfigDict(populate_by_name=True)

    model: Annotated[
        str, text_like(r"^[a-z][a-z0-9_]*$", "a name of lower-case letters, digits and _ that begins with a letter")
    ] = Field(alias="name", description="The name of the model, which its assets, jobs and versions bear.")
    owner: str = Field(description="The owner: an e-mail address, or team:<name>.")
    purpose: str = Field(description="What the model is for, in a sentence that appears on the model card.")
    limits: str = Field(default="", description="Where the model must not be used.")
    ethics: str = Field(default="", description="Whom a wrong answer harms, and how.")
    replay: Moment | None = Field(
        default=None, description='The moment that counts as "now" at the start, for a model on data of the past.'
    )
    source: SourceSpec = Field(description="Where the data comes from.")
    partitions: PartitionSpec = Field(
        default_factory=lambda: PartitionSpec(every=Every.NONE),
        description="How the data is cut in time. Default: it is one snapshot.",
    )
    target: TargetSpec = Field(description="What the model predicts.")
    validation: ValidationSpec = Field(
        default_factory=ValidationSpec, validate_default=True, description="What the data has to look like."
    )
    features: FeatureSpec = Field(default_factory=FeatureSpec, description="What the model sees.")
    network: NetworkSpec = Field(default_factory=NetworkSpec, description="The architecture of the network.")
    training: TrainingSpec = Field(
        default_factory=TrainingSpec,
        validate_default=True,
        description="How the network is trained, on which rows.",
    )
    search: SearchSpec = Field(default_factory=SearchSpec, description="The search for better hyperparameters.")
    slices: Items[SliceSpec] = Field(default=(), description="The parts of the rows on which quality is guarded.")
    fairness: FairnessSpec = Field(default_factory=FairnessSpec, description="The groups that must be treated alike.")
    gates: GateSpec = Field(
        default_factory=GateSpec,
        validate_default=True,
        description="What a candidate has to show.",
    )
    serving: ServingSpec = Field(default_factory=ServingSpec, description="How the model is served.")
    promotion: Choice[Promotion] = Field(
        default=Promotion.AUTOMATIC,
        description="With automatic, a version that passes becomes champion; with manual, a person decides.",
    )
    rollout: RolloutPolicy = Field(
        default_factory=RolloutPolicy, description="How a new version gets its traffic, and what takes it back."
    )
    monitoring: MonitoringSpec = Field(
        default_factory=MonitoringSpec, description="What is watched of live answers, and when a change matters."
    )
    retraining: RetrainPolicy = Field(
        default_factory=RetrainPolicy, description="When the model is trained again without a person."
    )
    declared: SkipJsonSchema[str] = ""  # the digest of the declaration

    @field_validator("target")
    @classmethod
    def _fill_label_feed(cls, target: TargetSpec, info: ValidationInfo) -> TargetSpec:
        return _filled(target, feed=_examples(info))

    @field_validator("validation")
    @classmethod
    def _fill_feeds(cls, validation: ValidationSpec, info: ValidationInfo) -> ValidationSpec:
        feed = _examples(info)
        filled = tuple(_filled(expectation, feed=feed) for expectation in validation.expectations)
        return validation.model_copy(update={"expectations": filled})

    @field_validator("training")
    @classmethod
    def _fill_gap(cls, training: TrainingSpec, info: ValidationInfo) -> TrainingSpec:
        target = info.data.get("target")
        return training if target is None else _filled(training, gap=target.ripe_after)

    @field_validator("gates")
    @classmethod
    def _fill_gates(cls, gates: GateSpec, info: ValidationInfo) -> GateSpec:
        target = info.data.get("target")
        if target is None:
            return gates
        gates = _filled(gates, metric=METRICS[target.kind][0])
        return (
            gates
            if gates.metric in METRICS_IN_UNITS
            else _filled(gates, guard_loss=_SMALL_LOSS, anchor_loss=_SMALL_LOSS)
        )


def _examples(info: ValidationInfo) -> str | None:
    return info.data["source"].examples if "source" in info.data else None


def _filled(part: Part, **defaults: object) -> Part:
    """The part with these values where it has none."""
    return part.model_copy(update={name: value for name, value in defaults.items() if getattr(part, name) is None})
