"""A candidate on logged requests: what stops a release, and what does not."""

import numpy as np
import pyarrow as pa
import pytest

from mlops_assets.declaration.data import Kind
from mlops_assets.domain.release.replay import WORST, judge_replay, markdown
from mlops_assets.domain.release.replay_rows import as_asked, replayable
from mlops_assets.domain.verdict import Outcome
from mlops_assets.resources.plots.replay import draw_agreement
from tests.kit.specs import ROLLOUT
from tests.serving.graphs import number

POLICY = ROLLOUT.replay.with_changes(minimum=500, agreement=0.7, calibration=0.05, errors=0.01)
N = 2_000


def answers(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and outcomes that they fit."""
    rng = np.random.default_rng(seed)
    chance = rng.uniform(0.05, 0.95, N)
    return chance, (rng.random(N) < chance).astype(float)


def judged(candidate, *, champion=None, kind=Kind.BINARY, outcomes=None, failures=None, latency=5.0, rows=None):
    theirs = answers()[0] if champion is None else champion
    failed = np.zeros(len(theirs), dtype=bool) if failures is None else failures
    times = np.full(len(theirs), latency)
    return judge_replay(POLICY, kind, theirs, candidate, times, 20.0, outcomes, failed, rows)


def outcome_of(report, name: str) -> Outcome:
    return next(verdict.outcome for verdict in report.verdicts if verdict.name == name)


def test_the_same_answers_pass_everything():
    chance, truth = answers()
    report = judged(chance, outcomes=truth)
    assert {verdict.outcome for verdict in report.verdicts} == {Outcome.PASS}
    assert not report.stops
    assert (report.rows, report.labelled) == (N, N)


@pytest.mark.parametrize("kind", [Kind.BINARY, Kind.REGRESSION])
def test_answers_in_another_order_stop_the_release(kind):
    chance, _ = answers()
    report = judged(1 - chance, kind=kind)
    assert outcome_of(report, "agreement") is Outcome.FAIL
    assert report.stops


def test_classes_agree_by_their_share():
    rng = np.random.default_rng(0)
    theirs = rng.dirichlet([1, 1, 1], N)
    assert outcome_of(judged(theirs, champion=theirs, kind=Kind.MULTICLASS), "agreement") is Outcome.PASS
    other = np.roll(theirs, 1, axis=1)
    assert outcome_of(judged(other, champion=theirs, kind=Kind.MULTICLASS), "agreement") is Outcome.FAIL


def test_calibration_reveals_the_same_order_on_another_scale():
    chance, truth = answers()
    report = judged(chance / 2, outcomes=truth)
    assert outcome_of(report, "agreement") is Outcome.PASS
    assert outcome_of(report, "calibration") is Outcome.FAIL


def test_a_regressions_calibration_is_told_in_spreads():
    value = np.random.default_rng(0).normal(100, 10, N)
    report = judged(value + 5, champion=value, kind=Kind.REGRESSION, outcomes=value)
    assert outcome_of(report, "calibration") is Outcome.FAIL


def test_outcomes_that_are_too_few_conclude_nothing():
    chance, truth = answers()
    truth[100:] = np.nan
    report = judged(chance / 2, outcomes=truth)
    assert outcome_of(report, "calibration") is Outcome.INCONCLUSIVE
    assert not report.stops


def test_rows_that_only_the_candidate_cannot_answer_stop_it():
    chance, _ = answers()
    failures = np.zeros(N, dtype=bool)
    failures[:100] = True
    report = judged(np.where(failures, np.nan, chance), failures=failures)
    assert outcome_of(report, "errors") is Outcome.FAIL
    assert outcome_of(report, "agreement") is Outcome.PASS  # of the rows it can answer
    assert len(report.candidate) == N - 100


def test_a_slow_candidate_stops():
    assert outcome_of(judged(answers()[0], latency=30.0), "latency") is Outcome.FAIL


def test_few_rows_stop_nothing():
    chance = answers()[0][:50]
    report = judged(1 - chance, champion=chance)
    assert outcome_of(report, "agreement") is Outcome.INCONCLUSIVE
    assert not report.stops


def test_no_rows_at_all():
    report = judged(np.empty(0), champion=np.empty(0))
    assert not report.stops
    assert report.worst == ()
    assert draw_agreement(report).startswith(b"\x89PNG")


def test_the_worst_disagreements_are_shown_with_their_features():
    chance, truth = answers()
    other = chance.copy()
    other[7] = 1 - chance[7] + (chance[7] < 0.5) - 1 * (chance[7] >= 0.5)
    rows = pa.table({"distance": np.arange(N), "carrier": ["AA|x"] * N})
    report = judged(other, outcomes=truth, rows=rows)
    assert len(report.worst) == WORST
    assert report.worst[0].row == {"distance": 7, "carrier": "AA|x"}
    assert "| 7 | AA/x |" in markdown(report)
    assert draw_agreement(report).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("logged", "kind", "expected"),
    [
        ([1.0, np.nan], "number", [1.0, None]),
        ([3.0, np.nan], "integer", [3, None]),
        ([1.0, 0.0, np.nan], "boolean", [True, False, None]),
        (["AA", ""], "text", ["AA", None]),
        (["3", ""], "integer", [3, None]),
        (["true", "false", ""], "boolean", [True, False, None]),
    ],
)
def test_logged_values_get_their_types_back(logged, kind, expected):
    assert as_asked(pa.array(logged), kind).to_pylist() == expected


def test_a_retyped_field_is_reported_and_stops_nothing():
    logged = pa.StructArray.from_arrays([pa.array(["north", "7"]), pa.array([1.0, 2.0])], ["zone", "price"])
    answers = pa.array([[0.1], [0.2]], pa.list_(pa.float64()))
    fields = [number("zone"), number("price")]
    found = replayable([logged], answers, pa.nulls(2, pa.string()), fields)
    assert (found.lacking, len(found.rows)) == (("zone",), 0)
