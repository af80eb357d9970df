"""How long labels take, learnt while some are still on their way."""

from datetime import timedelta

import numpy as np
import pytest

from mlops_assets.domain.traffic.label_delay import fit_delay_curve, fit_from_labelled, measure_maturity

NOW = np.datetime64("2024-03-01T00:00:00", "us")
DAY = 86_400.0


def answers(days: float, count: int = 20_000, never: float = 0.0):
    """Answers of the last `days`, labels after 2 days on average, some never; those after now are unknown."""
    draw = np.random.default_rng(0)
    answered = NOW - (draw.random(count) * days * DAY * 1e6).astype("timedelta64[us]")
    labelled = answered + (draw.exponential(2 * DAY, count) * 1e6).astype("timedelta64[us]")
    labelled[draw.random(count) < never] = np.datetime64("NaT")
    return answered, np.where(labelled <= NOW, labelled, np.datetime64("NaT"))


def test_labels_that_are_on_their_way_do_not_count_as_missing():
    answered, labelled = answers(days=12, never=0.1)
    curve = fit_delay_curve(answered, labelled, NOW)
    assert curve.ever == pytest.approx(0.9, abs=0.02)
    ages = np.array([1, 2, 4]) * DAY
    assert curve.share(ages) == pytest.approx(1 - np.exp(-ages / (2 * DAY)), abs=0.02)
    naive = (~np.isnat(labelled)).mean()
    assert naive < 0.8  # what counting alone would say


def test_labelled_answers_alone_give_the_same_curve():
    answered, labelled = answers(days=12)
    known = ~np.isnat(labelled)
    curve = fit_from_labelled(answered[known], labelled[known], NOW)
    ages = np.array([1, 2, 4]) * DAY
    assert curve.share(ages) == pytest.approx(1 - np.exp(-ages / (2 * DAY)), abs=0.02)


def test_maturity_of_a_window_and_the_age_of_a_ripe_one():
    answered, labelled = answers(days=20)
    curve = fit_delay_curve(answered, labelled, NOW)
    young, old = (np.full(10, NOW - np.timedelta64(days, "D")) for days in (1, 12))
    assert measure_maturity(curve, young, NOW) == pytest.approx(0.39, abs=0.03)
    assert measure_maturity(curve, old, NOW) > 0.98
    assert curve.after(0.9) == pytest.approx(timedelta(days=4.6), abs=timedelta(days=0.4))
    assert np.isnan(measure_maturity(curve, answered[:0], NOW))


def test_where_no_label_ever_came_nothing_is_ripe():
    answered, _ = answers(days=5, count=50)
    curve = fit_delay_curve(answered, np.full(50, np.datetime64("NaT"), dtype="datetime64[us]"), NOW)
    assert (curve.ever, curve.labelled, curve.after(0.5)) == (0.0, 0, None)
    assert measure_maturity(curve, answered, NOW) == 0.0


def timed_out(watched: float, *, spread: bool = False, count: int = 20_000):
    """One in five is known after three days, the others when 25 days have passed without, or on any day before that."""
    draw = np.random.default_rng(1)
    answered = NOW - (draw.random(count) * watched * DAY * 1e6).astype("timedelta64[us]")
    outcomes = (draw.random(count) < 0.2).astype(int)
    waits = np.where(outcomes == 1, 3.0, draw.uniform(1, 25, count) if spread else 25.0)
    labelled = answered + (waits * DAY * 1e6).astype("timedelta64[us]")
    there = labelled <= NOW
    return answered, np.where(there, labelled, np.datetime64("NaT")), np.where(there, outcomes, -1)


@pytest.mark.parametrize("watched", [35.0, 45.0])
def test_an_age_is_ripe_when_it_is_for_every_outcome(watched):
    answered, labelled, outcomes = timed_out(watched)
    curve = fit_delay_curve(answered, labelled, NOW, outcomes=outcomes)
    assert curve.after(0.9) == timedelta(days=25)
    ages = np.array([2, 10, 24.9, 25.1]) * DAY
    assert curve.share(ages).tolist() == [0, 0, 0, 1]
    assert curve.outcomes[1].ever == pytest.approx(0.2, abs=0.01)
    assert curve.outcomes[0].ever == pytest.approx(0.8, abs=0.01)


def test_outcomes_that_still_come_leave_everything_open():
    answered, labelled, outcomes = timed_out(12.0, spread=True)
    curve = fit_delay_curve(answered, labelled, NOW, outcomes=outcomes)
    assert (curve.levelled, curve.after(0.9)) == (False, None)
    assert measure_maturity(curve, answered, NOW) == 0.0
    watched = fit_delay_curve(*timed_out(40.0, spread=True)[:2], NOW)
    assert watched.levelled


def test_no_label_counts_before_its_declared_age():
    answered, labelled = answers(days=20)
    curve = fit_delay_curve(answered, labelled, NOW, least=timedelta(days=9))
    assert curve.after(0.5) == timedelta(days=9)
    assert curve.share(np.array([8.9, 9.1]) * DAY)[0] == 0.0


def test_an_older_label_counts_at_once_and_a_future_one_never():
    answered = np.array([NOW - np.timedelta64(5, "D")] * 2)
    curve = fit_delay_curve(
        answered, np.array([answered[0] - np.timedelta64(1, "h"), NOW + np.timedelta64(1, "D")]), NOW
    )
    assert curve.seconds.tolist() == [0.0]
    assert curve.arrived.tolist() == [0.5]
    assert curve.labelled == 1


def test_a_curve_has_bounded_size():
    answered, labelled = answers(days=12)
    assert len(fit_delay_curve(answered, labelled, NOW).seconds) <= 1_000
