"""The whole declaration of one model."""

from dataclasses import dataclass
from datetime import datetime

from mlops_assets.declaration.data import PartitionSpec, SourceSpec, TargetSpec, ValidationSpec
from mlops_assets.declaration.evaluation import FairnessSpec, GateSpec, SliceSpec
from mlops_assets.declaration.features import FeatureSpec
from mlops_assets.declaration.monitoring import MonitoringSpec, RetrainingSpec
from mlops_assets.declaration.release import Promotion, RolloutSpec, ServingSpec
from mlops_assets.declaration.training import NetworkSpec, SearchSpec, TrainingSpec


@dataclass(frozen=True)
class ModelSpec:
    model: str
    owner: str
    purpose: str
    limits: str
    ethics: str
    replay: datetime | None  # "now" for a model that lives in the past
    source: SourceSpec
    partitions: PartitionSpec
    target: TargetSpec
    validation: ValidationSpec
    features: FeatureSpec
    network: NetworkSpec
    training: TrainingSpec
    search: SearchSpec
    slices: tuple[SliceSpec, ...]
    fairness: FairnessSpec
    gates: GateSpec
    serving: ServingSpec
    promotion: Promotion
    rollout: RolloutSpec
    monitoring: MonitoringSpec
    retraining: RetrainingSpec
    declared: str  # digest of the YAML this came from
