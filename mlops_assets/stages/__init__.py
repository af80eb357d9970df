"""One file per stage of the lifecycle: the asset and its checks. STAGES is the flow in its order."""

from mlops_assets.stages.batch_predictions import batch_predictions
from mlops_assets.stages.deployed_endpoint import deployed_endpoint
from mlops_assets.stages.drift_report import drift_report
from mlops_assets.stages.evaluation import evaluation
from mlops_assets.stages.features import features
from mlops_assets.stages.performance import performance
from mlops_assets.stages.predictions import predictions
from mlops_assets.stages.raw_data import raw_data
from mlops_assets.stages.registered_version import registered_version
from mlops_assets.stages.retrain_decision import retrain_decision
from mlops_assets.stages.serving_model import serving_model
from mlops_assets.stages.trained_model import trained_model
from mlops_assets.stages.training_set import training_set
from mlops_assets.stages.validated_data import validated_data

STAGES = (
    raw_data,
    validated_data,
    features,
    training_set,
    trained_model,
    serving_model,
    evaluation,
    registered_version,
    deployed_endpoint,
    batch_predictions,
    predictions,
    performance,
    drift_report,
    retrain_decision,
)
