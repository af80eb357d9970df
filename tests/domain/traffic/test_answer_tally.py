"""What a day's answers add up to, and how the day is judged."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from mlops_assets.domain.traffic.answer_tally import AnswerTally, judge_completeness, judge_repeats, judge_versions
from mlops_assets.domain.verdict import Outcome

BUNDLE, OTHER = "a" * 64, "b" * 64


def piece(version: str, hours: list[int], answers: list[list[float] | None], **columns: list) -> pa.Table:
    rows = len(hours)
    values = {
        "time": pa.array([datetime(2024, 1, 1, hour, tzinfo=UTC) for hour in hours], pa.timestamp("us", "UTC")),
        "version": [version] * rows,
        "arm": ["champion"] * rows,
        "role": ["champion"] * rows,
        "bundle": [BUNDLE] * rows,
        "degraded": [False] * rows,
        "answer": pa.array(answers, pa.list_(pa.float64())),
    }
    return pa.table(values | columns)


def test_rows_hours_and_scores_are_added_up_by_version():
    tally = AnswerTally()
    tally.add(piece("1.0.0", [0, 0, 23], [[0.1], [0.2], [0.3]], degraded=[True, False, False]))
    tally.add(piece("2.0.0", [5], [[0.2, 0.7, 0.1]]))
    tally.add(piece("default", [6], [None]))
    assert tally.rows["1.0.0", "champion", "champion"] == 3
    assert tally.degraded.total() == 1
    assert (tally.hours["1.0.0"][0], tally.hours["1.0.0"][23], tally.hours["2.0.0"][5]) == (2, 1, 1)
    sample = {version: scores.tolist() for version, scores in tally.sample().items()}
    assert sample == {"1.0.0": [0.1, 0.2, 0.3], "2.0.0": [0.7]}


@pytest.mark.parametrize(
    ("version", "bundle", "outcome"),
    [
        ("1.0.0", BUNDLE, Outcome.PASS),
        ("7", BUNDLE, Outcome.PASS),  # the registry's number
        (BUNDLE[:12], BUNDLE, Outcome.PASS),  # a champion before, whose name the worker never read
        ("default", "default", Outcome.PASS),  # no version gave it
        ("2.0.0", BUNDLE, Outcome.FAIL),  # a bundle under another's name
        ("1.0.0", OTHER, Outcome.FAIL),
        ("1.0.0", "c" * 64, Outcome.PASS),  # the ledger released it
    ],
)
def test_a_version_is_known_by_its_bundle_and_its_name(version, bundle, outcome):
    verdict = judge_versions({(version, bundle): 3}, [("7", "1.0.0", BUNDLE)], ["c" * 64])
    assert verdict.outcome is outcome


@pytest.mark.parametrize(("rows", "different", "outcome"), [(3, 3, Outcome.PASS), (4, 3, Outcome.FAIL)])
def test_repeats_fail(rows, different, outcome):
    assert judge_repeats(rows, different).outcome is outcome


@pytest.mark.parametrize(
    ("missing", "problems", "outcome"), [(0, [], Outcome.PASS), (1, [], Outcome.FAIL), (0, ["x: cut"], Outcome.FAIL)]
)
def test_a_log_that_is_not_whole_fails(missing, problems, outcome):
    assert judge_completeness(missing, 10, problems).outcome is outcome
