"""The pictures of drift, by what they are drawn from."""

from io import BytesIO

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from mlops_assets.domain.drift.reference import CategoryReference, NumberReference
from mlops_assets.domain.drift.sketch import CategorySketch, NumberSketch, Sketch
from mlops_assets.resources.plots.drift import _below, draw_category_change, draw_drift_by_day, draw_number_change
from tests.kit.watching import reference_of

DRAW = np.random.default_rng(0)


def size(png: bytes) -> tuple[int, int]:
    return Image.open(BytesIO(png)).size


def number(training: np.ndarray, live: np.ndarray) -> tuple[NumberReference, NumberSketch]:
    reference = reference_of({"x": training}).features
    found, known = Sketch.of(pa.table({"x": live}), reference).columns["x"], reference["x"]
    assert isinstance(known, NumberReference)
    assert isinstance(found, NumberSketch)
    return known, found


def test_shares_up_to_a_place_are_those_of_the_rows():
    training = np.concatenate([np.zeros(4_000), DRAW.exponential(1, 6_000)])
    live = np.concatenate([np.zeros(500), DRAW.exponential(2, 500)])
    reference, sketch = number(training, live)
    places = np.linspace(-1, 6, 50)
    for cells, rows in ((reference.cells, training), (sketch.cells, live)):
        true = np.array([(rows <= place).mean() for place in places])
        assert np.abs(_below(reference.edges, cells, places) - true).max() < 0.01


@pytest.mark.parametrize(
    ("training", "live"),
    [
        (DRAW.normal(size=900), DRAW.normal(3, 1, 700)),
        (np.ones(900), DRAW.normal(size=700)),
        (DRAW.normal(size=900), np.full(700, np.nan)),
        (DRAW.normal(size=900), np.full(700, np.inf)),
    ],
)
def test_any_number_can_be_drawn(training, live):
    assert size(draw_number_change("x_$1", *number(training, live)))[0] == 900


def test_many_categories_are_drawn_as_the_few_that_changed_most():
    words = np.array([f"value {place}" for place in range(500)], dtype=object)
    reference = reference_of({"x": np.ones(5_000)}, {"c": DRAW.choice(words, 5_000)}).features
    found = Sketch.of(pa.table({"x": np.ones(700), "c": ["new"] * 700}), reference).columns["c"]
    known = reference["c"]
    assert isinstance(known, CategoryReference)
    assert isinstance(found, CategorySketch)
    width, height = size(draw_category_change("c", known, found))
    assert width == 900
    assert height < 700


@pytest.mark.parametrize("days", [1, 31])
def test_days_without_numbers_are_drawn_beside_the_others(days):
    found = {f"2024-01-{day:02d}": {"x": 0.4, "y": 2.0} if day % 2 else {} for day in range(1, days + 1)}
    assert size(draw_drift_by_day(found, {"2024-01-01": ["y", "not there"]}))[0] == 900
