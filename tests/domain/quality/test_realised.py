"""Outcomes beside answers, and whether quality fell."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from mlops_assets.domain.evaluation.metrics import METRICS
from mlops_assets.domain.quality.realised import KNOWN_AT, OUTCOME, Quality, join, judge_quality, measure
from mlops_assets.domain.verdict import Outcome
from tests.kit.watching import QUALITY, interval

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


def test_the_first_outcome_known_wins_and_everything_odd_is_counted():
    joined = join(
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
    assert "1 contradicting" in joined.told


def test_rows_of_one_request_are_told_apart():
    one = answers("a", "a")
    both = one.set_column(1, "row", pa.array([0, 1], pa.int32()))
    late = outcomes(("a", "yes", 1)).set_column(1, "row", pa.array([1], pa.int32()))
    assert join(both, late).rows[OUTCOME].to_pylist() == [None, "yes"]


@pytest.mark.parametrize(
    ("asked", "told"), [((), ()), (("a",), ()), ((), (("a", "yes", 1),)), (("a",), (("a", None, 1),))]
)
def test_no_traffic_and_no_labels_are_no_error(asked, told):
    joined = join(answers(*asked), outcomes(*told))
    assert joined.rows[OUTCOME].to_pylist() == [None] * len(asked)
    assert joined.counts["labelled"] == 0


def test_metrics_have_an_interval_or_a_reason():
    draw = np.random.default_rng(0)
    scores = draw.random(600)
    labels = (draw.random(600) < scores).astype(int)
    auc, brier = measure([METRICS["auc"], METRICS["brier"]], labels, scores, level=0.95)
    assert auc.interval is not None
    assert auc.interval.low < auc.interval.estimate < auc.interval.high
    assert brier.interval is not None
    alone = measure([METRICS["auc"]], np.ones(9, int), scores[:9], level=0.95)[0]
    assert alone.interval is None
    assert "two classes are needed" in alone.problem


STEADY = Quality("realised", "auc", interval(0.70, 0.01), interval(0.70, 0.01), 2_000, 1.0)


@pytest.mark.parametrize(
    ("changes", "outcome", "said"),
    [
        ({}, Outcome.PASS, "has not fallen"),
        ({"current": interval(0.60, 0.01)}, Outcome.FAIL, "it fell"),
        ({"current": interval(0.66, 0.01)}, Outcome.INCONCLUSIVE, "not shown either way"),  # 5.7 %, may be chance
        ({"current": interval(0.60, 0.08)}, Outcome.INCONCLUSIVE, "not shown either way"),
        ({"current": interval(0.80, 0.01)}, Outcome.PASS, "has not fallen"),
        ({"maturity": 0.5, "current": interval(0.60, 0.01)}, Outcome.INCONCLUSIVE, "50% of its labels"),
        ({"maturity": float("nan")}, Outcome.INCONCLUSIVE, "labels are there"),
        ({"rows": 499, "current": interval(0.60, 0.01)}, Outcome.INCONCLUSIVE, "499 rows"),
        ({"current": None}, Outcome.INCONCLUSIVE, "could not be measured"),
        (
            {"metric": "log_loss", "baseline": interval(0.5, 0.01), "current": interval(0.6, 0.01)},
            Outcome.FAIL,
            "it fell",
        ),
        (
            {"metric": "log_loss", "baseline": interval(0.5, 0.01), "current": interval(0.4, 0.01)},
            Outcome.PASS,
            "has not fallen",
        ),
    ],
)
def test_a_fall_has_to_be_shown(changes, outcome, said):
    verdict = judge_quality(replace(STEADY, **changes), QUALITY)
    assert verdict.outcome is outcome
    assert said in verdict.reason
