"""How wrong each answer was, as one number a row: 0 is right, and a difference of 0.02 means about the same for all.

Classes: the squared error of the probabilities (Brier), halved for several classes, so that it lies in [0, 1].
Numbers: the squared error as part of the training target's variance; 1 is what always answering the mean costs.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlops_assets.declaration.data import Kind
from mlops_assets.domain.training_set.labels import OTHER

Array = NDArray[np.float64]

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_EXACT = 2.0**53


@dataclass(frozen=True)
class LabelSpace:
    """What has to be known of a version to say how wrong its answers are."""

    kind: Kind
    classes: tuple[str, ...]  # by index; for binary the second is the positive one
    variance: float | None  # of the training target; None: not known, so a regression cannot be judged

    @classmethod
    def of(cls, contract: Any, profile: Mapping[str, Any]) -> "LabelSpace":
        """From a bundle's contract and profile."""
        std = profile.get("label", {}).get("std")
        return cls(Kind(contract.kind), tuple(contract.classes), float(std) ** 2 if std else None)


def decode_labels(judged: LabelSpace, outcomes: pa.Array | pa.ChunkedArray) -> Array:
    """Outcomes as JSON texts → class indices or numbers; NaN where one is not understood."""
    if judged.kind is Kind.REGRESSION:
        bare = pc.utf8_trim(outcomes, characters='"')
        readable = pc.if_else(pc.match_substring_regex(bare, _NUMBER), bare, None)
        found = pc.cast(readable, pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
        return np.where(np.isfinite(found), found, np.nan)
    encoded = pc.dictionary_encode(outcomes)
    whole = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    indices = pc.fill_null(whole.indices, -1).to_numpy(zero_copy_only=False)
    known = np.array([*(_class_of(judged, text) for text in whole.dictionary.to_pylist()), np.nan])
    return known[indices]  # -1 is the NaN at the end


def normalise_outcomes(outcomes: pa.Array | pa.ChunkedArray) -> pa.ChunkedArray:
    """Outcomes as they are compared: 1, 1.0 and "1" are one; so are true and "true", as JSON or as text."""
    encoded = pc.dictionary_encode(outcomes)
    whole = encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded
    texts = pa.array([_text_of(_value_of(text)) for text in whole.dictionary.to_pylist()], pa.string())
    return pa.chunked_array([texts.take(whole.indices)])


def measure_losses(judged: LabelSpace, answers: pa.ListArray, truth: Array) -> Array:
    """The loss of each row; `answers` are those of the log, one number or one for each class."""
    if not len(answers):
        return np.empty(0)
    given = answers.flatten().to_numpy(zero_copy_only=False).reshape(len(answers), -1)
    if judged.kind is Kind.REGRESSION:
        if judged.variance is None:
            return np.full(len(given), np.nan)
        return np.square(given[:, 0] - truth) / judged.variance
    if judged.kind is Kind.BINARY:
        return np.square(given[:, 0] - truth)
    hit = truth[:, None] == np.arange(given.shape[1])
    return np.where(np.isnan(truth), np.nan, np.square(given - hit).sum(axis=1) / 2)


def _class_of(judged: LabelSpace, outcome: str) -> float:
    """The index of the class that the outcome names; for binary, true and 1 are yes, false and 0 are no."""
    value = _value_of(outcome)
    text = _text_of(value)
    if text in judged.classes:
        return float(judged.classes.index(text))
    if judged.kind is Kind.BINARY and isinstance(value, bool):
        return float(value)
    if judged.kind is Kind.BINARY and judged.classes[0] == OTHER:
        return 0.0  # whatever it is, it is not the positive value
    if judged.kind is Kind.BINARY and text in ("true", "1", "false", "0"):
        return float(text in ("true", "1"))
    return float("nan")


def _value_of(outcome: str) -> Any:
    try:
        return json.loads(outcome)
    except ValueError:
        return outcome


def _text_of(value: Any) -> str:
    """As classes are written: 1, 1.0 and "1" are one value; so are true and "true"."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return str(int(value))
    return str(value)
