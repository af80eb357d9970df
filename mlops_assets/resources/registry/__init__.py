"""MLflow, kept quiet: it reads these variables when it is imported, so they are set before any file of this room is."""

import os

os.environ.update(
    MLFLOW_DISABLE_TELEMETRY="true",
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false",
    MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT="true",
)
