"""Every name that two modules share: stages, layers of the lake, aliases, tags. No string literal twice."""

from enum import StrEnum


class Stage(StrEnum):
    """The assets of a model, in the order of the flow. An asset's key is `[model, stage]`."""

    RAW_DATA = "raw_data"
    VALIDATED_DATA = "validated_data"
    FEATURES = "features"
    TRAINING_SET = "training_set"
    TRAINED_MODEL = "trained_model"
    SERVING_MODEL = "serving_model"
    EVALUATION = "evaluation"
    REGISTERED_VERSION = "registered_version"
    DEPLOYED_ENDPOINT = "deployed_endpoint"
    BATCH_PREDICTIONS = "batch_predictions"
    PREDICTIONS = "predictions"
    PERFORMANCE = "performance"
    DRIFT_REPORT = "drift_report"
    RETRAIN_DECISION = "retrain_decision"


DATA_STAGES = (Stage.RAW_DATA, Stage.VALIDATED_DATA, Stage.FEATURES)
TRAINING_STAGES = (
    Stage.TRAINING_SET,
    Stage.TRAINED_MODEL,
    Stage.SERVING_MODEL,
    Stage.EVALUATION,
    Stage.REGISTERED_VERSION,
)


class Layer(StrEnum):
    """The first folder under a model in the lake."""

    RAW = "raw"
    VALIDATED = "validated"
    QUARANTINE = "quarantine"
    FEATURES = "features"
    TRAINING_SETS = "training_sets"
    MODELS = "models"
    EVALUATIONS = "evaluations"
    PREDICTIONS = "predictions"
    BATCH_PREDICTIONS = "batch_predictions"
    MONITORING = "monitoring"
    RECORDS = "records"


def training_set_path(model: str, digest: str) -> str:
    """The folder of a training set, relative to the lake."""
    return f"{model}/{Layer.TRAINING_SETS}/{digest}"


class Alias(StrEnum):
    """Names in the model registry that move; each is resolved once, at the border."""

    CHALLENGER = "challenger"
    CHAMPION = "champion"
    ANCHOR = "anchor"
    SHADOW = "shadow"
    ARCHIVED = "archived"


MODEL_TAG = "mlops/model"  # of runs and assets
TRAINING_TAG = "mlops/training"  # dagster.yaml lets one run at a time have the same value
CAUSE_TAG = "mlops/cause"  # of a run that was asked for: one cause, one run
MODEL_TIME_TAG = "mlops/model_time"  # of a training: when it was decided on, in the model's time
SNAPSHOT = "all"  # the only partition of a table without partitions
EVENT_TIME = "event_timestamp"  # of a feature row
CREATED_TIME = "created_timestamp"  # when a feature row became known
ROW_KEY = "row_id"  # the key of a row that has none of its own
LABEL = "label"  # the target in a training set, as number
RAW_LABEL = "_outcome"  # the target beside it, as it came
REASONS = "quarantine_reasons"


def training_job(model: str) -> str:
    """The job that trains; its runs are what cooldown and budget count."""
    return f"{model}_train"


def retrain_sensor(model: str) -> str:
    """The sensor that launches a training that was decided on: the switch for all of them."""
    return f"{model}_retrain"


def cause_sensor(model: str, cause: str) -> str:
    """The sensor that looks for one cause: the switch for that cause."""
    return f"{model}_{cause}"
