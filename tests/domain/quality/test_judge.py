"""A day's record: only ripe labels count, days are the units of chance, and what cannot be judged says why."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import expit

from mlops_assets.declaration.data import Kind
from mlops_assets.domain.evaluation.metrics import METRICS, UnmeasurableError
from mlops_assets.domain.quality.business_value import find_unknown_pairs, mean_business_value
from mlops_assets.domain.quality.estimator import HeldOutRows, fit_estimator, pool_estimates
from mlops_assets.domain.quality.inputs import DayInputs, ServedVersion
from mlops_assets.domain.quality.judge import DayQuality, judge_day
from mlops_assets.domain.quality.records import PerformanceDay
from mlops_assets.domain.traffic.labelled_rows import concat_days
from mlops_assets.domain.traffic.ripe_rows import find_leading_version, measure_label_delay
from mlops_assets.domain.traffic.row_loss import LabelSpace
from mlops_assets.domain.verdict import Outcome
from tests.kit.specs import GateSpec, model_spec
from tests.kit.watching import interval

START = datetime(2013, 7, 1, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
TIME = pa.timestamp("us", "UTC")
BINARY = LabelSpace(Kind.BINARY, ("no", "yes"), None)


def name_of(number: int) -> str:
    return f"{START + number * DAY:%Y-%m-%d}"


def day(number: int, rows: int = 600, *, delay: timedelta = 2 * HOUR, turned: bool = False, **columns: Any) -> pa.Table:
    """Labelled answers over a day: probabilities that are right, or in a turned world the contrary."""
    draw = np.random.default_rng(100 + number)
    logit = draw.normal(0, 1.5, rows)
    hit = draw.random(rows) < expit(-logit if turned else logit)
    times = [START + number * DAY + place * DAY / rows for place in range(rows)]
    texts = {"version": "1.0.0", "arm": "champion", "role": "champion", "bundle": "b"}
    values: dict[str, Any] = {
        "time": pa.array(times, TIME),
        "known_at": pa.array([each + delay for each in times], TIME),
        **{key: pa.array([text] * rows) for key, text in texts.items()},
        "answer": pa.array(expit(logit)[:, None].tolist(), pa.list_(pa.float64())),
        "label": hit.astype(float),
    }
    return pa.table(values | columns)


def version(kind: Kind = Kind.BINARY, **changes: Any) -> ServedVersion:
    held = concat_days([day(number) for number in range(-9, 0)])
    answered = np.array(held["answer"].to_pylist())[:, 0]
    estimator = fit_estimator(kind, "auc", HeldOutRows(held["label"].to_numpy(), answered, np.empty((len(held), 0))))
    plain = ServedVersion("1.0.0", "b", BINARY, 0.5, {}, (), interval(0.805, 0.01), estimator, ())
    return replace(plain, **changes)


def judged(
    days: Mapping[int, pa.Table], number: int, now: datetime, *before: PerformanceDay, **given: Any
) -> DayQuality:
    """The day in the light of all days up to it."""
    seen = {name_of(each): rows for each, rows in days.items() if each <= number}
    spec = given.pop("spec", model_spec())
    of = DayInputs(
        name=name_of(number),
        rows=days[number],
        recent=seen,
        curve=measure_label_delay(concat_days(list(seen.values())), now, spec.target),
        sample=given.pop("sample", (np.empty(0), np.empty((0, 0)))),
        before=before,
        odd={},
        known_until=now,
        now=now,
    )
    return judge_day(spec, of, given.pop("version", version()))


def judged_in_turn(days: Mapping[int, pa.Table], **given: Any) -> list[PerformanceDay]:
    """Each day two days after it began, on the records of those before it."""
    records: list[PerformanceDay] = []
    for number in sorted(days):
        near = {each: rows for each, rows in days.items() if number - 7 < each <= number}
        records.append(judged(near, number, START + (number + 2) * DAY, *records, **given).record)
    return records


def test_a_ripe_day_is_judged_with_the_days_before_it():
    record = judged_in_turn({number: day(number) for number in range(7)})[-1]
    assert (record.rows, record.labelled, record.maturity) == (600, 600, 1.0)
    assert record.fall.outcome is Outcome.PASS
    assert record.recent is not None
    assert (record.recent.days, record.recent.rows) == (3, 1_800)
    assert record.realised is not None
    assert record.recent.realised is not None
    assert record.realised.low < record.recent.realised.low < record.recent.realised.value


def test_a_turned_world_is_a_fall_on_its_second_day():
    records = judged_in_turn({number: day(number, turned=number >= 7) for number in range(10)})
    assert [each.fall.outcome for each in records[6:]] == [Outcome.PASS, Outcome.INCONCLUSIVE, *[Outcome.FAIL] * 2]
    latest = records[-1].since_promotion
    assert latest is not None
    assert (latest.first, latest.days, latest.falls_since) == (name_of(0), 10, name_of(7))
    assert latest.fall == pytest.approx(0.6, abs=0.05)
    assert f"worse since {name_of(7)}" in records[-1].fall.reason


def test_another_versions_days_are_no_evidence():
    days = {number: day(number, turned=number < 5) for number in range(8)}
    older = [replace(each, bundle="other") for each in judged_in_turn({n: days[n] for n in range(5)})]
    near = {number: days[number] for number in (5, 6, 7)}
    found = judged(near, 7, START + 9 * DAY, *older).record.since_promotion
    assert found is not None
    assert (found.first, found.days, found.evidence < 1) == (name_of(7), 1, True)


def test_days_with_few_labels_are_taken_together_up_to_a_week():
    days = {number: day(number, 100) for number in range(9)}
    few = judged(days, 5, START + 12 * DAY).record.recent
    assert few is not None
    assert (few.days, few.rows) == (5, 500)
    fewer = judged({number: day(number, 50) for number in range(2, 9)}, 8, START + 12 * DAY).record
    assert fewer.recent is not None
    assert (fewer.recent.days, fewer.fall.outcome) == (7, Outcome.INCONCLUSIVE)


def test_labels_that_come_early_do_not_speak_for_a_day():
    """At midnight the evening's labels are still to come."""
    record = judged({0: day(0), 1: day(1, delay=6 * HOUR)}, 1, START + 2 * DAY).record
    assert record.maturity < 0.9
    assert record.realised is None
    assert record.fall.outcome is Outcome.INCONCLUSIVE
    assert "of its labels are there" in record.fall.reason
    assert record.estimated is not None


def test_only_rows_that_are_old_enough_count():
    """Of a day that is ripe on the whole the last rows may be too young: their early labels are not like the rest."""
    rows = day(0, delay=timedelta(minutes=90))
    found = judged({0: rows}, 0, START + DAY)
    assert found.record.maturity >= 0.9
    assert found.ripe is not None
    assert max(found.ripe.rows["time"].to_pylist()) <= START + DAY - timedelta(minutes=90)
    assert len(found.ripe) < found.record.labelled + 40


def test_what_hours_have_in_common_widens_the_interval():
    """Rows of whole hours that are right or wrong together say less than as many rows of their own."""
    rows = day(0, 24_000)
    hours = np.arange(24_000) // 1_000
    told = np.array(rows["answer"].to_pylist())[:, 0]
    right = np.random.default_rng(0).permutation(24)[hours] < 12
    together_ = np.where(right, told >= 0.5, told < 0.5).astype(float)
    apart = np.random.default_rng(0).permutation(together_)
    widths = []
    for labels in (together_, apart):
        realised = judged({0: rows.set_column(7, "label", pa.array(labels))}, 0, START + 2 * DAY).record.realised
        assert realised is not None
        widths.append(realised.high - realised.low)
    assert widths[0] > 5 * widths[1]


def test_negatives_by_time_out_do_not_make_good_answers_bad():
    """Positives are known after three days, negatives when 25 have passed: nothing is judged on positives alone."""
    plain, records, reasons = {number: day(number, 200) for number in range(44)}, dict[int, PerformanceDay](), []
    profile = {"label": {"counts": {"no": 500, "yes": 500}}}
    for passed in range(1, 44):
        now = START + passed * DAY
        days = {number: known_by(rows, now) for number, rows in plain.items() if number < passed}
        number = max(0, passed - 6)
        recent = {each: rows for each, rows in days.items() if each <= number}
        before = [each for name, each in sorted(records.items()) if name < number]
        records[number] = judged(recent, number, now, *before, version=version(profile=profile)).record
        reasons.append(records[number].fall.reason)
    assert all(each.realised is None and each.fall.outcome is Outcome.INCONCLUSIVE for each in records.values())
    assert "labels are no, 50% were in training" in reasons[20]
    now = START + 40 * DAY
    ripe = judged({each: known_by(rows, now) for each, rows in plain.items() if each < 13}, 12, now).record
    assert ripe.realised is not None
    assert ripe.realised.value == pytest.approx(0.8, abs=0.06)


def known_by(rows: pa.Table, now: datetime) -> pa.Table:
    """Positives after three days, negatives after 25."""
    waits = [3 * DAY if hit else 25 * DAY for hit in rows["label"].to_pylist()]
    known = [moment + wait for moment, wait in zip(rows["time"].to_pylist(), waits, strict=True)]
    there = [each <= now for each in known]
    labels = [label if each else np.nan for label, each in zip(rows["label"].to_pylist(), there, strict=True)]
    times = [moment if each else None for moment, each in zip(known, there, strict=True)]
    rows = rows.set_column(rows.column_names.index("label"), "label", pa.array(labels, pa.float64()))
    return rows.set_column(rows.column_names.index("known_at"), "known_at", pa.array(times, TIME))


def test_a_base_rate_that_moves_is_no_fall():
    """Fewer positives come than at the evaluation: average precision moves, and the model is what it was."""
    spec = model_spec()
    spec = spec.with_changes(gates=spec.gates.with_changes(metric="average_precision"))
    known = version(baseline=interval(0.80, 0.02))
    usual = judged_in_turn({number: day(number, 2_000) for number in range(8)}, spec=spec, version=known)
    rare = {number: thinned_positives(day(number, 4_000)) for number in range(8)}
    moved = judged_in_turn(rare, spec=spec, version=known)
    for plain, few in zip(usual, moved, strict=True):
        assert plain.comparable is not None
        assert few.comparable is not None
        assert few.realised is not None
        assert plain.realised is not None
        assert few.comparable.value == pytest.approx(plain.realised.value, abs=0.06)
        assert few.realised.value < plain.realised.value - 0.2
        assert few.fall.outcome is not Outcome.FAIL
    assert "the share of yes moved from 5" in moved[-1].fall.reason


def thinned_positives(rows: pa.Table) -> pa.Table:
    """One positive in five is left."""
    hits = np.flatnonzero(rows["label"].to_numpy() == 1)
    kept = np.setdiff1d(np.arange(len(rows)), np.delete(hits, np.s_[::5]))
    return rows.take(pa.array(kept))


def test_another_versions_days_and_shadows_are_left_out():
    other = day(0).set_column(5, "bundle", pa.array(["other"] * 600))
    shadow = day(1, 900).set_column(4, "role", pa.array(["shadow"] * 900))
    both = concat_days([day(1, 500), shadow])
    record = judged({0: other, 1: both}, 1, START + 3 * DAY).record
    assert (record.rows, record.recent and record.recent.days) == (500, 1)
    assert find_leading_version(both) == ("1.0.0", "b")
    assert find_leading_version(shadow) is None


def test_nobody_answered_and_labels_never_came_are_told():
    nobody = judged({0: day(0, 0)}, 0, START + 2 * DAY, version=None).record
    assert nobody.fall.outcome is nobody.estimated_fall.outcome is nobody.trust.outcome is Outcome.INCONCLUSIVE
    assert "No version answered" in nobody.fall.reason
    none = pa.array([None] * 600, TIME)
    unlabelled = judged({0: day(0, label=pa.array([np.nan] * 600), known_at=none)}, 0, START + 40 * DAY).record
    assert unlabelled.fall.outcome is Outcome.INCONCLUSIVE
    assert "0% of its labels are there" in unlabelled.fall.reason
    assert unlabelled.estimated is not None
    one = judged({0: day(0, 1)}, 0, START + 2 * DAY).record
    assert one.fall.outcome is Outcome.INCONCLUSIVE
    assert "1 rows" in one.fall.reason


def test_without_a_reference_the_reason_is_told():
    bare = version(baseline=None, estimator=None, problems=("no evaluation of it",))
    record = judged({0: day(0)}, 0, START + 2 * DAY, version=bare).record
    assert record.fall.outcome is Outcome.INCONCLUSIVE
    assert "no evaluation of it" in record.fall.reason
    assert (record.baseline, record.estimated) == (None, None)
    assert record.realised is not None


def test_estimates_are_trusted_only_while_they_are_right():
    records = judged_in_turn({number: day(number, 3_000, turned=number >= 8) for number in range(16)})
    outcomes = [each.trust.outcome for each in records]
    assert outcomes[:5] == [Outcome.INCONCLUSIVE] * 5
    assert outcomes[6] is Outcome.PASS
    assert records[7].estimated_fall.outcome is Outcome.PASS
    assert outcomes[-1] is Outcome.FAIL  # they cannot see that the same inputs mean something else
    assert records[-1].fall.outcome is Outcome.FAIL


def test_labels_are_expected_as_on_the_days_before():
    before = judged({0: day(0)}, 0, START + 2 * DAY).record
    stopped = day(1, label=pa.array([np.nan] * 600), known_at=pa.array([None] * 600, TIME))
    record = judged({0: day(0), 1: stopped}, 1, START + 3 * DAY, before).record
    assert (record.labelled, record.expected) == (0, 600)
    assert judged({0: day(0)}, 0, START + 2 * DAY).record.expected == 600


def number(seed: int, rows: int, noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    features = draw.normal(0, 1, (rows, 2))
    told = 3 * features[:, 0]
    return told + draw.normal(0, noise * (1 + (features[:, 1] > 0)), rows), told, features


@pytest.mark.parametrize("metric", ["mae", "rmse", "r2"])
def test_a_number_is_estimated_and_days_of_it_pooled(metric):
    estimator = fit_estimator(Kind.REGRESSION, metric, HeldOutRows(*number(0, 5_000, 1.0)))
    parts = []
    for seed in (1, 2):
        truth, told, features = number(seed, 2_000, 1.0)
        guess = estimator(told, features, level=0.95, seed=0)
        assert guess.low <= METRICS[metric](truth, told) <= guess.high
        parts.append((2_000 * seed, guess))
    both = pool_estimates(metric, parts)
    ends = sorted(each.estimate for _, each in parts)
    assert ends[0] <= both.estimate <= ends[1]
    assert both.low < both.estimate < both.high


def test_a_days_error_is_estimated_before_its_labels_are_there():
    spec = model_spec()
    gates: GateSpec = spec.gates.with_changes(metric="mae")
    spec = spec.with_changes(gates=gates, target=spec.target.with_changes(kind=Kind.REGRESSION))
    truth, told, features = number(3, 800, 1.0)
    rows = day(0, 800, answer=pa.array(told[:, None].tolist(), pa.list_(pa.float64())), label=pa.array(truth))
    estimator = fit_estimator(Kind.REGRESSION, "mae", HeldOutRows(*number(0, 5_000, 1.0)))
    known = version(judged=LabelSpace(Kind.REGRESSION, (), 1.0), baseline=interval(1.2, 0.02), estimator=estimator)
    record = judged({0: rows}, 0, START + 2 * DAY, spec=spec, version=known, sample=(told, features)).record
    assert record.estimated_fall.numbers["current"] == pytest.approx(1.2, abs=0.1)
    assert record.realised is not None
    assert record.estimated is not None
    assert record.estimated.low <= record.realised.value <= record.estimated.high


def test_what_cannot_be_estimated_says_so():
    flat = fit_estimator(Kind.REGRESSION, "r2", HeldOutRows(*number(0, 500, 1.0)))
    with pytest.raises(UnmeasurableError, match="every prediction is the same"):
        flat(np.ones(50), np.zeros((50, 2)), level=0.95, seed=0)
    with pytest.raises(UnmeasurableError, match="on no day"):
        pool_estimates("mae", [])


def test_business_value_is_the_mean_over_answers():
    costs = {"yes/yes": 10.0, "yes/no": -2.0, "no/yes": -20.0}
    labels, told = np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.9, 0.8, 0.1, 0.2])
    assert mean_business_value(costs, ("no", "yes"), labels, told, None) == pytest.approx((10 - 2 - 20 + 0) / 4)
    assert mean_business_value(costs, ("no", "yes"), labels, told, 0.85) == pytest.approx((10 + 0 - 20 + 0) / 4)
    assert mean_business_value({}, ("no", "yes"), labels, told, None) is None
    assert find_unknown_pairs({"yes/no": 1.0, "yes/perhaps": 1.0}, ("no", "yes")) == ("yes/perhaps",)
