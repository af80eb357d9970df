"""What the engine gives back, the same for every door: scores and the stamp that says where they come from."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from serving.contract.fields import Contract
from serving.problems import InvalidInput

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
    parts: "tuple[AnswerPart, ...]" = ()  # where rows belong to several arms


class AnswerPart(NamedTuple):
    """The answer to some rows of a request, by one arm."""

    places: Sequence[int]
    answer: Answer


def list_predictions(answer: Answer) -> list[Any]:
    """One object for each row, as JSON tells it."""
    if answer.parts:
        return _in_order(answer, [list_predictions(part.answer) for part in answer.parts])
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


def list_by_row(answer: Answer, field: str) -> list[str]:
    """The arm or the version of each row."""
    return _in_order(answer, [[getattr(part.answer, field)] * part.answer.rows for part in answer.parts])


def _in_order(answer: Answer, of_parts: Sequence[Sequence[Any]]) -> list[Any]:
    """Values of the parts in the order of the rows."""
    whole: list[Any] = [None] * answer.rows
    for part, values in zip(answer.parts, of_parts, strict=True):
        for place, value in zip(part.places, values, strict=True):
            whole[place] = value
    return whole


def answer_scores(answer: Answer) -> np.ndarray | None:
    """The scores of all rows as one array; None: the declared default. InvalidInput where classes differ."""
    if answer.scores is None and answer.default is None:
        raise InvalidInput(
            f"the rows belong to versions with other classes ({answer.version}); request them as JSON, or one at a time"
        )
    return answer.scores


def list_labels(answer: Answer) -> list[str] | None:
    """The class of each row; None for a regression."""
    if answer.parts:
        labels = [list_labels(part.answer) for part in answer.parts]
        return None if None in labels else _in_order(answer, [each for each in labels if each is not None])
    contract, scores = answer.contract, answer.scores
    if scores is None:
        return None
    if contract.kind == "regression":
        return None
    if contract.kind == "binary":
        limit = 0.5 if contract.threshold is None else contract.threshold
        return [contract.classes[int(p >= limit)] for p in scores.tolist()]
    return [contract.classes[i] for i in scores.argmax(axis=1).tolist()]


def _of_classes(classes: Sequence[str], row: Sequence[float]) -> dict[str, Any]:
    best = max(range(len(row)), key=row.__getitem__)
    return {"label": classes[best], "probabilities": dict(zip(classes, row, strict=True))}
