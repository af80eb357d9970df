"""Labels: which examples have one, and as which number."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from mlops_assets.declaration.data import AbsentOutcome, Kind
from mlops_assets.domain.names import CREATED_TIME, EVENT_TIME, LABEL
from mlops_assets.domain.training_set import labels
from mlops_assets.domain.training_set.labels import LabelError

START = datetime(2024, 1, 1, tzinfo=UTC)
STAMP = pa.timestamp("us", tz="UTC")


def at(*hours: int) -> pa.Array:
    return pa.array([START + timedelta(hours=h) for h in hours], STAMP)


def examples(*hours: int) -> pa.Table:
    return pa.table({"id": list(range(len(hours))), EVENT_TIME: at(*hours)})


def outcomes(known: dict[int, tuple[int, object]]) -> pa.Table:
    """id → (hour at which it became known, outcome)"""
    return pa.table(
        {
            "id": list(known),
            CREATED_TIME: at(*(hour for hour, _ in known.values())),
            "late": [value for _, value in known.values()],
        }
    )


def test_an_example_gets_the_outcome_that_is_known_by_now():
    rows, left_out = labels.attach(
        examples(0, 1, 2),
        outcomes({0: (5, True), 1: (50, False)}),
        keys=["id"],
        column="late",
        known_by=START + timedelta(hours=10),
        ripe_by=START + timedelta(hours=9),
    )
    assert rows["id"].to_pylist() == [0]
    assert left_out == {"label not ripe": 0, "label never came": 2}


def test_outcomes_that_come_early_do_not_favour_recent_examples():
    rows, left_out = labels.attach(
        examples(0, 8),
        outcomes({0: (1, True), 1: (8, False)}),
        keys=["id"],
        column="late",
        known_by=START + timedelta(hours=10),
        ripe_by=START + timedelta(hours=6),
    )
    assert rows["id"].to_pylist() == [0]
    assert left_out["label not ripe"] == 1


CHURN = AbsentOutcome("negative", timedelta(hours=4))


def test_no_outcome_in_time_means_what_is_declared():
    """Only as far as the latest outcome shows that they still came."""
    rows, left_out = labels.attach(
        examples(0, 1, 2, 8),
        outcomes({0: (1, 1), 3: (9, 1), 7: (5, 1)}),
        keys=["id"],
        column="late",
        known_by=START + timedelta(hours=9),
        ripe_by=START + timedelta(hours=5),
        absent=CHURN,
    )
    encoded, classes = labels.encode(rows.sort_by("id"), kind=Kind.BINARY, positive="1", column="late")
    assert encoded[LABEL].to_pylist() == [1, 0, 0]
    assert classes == ("negative", "1")
    assert left_out == {"label not ripe": 1, "label never came": 0}


def test_no_outcome_is_not_sure_before_its_time():
    rows, left_out = labels.attach(
        examples(0, 1, 4),
        outcomes({0: (1, 1), 7: (6, 1)}),
        keys=["id"],
        column="late",
        known_by=START + timedelta(hours=20),
        ripe_by=START + timedelta(hours=16),
        absent=CHURN,
    )
    assert sorted(rows["id"].to_pylist()) == [0, 1]
    assert left_out["label never came"] == 1


def test_an_empty_value_means_what_is_declared():
    moments = at(0, 1, 2)
    table = pa.table({EVENT_TIME: moments, CREATED_TIME: moments, "y": [1, None, 0]})
    by = START + timedelta(hours=9)
    rows, left_out = labels.beside(table, "y", known_by=by, ripe_by=START + timedelta(hours=5), absent=CHURN)
    encoded, classes = labels.encode(rows, kind=Kind.BINARY, positive="1", column="y")
    assert (encoded[LABEL].to_pylist(), classes) == ([1, 0, 0], ("0", "1"))
    assert left_out == {"label not ripe": 0, "label missing": 0}


def test_two_outcomes_for_one_example_are_an_error():
    twice = pa.concat_tables([outcomes({0: (1, True)}), outcomes({0: (2, False)})])
    with pytest.raises(LabelError, match="several outcomes"):
        labels.attach(examples(0), twice, keys=["id"], column="late", known_by=START + timedelta(days=1), ripe_by=START)


def rows_with(values: pa.Array) -> pa.Table:
    moments = at(*[0] * len(values))
    table = pa.table({EVENT_TIME: moments, CREATED_TIME: moments, "y": values})
    return labels.beside(table, "y", known_by=START, ripe_by=START)[0]


@pytest.mark.parametrize(
    ("values", "positive", "expected", "classes"),
    [
        (["yes", "no", "yes"], "yes", [1, 0, 1], ("no", "yes")),
        ([True, False], "true", [1, 0], ("false", "true")),
        ([0, 1, 1], "1", [0, 1, 1], ("0", "1")),
        (["a", "b", "c"], "b", [0, 1, 0], ("other", "b")),
    ],
)
def test_binary_labels(values, positive, expected, classes):
    table, found = labels.encode(rows_with(pa.array(values)), kind=Kind.BINARY, positive=positive, column="y")
    assert table[LABEL].to_pylist() == expected
    assert found == classes


def test_multiclass_labels_are_indices_into_the_sorted_classes():
    table, classes = labels.encode(
        rows_with(pa.array(["c", "a", "b"])), kind=Kind.MULTICLASS, positive=None, column="y"
    )
    assert table[LABEL].to_pylist() == [2, 0, 1]
    assert classes == ("a", "b", "c")


def test_regression_keeps_the_number():
    table, classes = labels.encode(rows_with(pa.array([3, 5])), kind=Kind.REGRESSION, positive=None, column="y")
    assert table[LABEL].to_pylist() == [3.0, 5.0]
    assert classes == ()


@pytest.mark.parametrize(
    ("values", "kind", "positive", "message"),
    [
        (["yes", "yes"], Kind.BINARY, "yes", "nothing to learn"),
        (["yes", "no"], Kind.BINARY, "maybe", "the values are no, yes"),
        (["a", "b"], Kind.REGRESSION, None, "needs numbers"),
        ([1.0, float("inf")], Kind.REGRESSION, None, "infinite"),
    ],
)
def test_targets_that_cannot_be_learnt_say_why(values, kind, positive, message):
    with pytest.raises(LabelError, match=message):
        labels.encode(rows_with(pa.array(values)), kind=kind, positive=positive, column="y")


def test_rows_without_an_outcome_are_counted():
    moments = at(0, 0)
    table = pa.table({EVENT_TIME: moments, CREATED_TIME: moments, "y": pa.array(["yes", None])})
    rows, left_out = labels.beside(table, "y", known_by=START, ripe_by=START)
    assert len(rows) == 1
    assert left_out["label missing"] == 1
