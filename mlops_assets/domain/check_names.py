"""The names of the checks on traffic, drift and quality. Light: assets declare checks while the code location loads."""

KNOWN_VERSIONS, NO_REPEATED_ANSWERS, WHOLE_LOG = "known_versions", "no_repeated_answers", "whole_log"
DRIFT_ALARM, INPUT_QUALITY = "drift_alarm", "input_quality"
QUALITY_HOLDS, LABELS_SOUND = "quality_holds", "labels_sound"
