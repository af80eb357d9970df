"""Outcomes beside the answers they belong to, whatever form they came in."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mlops_assets.declaration.data import AbsentOutcome, Kind
from mlops_assets.domain.traffic.labelled_rows import (
    OUTCOMES,
    Absence,
    find_unknown_outcomes,
    label_answers,
    read_scores,
    thin_rows,
)
from mlops_assets.domain.traffic.row_loss import LabelSpace

START = datetime(2013, 7, 1, tzinfo=UTC)
NOW = START + timedelta(days=2)
BINARY = LabelSpace(Kind.BINARY, ("no", "yes"), None)
NUMBER = LabelSpace(Kind.REGRESSION, (), 1.0)


def answers(*ids: str, **columns: list[Any]) -> pa.Table:
    rows = len(ids)
    texts = {"version": "1.0.0", "arm": "champion", "role": "champion", "bundle": "b"}
    values = {name: pa.array(columns.get(name, [text] * rows), pa.string()) for name, text in texts.items()}
    return pa.table(
        {
            "request_id": pa.array(ids, pa.string()),
            "row": pa.array(columns.get("row", [0] * rows), pa.int32()),
            "time": pa.array([START] * rows, pa.timestamp("us", "UTC")),
            **values,
            "answer": pa.array(columns.get("answer", [[0.5]] * rows), pa.list_(pa.float64())),
        }
    )


def outcomes(*told: tuple[str, str, float]) -> pa.Table:
    rows = [
        {"request_id": each, "row": 0, "time": START + timedelta(hours=after), "outcome": said}
        for each, said, after in told
    ]
    return pa.Table.from_pylist(rows, OUTCOMES)


def labels(rows: pa.Table, told: pa.Table, **judged: LabelSpace) -> list[float | None]:
    found = label_answers(rows, told, judged or {"b": BINARY}, now=NOW)
    return [None if np.isnan(each) else each for each in found.rows["label"].to_pylist()]


@pytest.mark.parametrize(("hours", "expected"), [(30, [1.0, 0.0]), (20, [1.0, None])])
def test_no_outcome_in_time_is_one_too(hours, expected):
    """Up to when outcomes are in the lake, not up to now."""
    absent = Absence(AbsentOutcome("negative", timedelta(hours=24)), START + timedelta(hours=hours))
    found = label_answers(answers("a", "b"), outcomes(("a", "yes", 1)), {"b": BINARY}, now=NOW, absent=absent)
    assert [None if np.isnan(each) else each for each in found.rows["label"].to_pylist()] == expected
    known = found.rows["known_at"].to_pylist()
    assert known == [START + timedelta(hours=1), START + timedelta(hours=24) if hours == 30 else None]
    assert found.odd["not understood"] == 0


def test_agreeing_feedback_and_source_do_not_contradict():
    told = outcomes(("a", '"yes"', 1), ("a", "yes", 2), ("b", "true", 1), ("b", "no", 2))
    found = label_answers(answers("a", "b"), told, {"b": BINARY}, now=NOW)
    assert found.rows["label"].to_pylist() == [1.0, 1.0]
    assert (found.odd["repeated"], found.odd["contradicting"]) == (2, 1)


@pytest.mark.parametrize(
    ("judged", "said", "expected"),
    [
        (BINARY, '"no"', 0.0),
        (BINARY, "perhaps", None),
        (NUMBER, "2.50", 2.5),
        (NUMBER, '"3"', 3.0),
        (NUMBER, "many", None),
    ],
)
def test_an_outcome_means_what_the_version_learnt(judged, said, expected):
    assert labels(answers("a"), outcomes(("a", said, 1)), b=judged) == [expected]


def test_an_unreadable_outcome_counts_and_a_future_one_waits():
    found = label_answers(answers("a", "b"), outcomes(("a", "perhaps", 1), ("b", "yes", 72)), {"b": BINARY}, now=NOW)
    assert np.isnan(found.rows["label"].to_numpy()).all()
    assert (found.odd["not understood"], found.odd["from after now"]) == (1, 1)


def test_an_answer_of_a_bundle_that_is_not_at_hand_has_no_label():
    assert labels(answers("a", bundle=["gone"]), outcomes(("a", "yes", 1))) == [None]


def test_a_shadows_copy_has_the_outcome_of_its_request():
    rows = answers("w-1-7.0", "w-1-7.1", "w-2-7.1", role=["champion", "shadow", "shadow"])
    assert labels(rows, outcomes(("w-1-7.0", "yes", 1))) == [1.0, 1.0, None]


def test_no_answers_and_no_outcomes_are_no_error():
    assert labels(answers(), outcomes()) == []
    assert labels(answers("a"), outcomes()) == [None]
    assert labels(answers(), outcomes(("a", "yes", 1))) == []


def test_outcomes_without_an_answer_are_strangers():
    rows = answers("a", "a", "b", row=[0, 1, 0])
    told = pa.Table.from_pylist(
        [{"request_id": i, "row": r, "time": START, "outcome": "1"} for i, r in (("a", 1), ("a", 2), ("c", 0))],
        OUTCOMES,
    )
    left = find_unknown_outcomes(told, rows).select(["request_id", "row"]).to_pylist()
    assert sorted(map(tuple, (each.values() for each in left))) == [("a", 2), ("c", 0)]


def test_scores_are_one_number_a_row_or_one_for_each_class():
    assert read_scores(answers("a", "b", answer=[[0.1], [0.2]])).tolist() == [0.1, 0.2]
    assert read_scores(answers("a", answer=[[0.1, 0.2, 0.7]])).shape == (1, 3)
    assert read_scores(answers()).shape == (0,)


def test_thinned_rows_are_evenly_spaced():
    rows = answers(*map(str, range(10)))
    assert thin_rows(rows, 4)["request_id"].to_pylist() == ["0", "3", "6", "9"]
    assert thin_rows(rows, 10) is rows
