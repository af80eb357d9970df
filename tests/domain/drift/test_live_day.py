"""A day of the log as counts: who answered, what each version was asked and said, an even sample."""

import json

import numpy as np
import pyarrow as pa
import pytest

from mlops_assets.declaration.data import Kind
from mlops_assets.domain.drift.live_day import (
    AnswerCounts,
    BundleCounts,
    BundleReference,
    LiveDay,
    RowSampler,
    count_day,
    find_vectors,
    sketch_labels,
)
from mlops_assets.domain.drift.reference import CHOSEN, CONFIDENCE, LABEL, PREDICTION, read_profile
from mlops_assets.domain.drift.sketch import CategorySketch, NumberSketch
from mlops_assets.domain.traffic.row_loss import LabelSpace
from mlops_assets.training.profile import describe_number
from tests.kit.watching import profile_of

DRAW = np.random.default_rng(0)
NUMBERS, WORDS = {"x": DRAW.normal(size=800)}, {"c": DRAW.choice(["a", "b"], 800).astype(object)}
AGAINST = BundleReference(read_profile(profile_of(NUMBERS, WORDS)), LabelSpace(Kind.BINARY, ("no", "yes"), None))


def piece(rows: int, bundle: str = "one", *, role: str | None = "champion", answer: float = 0.5) -> pa.Table:
    features = pa.StructArray.from_arrays([np.arange(rows, dtype=float), pa.array(["a"] * rows)], ["x", "c"])
    return pa.table(
        {
            "version": [bundle + ".0"] * rows,
            "bundle": [bundle] * rows,
            "role": pa.array([role] * rows, pa.string()),
            "answer": pa.array([[answer]] * rows, pa.list_(pa.float64())),
            "features": features,
        }
    )


def counted(*pieces: pa.Table, most: int = 100, **against: BundleReference) -> tuple[LiveDay, pa.Table]:
    answered = AnswerCounts.of(pieces)
    rows = next(iter(answered.bundles.values()))[1]
    return count_day(pieces, answered, against or {"one": AGAINST}, RowSampler(rows, most, 0))


def number(day: LiveDay, bundle: str = "one", column: str = "x") -> NumberSketch:
    found = day.bundles[bundle].features.columns[column]
    assert isinstance(found, NumberSketch)
    return found


def test_versions_are_counted_without_shadows_and_defaults():
    found = AnswerCounts.of([piece(3), piece(5, "two"), piece(9, "two", role="shadow"), piece(2, "default"), piece(1)])
    assert list(found.bundles.items()) == [("two", ("two.0", 5)), ("one", ("one.0", 4))]
    assert found.default == 2


def test_rows_without_a_role_count():
    """An older log has no roles; in a day with a newer one beside it they are null."""
    assert AnswerCounts.of([piece(3, role=None), piece(2).drop_columns(["role"])]).rows == {("one.0", "one"): 5}


def test_each_version_is_counted_by_itself():
    mixed = pa.concat_tables([piece(30), piece(20, "two"), piece(50, "one", role="shadow")])
    day, _ = counted(mixed, one=AGAINST, two=AGAINST)
    assert (number(day, "one").rows, number(day, "two").rows) == (30, 20)
    predictions = day.bundles["one"].predictions.columns[PREDICTION]
    assert predictions.rows == 30


def test_pieces_add_up_to_what_they_are_together():
    apart, sample = counted(piece(40), piece(60), most=1_000)
    whole, _ = counted(pa.concat_tables([piece(40), piece(60)]), most=1_000)
    assert json.dumps(apart.to_plain()) == json.dumps(whole.to_plain())
    assert sample.column_names == ["x", "c"]
    assert len(sample) == 100


def test_days_add_up_and_come_back_from_json():
    one, _ = counted(piece(40))
    other, _ = counted(piece(60, "two"), piece(50), two=AGAINST, one=AGAINST)
    both = LiveDay.from_plain(json.loads(json.dumps((one + other).to_plain())))
    assert (number(both, "one").rows, number(both, "two").rows) == (90, 60)
    assert both.answered.rows == {("one.0", "one"): 90, ("two.0", "two"): 60}


def test_a_sample_is_even_bounded_and_the_same_each_time():
    def drawn() -> list[int]:
        taken = RowSampler(1_000, 100, seed=3)
        pieces = [pa.table({"n": np.arange(begin, begin + 250)}) for begin in range(0, 1_000, 250)]
        return [n for each in pieces for n in taken.take(each)["n"].to_pylist()]

    found = drawn()
    assert found == drawn() == sorted(set(found))
    assert len(found) == 100
    assert all(10 <= sum(begin <= n < begin + 250 for n in found) <= 40 for begin in range(0, 1_000, 250))


def test_multiclass_answers_count_class_and_confidence():
    classes = {"rows": 4, "chosen": {"a": 2, "b": 1, "c": 1}, "confidence": describe_number(np.linspace(0.4, 1, 50))}
    against = BundleReference(
        read_profile(profile_of(NUMBERS, WORDS, scores=classes)), LabelSpace(Kind.MULTICLASS, ("a", "b", "c"), None)
    )
    rows = piece(2)
    answers = pa.array([[0.1, 0.2, 0.7], [0.6, 0.3, 0.1]], pa.list_(pa.float64()))
    day, _ = counted(rows.set_column(rows.schema.get_field_index("answer"), "answer", answers), one=against)
    chosen = day.bundles["one"].predictions.columns[CHOSEN]
    sure = day.bundles["one"].predictions.columns[CONFIDENCE]
    assert isinstance(chosen, CategorySketch)
    assert chosen.counts.tolist() == [1, 0, 1]
    assert sure.rows == 2


@pytest.mark.parametrize(
    ("judged", "said", "rows"),
    [
        (LabelSpace(Kind.BINARY, ("no", "yes"), None), ['"yes"', '"no"', "?", "true"], 3),
        (LabelSpace(Kind.REGRESSION, (), 1.0), ["1.5", '"2"', "much"], 2),
    ],
)
def test_outcomes_that_are_not_understood_are_left_out(judged, said, rows):
    label = describe_number(np.arange(9.0)) if judged.kind is Kind.REGRESSION else {"rows": 9, "counts": {"no": 8}}
    against = BundleReference(read_profile(profile_of(NUMBERS, label=label)), judged)
    assert sketch_labels(pa.array(said), against).columns[LABEL].rows == rows


def test_numbered_columns_are_a_vector_where_none_is_missing():
    parts = [f"text_{place}" for place in range(12)]
    assert find_vectors([*reversed(parts), "age", "lag_1", "lag_2"]) == {"text": tuple(parts)}
    assert find_vectors([*parts[:4], *parts[5:]]) == {}
    assert find_vectors([f"v_0{place}" for place in range(9)]) == {}


def test_nothing_is_counted_of_nothing():
    assert BundleCounts("1").features.rows == 0
    assert LiveDay.from_plain(LiveDay(AnswerCounts({}, 0)).to_plain()).bundles == {}
