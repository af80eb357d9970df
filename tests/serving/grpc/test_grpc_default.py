"""The declared default as tensors, for every kind of model, and what it cannot give."""

import numpy as np
import pytest

from serving.doors.open_inference import answer_tensors
from serving.engine.answer import Answer
from serving.problems import InvalidInput, Unavailable
from tests.serving.graphs import contract, number


def given(kind: str, default: dict) -> Answer:
    stamp = ("1-0-1.0", "delay", "default", "default", "none", 1, True, ("champion: broken",), ())
    return Answer(*stamp, contract([number("distance")], kind=kind), 2, None, default)


@pytest.mark.parametrize(
    ("kind", "default", "expected"),
    [
        ("binary", {"probability": 0.25, "label": "no"}, [[0.25, 0.25], ["no", "no"]]),
        ("binary", {"probability": 0.25}, [[0.25, 0.25]]),
        ("regression", {"value": 3, "note": "not an output"}, [[3, 3]]),
        ("multiclass", {"probabilities": [0.5, 0.25, 0.25]}, [[[0.5, 0.25, 0.25]] * 2]),
        ("multiclass", {"probabilities": {"c": 0, "a": 1, "b": 0}, "label": "a"}, [[[1, 0, 0]] * 2, ["a", "a"]]),
    ],
)
def test_a_default_is_repeated_for_each_row(kind, default, expected):
    tensors = answer_tensors(given(kind, default), [])
    assert [np.asarray(tensor.values).tolist() for tensor in tensors] == expected
    assert all(list(np.shape(tensor.values)) == tensor.shape for tensor in tensors)


@pytest.mark.parametrize(
    ("kind", "default", "names", "says"),
    [
        ("binary", {"probability": 0.25}, ["label"], "the declared default has no label"),
        ("binary", {"label": "no", "probability": "low"}, [], "probability is no FP32"),
        ("multiclass", {"probabilities": [0.5, 0.5]}, [], r"probabilities is no FP32 \[3\]"),
        ("regression", {"note": "nothing"}, [], "names no output"),
    ],
)
def test_what_a_default_cannot_give_is_unavailable_and_told(kind, default, names, says):
    with pytest.raises(Unavailable, match=says) as caught:
        answer_tensors(given(kind, default), names)
    assert "champion: broken" in str(caught.value)


def test_an_output_that_the_model_has_not_is_the_callers_mistake():
    with pytest.raises(InvalidInput, match="odds"):
        answer_tensors(given("binary", {"probability": 0.25}), ["odds"])
