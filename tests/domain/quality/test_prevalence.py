"""Days whose classes are rarer than at the evaluation, or absent: they count together, and chance is no fall."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import expit, softmax

from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.evaluation.intervals import score
from mlops_assets.domain.evaluation.metrics import METRICS
from mlops_assets.domain.quality.estimator import HeldOutRows, fit_estimator
from mlops_assets.domain.quality.fall.class_parts import add_parts, pool_parts
from mlops_assets.domain.quality.fall.since_promotion import Reference, judge_fall, list_ripe_days, trace_days
from mlops_assets.domain.quality.inputs import DayInputs, ServedVersion
from mlops_assets.domain.quality.judge import judge_day
from mlops_assets.domain.quality.prevalence import choose_shares, split_by_class
from mlops_assets.domain.quality.records import PerformanceDay
from mlops_assets.domain.traffic.ripe_rows import RipeRows, measure_label_delay
from mlops_assets.domain.traffic.row_loss import LabelSpace
from mlops_assets.domain.verdict import Outcome
from tests.kit.specs import model_spec
from tests.kit.watching import QUALITY

START, DAY = datetime(2013, 1, 1, tzinfo=UTC), timedelta(days=1)
TIME = pa.timestamp("us", "UTC")
TENTH = np.array([0.9, 0.1])
ZIPF = (1 / np.arange(1, 21)) / (1 / np.arange(1, 21)).sum()


def draw(rng: np.random.Generator, rows: int, live: np.ndarray, trained: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and the answers of a model that learnt at the shares `trained`."""
    labels = rng.choice(len(live), rows, p=live)
    if len(live) == 2:
        evidence = 2 * rng.normal(2.0 * labels, 1) - 2
        return labels, expit(evidence + np.log(trained[1] / trained[0]))
    evidence = 2 * (rng.normal(size=(rows, len(live))) + 2 * np.eye(len(live))[labels])
    return labels, softmax(evidence + np.log(trained), axis=1)


def answers(number: int, labels: np.ndarray, scores: np.ndarray, over: timedelta = DAY) -> pa.Table:
    rows = len(labels)
    times = [START + number * DAY + place * over / rows for place in range(rows)]
    texts = {"version": "1.0.0", "arm": "champion", "role": "champion", "bundle": "b"}
    return pa.table({
        "time": pa.array(times, TIME),
        "known_at": pa.array([each + timedelta(hours=2) for each in times], TIME),
        **{key: pa.array([text] * rows) for key, text in texts.items()},
        "answer": pa.array(scores.reshape(rows, -1).tolist(), pa.list_(pa.float64())),
        "label": labels.astype(float),
    })  # fmt: skip


def served(metric: str, trained: np.ndarray, rng: np.random.Generator) -> tuple[ModelSpec, ServedVersion]:
    labels, scores = draw(rng, 20_000, trained, trained)
    kind = Kind.BINARY if len(trained) == 2 else Kind.MULTICLASS
    spec = model_spec()
    spec = spec.with_changes(gates=spec.gates.with_changes(metric=metric), target=spec.target.with_changes(kind=kind))
    estimator = fit_estimator(kind, metric, HeldOutRows(labels.astype(float), scores, np.empty((len(labels), 0))))
    space = LabelSpace(kind, tuple(f"c{code}" for code in range(len(trained))), None)
    baseline = score(METRICS[metric], labels, scores, level=0.95)
    return spec, ServedVersion("1.0.0", "b", space, 0.5, {}, (), baseline, estimator, ())


def judge(
    spec: ModelSpec, version: ServedVersion, number: int, rows: pa.Table, *before: PerformanceDay
) -> PerformanceDay:
    now, name = START + (number + 2) * DAY, f"{START + number * DAY:%Y-%m-%d}"
    of = DayInputs(
        name=name, rows=rows, recent={name: rows}, curve=measure_label_delay(rows, now, spec.target),
        sample=(np.empty(0), np.empty((0, 0))), before=before, odd={}, known_until=now, now=now,
    )  # fmt: skip
    return judge_day(spec, of, version).record


def watch(metric: str, live: np.ndarray, *, trained: np.ndarray, rows: int, days: int, seed: int = 0) -> Any:
    """The records of days on which the model is what it was, and the version that answered."""
    rng = np.random.default_rng(seed)
    spec, version = served(metric, trained, rng)
    records = [judge(spec, version, day, answers(day, *draw(rng, rows, live, trained))) for day in range(days)]
    return records, version


def trace(records: Sequence[PerformanceDay], version: ServedVersion, metric: str) -> list[Any]:
    assert version.baseline is not None
    reference = Reference(METRICS[metric], version.baseline, QUALITY, 1.96)
    return [
        (each, judge_fall(each, reference)) for each in trace_days(list_ripe_days(records, "b", QUALITY), reference)
    ]


@pytest.mark.parametrize("metric", ["log_loss", "brier", "accuracy", "average_precision", "auc"])
def test_the_interval_is_as_wide_as_days_scatter(metric):
    """A class of which a day has thirty rows counts for a tenth: what those rows scatter is what the day scatters."""
    records, _ = watch(metric, np.array([0.97, 0.03]), trained=TENTH, rows=1_000, days=120)
    known = [each.comparable for each in records if each.comparable]
    claimed = np.sqrt(np.mean([((each.high - each.low) / 2 / 1.96) ** 2 for each in known]))
    scatter = np.std([each.value for each in known])
    assert len(known) == 120
    assert 0.8 < claimed / scatter < 1.45


@pytest.mark.parametrize("metric", ["log_loss", "accuracy", "auc"])
def test_days_count_together_until_each_class_is_there(metric):
    """Of 200 rows one is positive, on a third of the days none."""
    records, version = watch(metric, np.array([0.995, 0.005]), trained=TENTH, rows=200, days=90)
    found, verdict = trace(records, version, metric)[-1]
    assert found.rows > 200 * (40 if metric == "auc" else 60)
    assert found.days <= 5
    assert verdict.outcome is not Outcome.FAIL


def test_a_fall_of_many_uneven_classes_is_found():
    """Twenty classes, a hundred rows a day: on nearly every day one is absent."""
    records, version = watch("accuracy", ZIPF, trained=ZIPF, rows=100, days=80)
    traced = trace(records, version, "accuracy")
    assert sum(each.rows == 100 for each in records) == 80
    assert traced[-1][0].rows >= 5_000
    assert traced[-1][1].outcome is not Outcome.FAIL
    assert traced[-1][0].value.value == pytest.approx(version.baseline.estimate, abs=0.03)
    worse = np.random.default_rng(1)
    spec, version = served("accuracy", ZIPF, worse)
    fallen = []
    for number in range(120):
        labels, scores = draw(worse, 100, ZIPF, ZIPF)
        mixed = np.where(worse.random(100)[:, None] < 0.4, worse.permutation(scores), scores)
        fallen.append(judge(spec, version, number, answers(number, labels, mixed)))
    assert trace(fallen, version, "accuracy")[-1][1].outcome is Outcome.FAIL


def test_what_days_wait_for_is_told():
    rng = np.random.default_rng(0)
    spec, version = served("log_loss", TENTH, rng)
    rows = answers(0, np.zeros(300, dtype=int), draw(rng, 300, np.array([1.0, 0.0]), TENTH)[1])
    fall = judge(spec, version, 0, rows).fall
    assert fall.outcome is Outcome.INCONCLUSIVE
    assert "1 days since 2013-01-01 wait for 20 rows of each class, there are 0 of c1" in fall.reason


def test_a_last_class_absent_from_the_test_rows_counts():
    labels = np.random.default_rng(0).integers(0, 2, 4_000).astype(float)
    scores = softmax(np.random.default_rng(1).normal(size=(4_000, 3)), axis=1)
    held = HeldOutRows(labels, scores, np.empty((4_000, 0)))
    assert len(fit_estimator(Kind.MULTICLASS, "accuracy", held).shares) == 3


def test_classes_too_rare_to_wait_for_are_left_out():
    assert choose_shares((0.998, 0.002)) == (0.998, 0.002)
    assert choose_shares((0.5, 0.497, 0.003)) == pytest.approx((0.5 / 0.997, 0.497 / 0.997, 0.0))
    assert choose_shares((1 / 1_000,) * 1_000) == ()
    rng = np.random.default_rng(0)
    trained = np.array([0.6, 0.397, 0.003])
    spec, version = served("accuracy", trained, rng)
    record = judge(spec, version, 0, answers(0, *draw(rng, 600, trained, trained)))
    assert "c2 had less than 0.5% of the evaluation and is left out" in record.fall.reason
    assert record.comparable is not None


@pytest.mark.parametrize("metric", ["log_loss", "brier", "accuracy", "auc", "average_precision", "f1", "ece"])
@pytest.mark.parametrize("shares", [TENTH, np.array([0.5, 0.3, 0.2])], ids=["two", "three"])
def test_parts_add_up_to_the_reweighted_score(metric, shares):
    rng = np.random.default_rng(0)
    live = np.flip(shares)
    labels, scores = draw(rng, 3_000, live, shares)
    rows = RipeRows(answers(0, labels, scores))
    value, error = add_parts(split_by_class(METRICS[metric], rows, tuple(shares)))
    weights = (shares / np.bincount(labels))[labels]
    assert value == pytest.approx(METRICS[metric].prepare(labels, scores).resampled(weights[None])[0])
    assert 0 < error < 0.1


def test_pooled_days_are_what_their_rows_are_together():
    """Rows of one hour, which count by themselves."""
    rng, hour = np.random.default_rng(0), timedelta(hours=1)
    tables = [answers(day, *draw(rng, 300, TENTH, TENTH), hour) for day in range(4)]
    parts = pool_parts(split_by_class(METRICS["log_loss"], RipeRows(each), tuple(TENTH)) for each in tables)
    whole = split_by_class(METRICS["log_loss"], RipeRows(pa.concat_tables(tables)), tuple(TENTH))
    for one, other in zip(parts, whole, strict=True):
        assert (one.rows, one.mean, one.squares) == pytest.approx((other.rows, other.mean, other.squares))


@pytest.mark.simulation
@pytest.mark.timeout(300)
@pytest.mark.parametrize("metric", ["log_loss", "accuracy"])
def test_rare_positives_are_no_fall(metric):
    """A tenth was positive at the evaluation, one in two hundred is now; the model is what it was."""
    false = 0
    for seed in range(20):
        records, version = watch(metric, np.array([0.995, 0.005]), trained=TENTH, rows=1_000, days=90, seed=seed)
        false += any(verdict.outcome is Outcome.FAIL for _, verdict in trace(records, version, metric))
    assert false == 0
