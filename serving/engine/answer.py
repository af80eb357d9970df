"""What the engine gives back, the same for every door: scores and the stamp that says where they come from."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from serving.contract.fields import Contract

DEFAULT = "default"  # arm and version of an answer that no model gave


class Answer(NamedTuple):
    """Predictions for all rows of one request."""

    request_id: str
    model: str
    version: str
    arm: str
    provider: str  # cpu, cuda, or none for a default answer
    generation: int
    degraded: bool
    why: tuple[str, ...]  # of the degradation
    notes: tuple[str, ...]  # what was odd about the rows
    contract: Contract
    rows: int
    scores: np.ndarray | None  # probability [n], probabilities [n, k] or value [n]; None: `default` for each row
    default: Mapping[str, Any] | None


def list_predictions(answer: Answer) -> list[Any]:
    """One object for each row, as JSON tells it."""
    if answer.scores is None:
        return [dict(answer.default or {})] * answer.rows
    return describe_scores(answer.contract, answer.scores)


def describe_scores(contract: Contract, scores: np.ndarray) -> list[dict[str, Any]]:
    """Scores in the words of the contract: probability and label, or value."""
    if contract.kind == "regression":
        return [{"value": value} for value in scores.tolist()]
    classes = contract.classes
    if contract.kind == "binary":
        limit = 0.5 if contract.threshold is None else contract.threshold
        return [{"probability": p, "label": classes[p >= limit]} for p in scores.tolist()]
    return [_of_classes(classes, row) for row in scores.tolist()]


def list_labels(contract: Contract, scores: np.ndarray) -> list[str] | None:
    """The class of each row; None for a regression."""
    if contract.kind == "regression":
        return None
    if contract.kind == "binary":
        limit = 0.5 if contract.threshold is None else contract.threshold
        return [contract.classes[int(p >= limit)] for p in scores.tolist()]
    return [contract.classes[i] for i in scores.argmax(axis=1).tolist()]


def _of_classes(classes: Sequence[str], row: Sequence[float]) -> dict[str, Any]:
    best = max(range(len(row)), key=row.__getitem__)
    return {"label": classes[best], "probabilities": dict(zip(classes, row, strict=True))}
