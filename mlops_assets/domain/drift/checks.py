"""Names of the checks on a watched day. Light: assets declare checks at load."""

DRIFT_ALARM = "drift_alarm"
INPUT_QUALITY = "input_quality"
