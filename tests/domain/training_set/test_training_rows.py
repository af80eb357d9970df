"""From examples and outcomes to the rows of a training set."""

from datetime import timedelta

import pyarrow as pa
import pytest

from mlops_assets.declaration.data import Every, PartitionSpec
from mlops_assets.domain.names import CREATED_TIME, EVENT_TIME, LABEL
from mlops_assets.domain.training_set.training_rows import (
    divide,
    every_row,
    inputs_of,
    label_summary,
    labelled_examples,
    plan_folds,
    read_parts,
    returning_rows,
    row_key,
    write_parts,
)
from tests.kit.specs import START, feed_spec, model_spec, source_spec

HOUR = timedelta(hours=1)
MOMENT = pa.timestamp("us", "UTC")
UNPARTITIONED = PartitionSpec(every=Every.NONE)


def examples(count: int = 20, **columns: list) -> pa.Table:
    """A row an hour, known at once; the label alternates."""
    moments = pa.array([START + HOUR * i for i in range(count)], MOMENT)
    plain = {"id": list(range(count)), "label": [i % 2 for i in range(count)]}
    return pa.table({**plain, **columns, EVENT_TIME: moments, CREATED_TIME: moments})


def ids(rows: pa.Table) -> list[int]:
    return rows["id"].to_pylist()


def test_only_rows_with_ripe_labels_are_used():
    spec = model_spec(training=model_spec().training.with_changes(gap=5 * HOUR))
    found = labelled_examples(spec, examples(), examples(), now=START + 19 * HOUR)
    assert ids(found.rows) == list(range(15))
    assert found.left_out == {"label not ripe": 5, "label missing": 0, "before the window": 0}
    assert "label" not in set(found.rows.column_names) - {LABEL}


def test_a_row_that_was_not_known_yet_is_no_example():
    late = examples().set_column(3, CREATED_TIME, pa.array([START + HOUR * 100] * 20, MOMENT))
    with pytest.raises(ValueError, match="nothing to learn"):
        labelled_examples(model_spec(), late, late, now=START + 50 * HOUR)


def test_the_window_reaches_back_from_the_latest_example():
    spec = model_spec(training=model_spec().training.with_changes(window=4 * HOUR))
    found = labelled_examples(spec, examples(), examples(), now=START + 100 * HOUR)
    assert ids(found.rows) == [15, 16, 17, 18, 19]
    assert found.left_out["before the window"] == 15


def test_outcomes_of_another_feed_are_joined_by_their_key():
    spec = model_spec(source=source_spec(feed_spec(), feed_spec("outcomes")))
    spec = spec.with_changes(target=spec.target.with_changes(feed="outcomes"))
    outcomes = examples(15).select(["id", "label", EVENT_TIME, CREATED_TIME])
    found = labelled_examples(spec, examples().drop_columns(["label"]), outcomes, now=START + 100 * HOUR)
    assert sorted(ids(found.rows)) == list(range(15))
    assert found.left_out["label never came"] == 5
    assert dict(zip(found.rows["id"].to_pylist(), found.rows[LABEL].to_pylist(), strict=True))[3] == 1


def test_texts_booleans_and_declared_codes_are_categories():
    frame = pa.table({"n": [1], "x": [0.5], "c": ["a"], "b": [True], "zip": [2139], "none": pa.nulls(1)})
    found = inputs_of(frame, ("n", "x", "c", "b", "zip", "none"), ("zip",))
    assert (found.numbers, found.categories) == (("n", "x"), ("c", "b", "zip", "none"))


def divided(rows: pa.Table, **changes):
    return divide(model_spec(**changes), rows.rename_columns([LABEL if n == "label" else n for n in rows.column_names]))


def test_the_latest_rows_are_the_test_in_any_order():
    parts = divided(examples().take(pa.array([7, 3, *range(8, 20), *range(3), *range(4, 7)])))
    assert {name: ids(table) for name, table in parts.tables.items()} == {
        "train": list(range(12)),
        "validation": [12, 13, 14, 15],
        "test": [16, 17, 18, 19],
        "rest": [],
    }
    assert parts.boundaries["test"] == (START + 16 * HOUR, START + 19 * HOUR)


def test_rows_of_one_moment_stand_in_order_of_their_key():
    rows = examples().set_column(2, EVENT_TIME, pa.array([START + HOUR * (i // 4) for i in range(20)], MOMENT))
    shuffled = rows.take(pa.array(list(reversed(range(20)))))
    assert [ids(table) for table in divided(shuffled).tables.values()] == [
        ids(table) for table in divided(rows).tables.values()
    ]


def test_groups_stay_on_one_side_without_returning_ones():
    rows = examples(branch=[i // 3 for i in range(20)])
    parts = divided(rows, training=model_spec().training.with_changes(group="branch", returning="leave_out"))
    sides = [set(table["branch"].to_pylist()) for table in parts.tables.values()]
    assert all(not sides[a] & sides[b] for a, b in ((0, 1), (0, 2), (1, 2)))
    assert parts.left_out["group stands in an earlier part"] == 2  # branch 5 begins before the test does


def test_returning_groups_are_kept_and_known():
    training = model_spec().training.with_changes(group="branch")
    parts = divided(examples(branch=[i % 9 if i < 18 else i for i in range(20)]), training=training)
    assert [len(table) for table in parts.tables.values()] == [12, 4, 4, 0]
    returning = returning_rows(model_spec(training=training), parts.tables)
    assert returning is not None
    assert returning.tolist() == [True, True, False, False]
    apart = model_spec(training=training.with_changes(returning="leave_out"))
    assert returning_rows(apart, parts.tables) is returning_rows(model_spec(), parts.tables) is None


def test_rows_without_time_are_divided_by_what_they_are():
    feed = feed_spec(time=())
    one = divided(examples(200), source=source_spec(feed), partitions=UNPARTITIONED)
    some = divided(examples(150), source=source_spec(feed), partitions=UNPARTITIONED)
    assert all(set(ids(some.tables[name])) <= set(ids(one.tables[name])) for name in one.tables)
    assert sum(map(len, one.tables.values())) == 200


def test_without_a_refit_there_are_no_folds():
    spec = model_spec(training=model_spec().training.with_changes(refit=False))
    assert plan_folds(spec, divided(examples()).tables, champion_until=None) == ()


def test_rows_of_a_gap_are_kept_for_later_folds():
    training = model_spec().training.with_changes(gap=2 * HOUR, folds=2)
    tables = divided(examples(40), training=training).tables
    folds = plan_folds(model_spec(training=training), tables, champion_until=None)

    every, test = ids(every_row(tables)), ids(tables["test"])
    learnt = [{every[i] for i in fold.learnt} for fold in folds]

    assert ids(tables["rest"]) == [20, 21, 30, 31]
    assert [every[i] for fold in folds for i in fold.scored] == test
    assert learnt == [set(range(30)), set(range(34))]


def test_a_snapshot_is_cross_validated_over_its_test_rows():
    spec = model_spec(source=source_spec(feed_spec(time=())), partitions=UNPARTITIONED)
    tables = divided(examples(200), source=spec.source, partitions=UNPARTITIONED).tables
    folds = plan_folds(spec, tables, champion_until=START + 500 * HOUR)

    every = ids(every_row(tables))
    assert sorted(every[i] for fold in folds for i in fold.scored) == sorted(ids(tables["test"]))
    assert all(len(fold.learnt) + len(fold.scored) == 200 for fold in folds)
    assert len(folds) == 3


def test_parts_are_read_as_they_were_written(tmp_path):
    tables = divided(examples()).tables
    write_parts(tables, tmp_path)
    assert read_parts(tmp_path) == tables


def test_a_row_without_key_has_one_of_its_own():
    assert row_key(feed_spec()) == ("id",)
    assert row_key(feed_spec(key=())) == ("row_id",)


@pytest.mark.parametrize(
    ("labels", "classes", "expected"),
    [
        ([0, 1, 1, 1], ("no", "yes"), {"no": 0.25, "yes": 0.75}),
        ([0, 0], ("a", "b", "c"), {"a": 1.0, "b": 0.0, "c": 0.0}),
        ([1.0, 3.0], (), {"mean": 2.0, "deviation": 1.0}),
    ],
)
def test_labels_in_a_line(labels, classes, expected):
    assert label_summary(pa.table({LABEL: labels}), classes) == expected
