"""The tags that MLflow keeps of runs and versions: their names, what they say of a version, and no secrets in them."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter

from mlops_assets.domain.registry.versions import Bump, Candidate, VersionFacts

HIDDEN = "***"
SECRET_IN_URL = re.compile(r"(?<=://)[^/\s@]+@")
_SECRET_NAME = re.compile(r"pass(word|wd|phrase)|secret|token|api_?key|credential|private_?key", re.IGNORECASE)
_FACTS = TypeAdapter(VersionFacts)


class Tag(StrEnum):
    """Names of the tags on runs, logged models and versions."""

    KEY = "mlops.key"
    MODEL = "mlops.model"
    BUNDLE = "mlops.bundle"
    SEMANTIC = "mlops.semantic"
    TRAINING_SET = "mlops.training_set"
    FEATURE_SERVICE = "mlops.feature_service"
    FACTS = "mlops.facts"
    METRIC = "mlops.metric"
    SCORE = "mlops.score"
    VERSION = "mlops.version"
    STATE = "mlops.state"
    LEDGER = "mlops.ledger"  # "<sequence>:<hash>" of the entry that decided the version's state
    DAGSTER_RUN = "dagster.run_id"
    DAGSTER_URL = "dagster.run_url"
    COMMIT = "mlflow.source.git.commit"
    PARENT = "mlflow.parentRunId"


def version_tags(candidate: Candidate, bump: Bump) -> dict[str, str]:
    """What a version says of itself, from which `VersionInfo` is read again."""
    return {
        **redacted(candidate.tags),
        Tag.BUNDLE: candidate.bundle,
        Tag.SEMANTIC: bump.semantic,
        Tag.TRAINING_SET: candidate.training_set,
        Tag.FEATURE_SERVICE: candidate.facts.service,
        Tag.METRIC: candidate.metric,
        Tag.SCORE: repr(float(candidate.score)),
        Tag.FACTS: _facts_to_text(candidate.facts),
    }


def redacted(values: Mapping[str, Any]) -> dict[str, str]:
    """The values as text, without what names itself a secret and without the credentials of URLs."""
    return {
        name: HIDDEN if _SECRET_NAME.search(name) else SECRET_IN_URL.sub(f"{HIDDEN}@", str(value))
        for name, value in values.items()
    }


def facts_from_text(text: str) -> VersionFacts:
    return _FACTS.validate_json(text)


def _facts_to_text(facts: VersionFacts) -> str:
    return json.dumps(asdict(facts), sort_keys=True, separators=(",", ":"))
