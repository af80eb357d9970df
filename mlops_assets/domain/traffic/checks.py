"""The names of the checks on what the endpoint answered. Light: assets declare checks at load."""

KNOWN_VERSIONS, NO_REPEATED_ANSWERS, WHOLE_LOG = "known_versions", "no_repeated_answers", "whole_log"
