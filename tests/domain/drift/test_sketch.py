"""Counts of a window: what they say equals what the rows would, they add up, and they stay small."""

import json
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import ks_2samp

from mlops_assets.domain.drift.distances import Aspect, compare_numbers
from mlops_assets.domain.drift.reference import NumberReference, ProfileError, read_profile
from mlops_assets.domain.drift.sketch import CategorySketch, NumberSketch, Sketch, sketch_from_plain, sketch_to_plain
from mlops_assets.domain.drift.window import judge_window
from mlops_assets.domain.verdict import Outcome
from tests.kit.watching import DRIFT, profile_of, reference_of, table_of

SHAPES = {
    "normal": lambda draw, n, shift: draw.normal(shift, 1, n),
    "heavy tail": lambda draw, n, shift: draw.lognormal(shift, 2, n),
    "half zeros": lambda draw, n, shift: np.where(draw.random(n) < 0.5 - shift / 5, 0, draw.exponential(1, n)),
    "few values": lambda draw, n, shift: draw.binomial(5, 0.4 + shift / 5, n).astype(float),
    "one value": lambda draw, n, shift: np.full(n, 3.0),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("shift", [0.0, 0.05, 0.5, 40.0])
def test_ks_lies_below_the_exact_one_by_no_more_than_stated(shape, shift):
    draw = np.random.default_rng(0)
    train, live = (SHAPES[shape](draw, *args) for args in ((20_000, 0), (5_000, min(shift, 2))))
    live = live + (shift if shift > 2 else 0)
    reference = reference_of({"x": train}).features["x"]
    assert isinstance(reference, NumberReference)
    found = compare_numbers(Aspect.FEATURE, "x", ref=reference, live=NumberSketch.of(live, reference), policy=DRIFT)
    distance, chance = np.array(ks_2samp(train, live, method="asymp"), dtype=float)
    assert reference.resolution <= 0.0011
    assert -1e-12 <= distance - found.numbers["ks"] <= reference.resolution
    assert found.numbers["p"] >= chance - 1e-3


def test_psi_is_that_of_the_rows():
    draw = np.random.default_rng(1)
    train, live = draw.normal(size=30_000), draw.normal(0.4, 1.2, 3_000)
    described = profile_of({"x": train})["numbers"]["x"]
    reference = reference_of({"x": train}).features["x"]
    assert isinstance(reference, NumberReference)
    edges = [-np.inf, *described["edges"], np.inf]
    shares = [np.histogram(values, edges)[0] / len(values) for values in (train, live)]
    by_hand = ((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum()
    found = compare_numbers(Aspect.FEATURE, "x", ref=reference, live=NumberSketch.of(live, reference), policy=DRIFT)
    assert found.numbers["psi"] == pytest.approx(by_hand, rel=1e-9)
    assert found.numbers["mean"] == pytest.approx(live.mean())
    assert found.numbers["std"] == pytest.approx(live.std())


def mixed(rows: int, seed: int) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    return {
        "x": np.where(draw.random(rows) < 0.1, np.nan, draw.normal(size=rows)),
        "n": draw.integers(0, 40, rows),
        "c": draw.choice(np.array(["a", "b", "", "zz"], dtype=object), rows),
    }


def trained(rows: int = 4_000) -> dict:
    columns = mixed(rows, 9)
    words = np.where(columns["c"] == "zz", "a", columns["c"])
    return profile_of({"x": columns["x"], "n": columns["n"].astype(float)}, {"c": words.astype(object)})


def same(one: Sketch, other: Sketch) -> bool:
    return json.dumps(_rounded(one), sort_keys=True) == json.dumps(_rounded(other), sort_keys=True)


def _rounded(sketch: Sketch) -> dict:
    plain = sketch_to_plain(sketch)
    for column in plain["columns"].values():
        column |= {key: round(float(column[key]), 3) + 0.0 for key in ("total", "squares") if key in column}
    return plain


@pytest.mark.parametrize("cuts", [[1], [10, 2_000], [500, 500, 2_999]])
def test_parts_in_any_order_add_up_to_the_whole(cuts):
    reference = read_profile(trained()).features
    rows = table_of(mixed(3_000, 2))
    bounds = [0, *cuts, 3_000]
    parts = [Sketch.of(rows.slice(a, b - a), reference) for a, b in pairwise(bounds)]
    whole = Sketch.of(rows, reference)
    assert same(sum(parts, Sketch()), whole)
    assert same(sum(reversed(parts), Sketch()), whole)
    assert same(sketch_from_plain(json.loads(json.dumps(sketch_to_plain(whole), allow_nan=False))), whole)


def test_a_sketch_of_more_rows_is_no_larger():
    reference = read_profile(trained()).features
    small, large = (Sketch.of(table_of(mixed(rows, 3)), reference) for rows in (1_000, 200_000))
    sizes = [
        sum(c.cells.nbytes if isinstance(c, NumberSketch) else c.counts.nbytes for c in sketch.columns.values())
        for sketch in (small, large)
    ]
    assert sizes[0] == sizes[1] < 100_000


def test_missing_infinite_and_far_away_numbers_are_told_apart():
    reference = reference_of({"x": np.arange(1_000.0)}).features["x"]
    assert isinstance(reference, NumberReference)
    live = NumberSketch.of(np.array([np.nan, np.inf, -np.inf, np.nan, -5, 5, 2_000, 999, 0]), reference)
    assert (live.rows, live.nulls, live.infinite, live.finite, live.outside) == (9, 2, 2, 5, 4)
    assert live.moments(reference)[0] == pytest.approx(np.mean([-5, 5, 2_000, 999, 0]))


def test_sums_beyond_a_float_do_no_harm():
    reference = reference_of({"x": np.array([1e308, -1e308, 1.0, 2.0])}).features["x"]
    assert isinstance(reference, NumberReference)
    sketch = NumberSketch.of(np.array([1.7e308, 1.7e308]), reference)
    assert sketch.finite == 2
    sketch.moments(reference)
    plain = sketch_to_plain(Sketch(2, {"x": sketch}, {"x": "double"}))
    assert sketch_from_plain(json.loads(json.dumps(plain, allow_nan=False))).columns["x"].rows == 2


def test_a_column_that_training_never_saw_filled():
    reference = reference_of({"x": np.full(100, np.nan)}).features["x"]
    assert isinstance(reference, NumberReference)
    live = NumberSketch.of(np.array([1.0, np.nan]), reference)
    assert (live.nulls, live.finite, live.outside) == (1, 1, 0)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, 2, 2, None, 7]),
        pa.array([1.0, 2.0, 2.0, None, 7.0]),
        pa.array(["1", "2", "2", "", "7"]),
        pa.array(["1", "2", "2", None, "7"]).dictionary_encode(),
    ],
)
def test_a_category_counts_whatever_type_brings_it(column):
    profile = reference_of({"x": np.zeros(4)}, {"c": np.array(["1", "2", "2", "3"], dtype=object)})
    found = Sketch.of(pa.table({"c": column}), {"c": profile.features["c"]}).columns["c"]
    assert isinstance(found, CategorySketch)
    assert dict(zip(profile.features["c"].values, found.counts, strict=True)) == {"2": 2, "1": 1, "3": 0}  # type: ignore[union-attr]
    assert (found.other, found.nulls, found.rows, found.strangers) == (1, 1, 5, ("7",))


def test_logged_rows_that_the_model_never_saw_are_left_out():
    reference = reference_of({"x": np.arange(9.0)}).features
    rows = pa.array([{"x": 1.0}, None, {"x": None}, None], pa.struct([("x", pa.float64())]))
    found = Sketch.of(rows, reference)
    assert (found.rows, found.columns["x"].rows, found.columns["x"].nulls) == (2, 2, 1)


def test_a_type_that_cannot_be_read_is_told_and_not_counted():
    reference = reference_of({"x": np.arange(9.0)}).features
    found = Sketch.of(pa.table({"x": ["1", "2"]}), reference) + Sketch.of(pa.table({"x": [1.0]}), reference)
    assert found.types == {"x": "double|string"}
    assert not found.columns


def test_sketches_against_two_bundles_do_not_add_up():
    one, other = (reference_of({"x": np.arange(rows, dtype=float)}).features for rows in (9, 5))
    with pytest.raises(ValueError, match="different references"):
        sum((Sketch.of(table_of({"x": np.ones(3)}), each) for each in (one, other)), Sketch())


@pytest.mark.parametrize(("values", "train"), [(3_000, 20_000), (3_000, 300_000), (900, 1_500), (10**7, 5_000)])
def test_many_rare_categories_do_not_drift_by_chance(values, train):
    """Of 3,000 equally frequent values the profile keeps the 1,000 that happened to be commonest."""
    draw = np.random.default_rng(4)
    words = draw.integers(values, size=train + 3_000).astype(str).astype(object)
    reference = reference_of({"x": np.zeros(9)}, {"c": words[:train]}).features
    live = Sketch.of(table_of({"x": np.zeros(3_000), "c": words[train:]}), reference)
    window = judge_window("w", {Aspect.FEATURE: (reference, live)}, DRIFT)
    assert window.outcome is Outcome.PASS, window.reason


@pytest.mark.parametrize("broken", [{"format": 1}, {"format": 2}, {"format": 2, "numbers": {"x": {}}}, {}])
def test_a_profile_of_another_format_is_refused_with_the_remedy(broken):
    with pytest.raises(ProfileError, match=r"format|cannot be read"):
        read_profile(broken)
