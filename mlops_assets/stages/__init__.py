"""One file per stage of the lifecycle: the asset and its checks. STAGES is the flow in its order."""

from mlops_assets.stages.data.raw_data.asset import raw_data
from mlops_assets.stages.data.validated_data.asset import validated_data
from mlops_assets.stages.drift.asset import drift_report
from mlops_assets.stages.evaluation.asset import evaluation
from mlops_assets.stages.features.asset import features
from mlops_assets.stages.quality.asset import performance
from mlops_assets.stages.registry.asset import registered_version
from mlops_assets.stages.release.asset import deployed_endpoint
from mlops_assets.stages.retraining.asset import retrain_decision
from mlops_assets.stages.traffic.batch_predictions.asset import batch_predictions
from mlops_assets.stages.traffic.predictions.asset import predictions
from mlops_assets.stages.training.serving_model.asset import serving_model
from mlops_assets.stages.training.trained_model.asset import trained_model
from mlops_assets.stages.training_set.asset import training_set

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
