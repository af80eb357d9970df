"""A request after routing, and what scoring made of it: the records that the engine's parts pass on."""

from typing import NamedTuple

import numpy as np

from serving.models.served_models import ServedArm, ServedModel
from serving.rows.reader import Packed
from serving.rows.row_shapes import RequestRows


class RoutedRequest(NamedTuple):
    """Rows with the arm that is to answer them."""

    served: ServedModel
    arm: ServedArm
    rows: RequestRows  # as they came
    key: str | None  # None: each row's own entity keys
    request_id: str
    began: float
    until: float
    is_routed: bool  # by the release; False: the caller named the version
    places: list[int] | None = None  # of the rows in their request; None: they are all of it


ScoredParts = tuple[RequestRows, Packed | None, np.ndarray | None, ServedArm | None, tuple[str, ...]]


class Scored(NamedTuple):
    """Rows with their scores. Without an arm and scores the declared default answers."""

    rows: RequestRows  # with features that were looked up
    packed: Packed | None
    scores: np.ndarray | None
    gave: ServedArm | None
    why: tuple[str, ...]  # of the degradation
