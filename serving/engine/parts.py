"""Divides the rows of one request among the arms that their own keys lead to, and puts the answers back together.

One person gets one version, also in the company of others. Bandits draw once for a request: no person has an arm.
"""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import numpy as np

from serving.contract.release import BANDITS
from serving.engine.answer import Answer, AnswerPart
from serving.models.served_models import ServedArm, ServedModel
from serving.rows.row_shapes import RequestRows


class RowPart(NamedTuple):
    """Rows of a request that belong together, by their places in it."""

    arm: ServedArm
    places: list[int]


def is_divisible(served: ServedModel, rows: RequestRows) -> bool:
    """Whether the rows may belong to several arms: there are several of both, and keys decide."""
    return served.only is None and len(rows) > 1 and served.shares_keys and served.release.strategy not in BANDITS


def divide_rows(served: ServedModel, keys: Sequence[str], draw: Random) -> tuple[list[RowPart], list[RowPart]]:
    """The rows of each arm that answers, and those that shadows get a copy of; nothing where rows have no keys."""
    choices = {key: served.route(key, None, draw) for key in dict.fromkeys(keys)}
    answering: dict[str, list[int]] = {}
    copied: dict[str, list[int]] = {}
    for place, key in enumerate(keys):
        choice = choices[key]
        answering.setdefault(choice.arm.name, []).append(place)
        if choice.shadow is not None:
            copied.setdefault(choice.shadow.name, []).append(place)
    return _parts(served, answering), _parts(served, copied)


def _parts(served: ServedModel, places: dict[str, list[int]]) -> list[RowPart]:
    return [RowPart(served.arms[name], found) for name, found in places.items()]


def row_keys(rows: RequestRows, entity: Sequence[str]) -> list[str]:
    """The routing key of each row, its entity keys; none where they are not there."""
    entities = rows.entities(entity)
    return ["\x1f".join(map(str, values)) for values in zip(*entities.values(), strict=True)] if entities else []


def combine_answers(request_id: str, parts: Sequence[AnswerPart]) -> Answer:
    """One answer to all rows; each part keeps its own version's words."""
    answers = [part.answer for part in parts]
    first = answers[0]
    return first._replace(
        request_id=request_id,
        version=_listed([answer.version for answer in answers]),
        arm=_listed([answer.arm for answer in answers]),
        provider=_listed([answer.provider for answer in answers]),
        degraded=any(answer.degraded for answer in answers),
        why=tuple(dict.fromkeys(reason for answer in answers for reason in answer.why)),
        notes=tuple(dict.fromkeys(note for answer in answers for note in answer.notes)),
        rows=sum(answer.rows for answer in answers),
        scores=_merged_scores(parts),
        parts=tuple(parts),
    )


def _listed(names: Sequence[str]) -> str:
    return ",".join(dict.fromkeys(names))


def _merged_scores(parts: Sequence[AnswerPart]) -> np.ndarray | None:
    """The scores in the order of the rows; None for the declared default, or where versions tell classes apart."""
    scores = [part.answer.scores for part in parts]
    kinds = {(part.answer.contract.kind, part.answer.contract.classes) for part in parts}
    if len(kinds) > 1 or any(each is None for each in scores):
        return None
    whole = np.concatenate([each for each in scores if each is not None])
    merged = np.empty_like(whole)
    merged[np.concatenate([part.places for part in parts])] = whole
    return merged
