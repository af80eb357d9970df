"""Outcomes beside the answers that they name."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from mlops_assets.domain.traffic.outcome_join import KNOWN_AT, OUTCOME, join_outcomes

START = datetime(2013, 7, 1, tzinfo=UTC)
TIME = pa.timestamp("us", "UTC")


def answers(*ids: str) -> pa.Table:
    rows = [{"request_id": each, "row": 0, "time": START, "answer": [0.5]} for each in ids]
    kinds = [("request_id", pa.string()), ("row", pa.int32()), ("time", TIME), ("answer", pa.list_(pa.float64()))]
    return pa.Table.from_pylist(rows, pa.schema(kinds))


def outcomes(*told: tuple[str, str | None, int]) -> pa.Table:
    rows = [
        {"request_id": each, "row": 0, "time": START + timedelta(hours=after), "outcome": value}
        for each, value, after in told
    ]
    kinds = [("request_id", pa.string()), ("row", pa.int32()), ("time", TIME), ("outcome", pa.string())]
    return pa.Table.from_pylist(rows, pa.schema(kinds))


def test_the_first_known_outcome_wins():
    joined = join_outcomes(
        answers("a", "b", "c", "d"),
        outcomes(
            ("b", "no", 5), ("a", "yes", 3), ("b", "yes", 2), ("a", "yes", 4), ("ghost", "no", 1), ("d", "no", -1)
        ),
    )
    assert joined.rows[OUTCOME].to_pylist() == ["yes", "yes", None, "no"]
    assert joined.rows[KNOWN_AT].to_pylist()[1] == START + timedelta(hours=2)
    assert joined.rows["answer"].to_pylist() == [[0.5]] * 4
    assert joined.counts == {
        "answers": 4,
        "labelled": 3,
        "repeated": 2,
        "contradicting": 1,
        "for unknown requests": 1,
        "known before the answer": 1,
    }


def test_rows_of_one_request_are_told_apart():
    one = answers("a", "a")
    both = one.set_column(1, "row", pa.array([0, 1], pa.int32()))
    late = outcomes(("a", "yes", 1)).set_column(1, "row", pa.array([1], pa.int32()))
    assert join_outcomes(both, late).rows[OUTCOME].to_pylist() == [None, "yes"]


@pytest.mark.parametrize(
    ("asked", "told"), [((), ()), (("a",), ()), ((), (("a", "yes", 1),)), (("a",), (("a", None, 1),))]
)
def test_no_traffic_and_no_labels_are_no_error(asked, told):
    joined = join_outcomes(answers(*asked), outcomes(*told))
    assert joined.rows[OUTCOME].to_pylist() == [None] * len(asked)
    assert joined.counts["labelled"] == 0
