"""What is counted of a step, and what is not."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.evaluation import SliceSpec
from mlops_assets.domain.release.release_state import ReleaseState
from mlops_assets.domain.release.step_evidence import LOSS, REWARD, StepObservations, observe_step, step_evidence
from mlops_assets.domain.traffic.outcomes import outcomes_by_tail
from mlops_assets.domain.traffic.row_loss import LabelSpace
from mlops_assets.domain.traffic.slices import flatten_batch
from serving.contract.arms import Strategy
from serving.log.feedback import SCHEMA
from tests.kit.rollout_log import Behaviour, minutes_later, outcome_rows, release_state, routed_requests
from tests.kit.specs import model_spec

JUDGED = LabelSpace(Kind.BINARY, ("no", "yes"), None)
SLICES = (SliceSpec(column="carrier", minimum=1), SliceSpec(column="distance", bins=2, minimum=1))
PROFILE = {
    "categories": {"carrier": {"counts": {"UA": 3, "AA": 2, "ZZ": 1}}},
    "numbers": {"distance": {"quantiles": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]}},
}


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def seen(
    state: ReleaseState, batches: list[pa.RecordBatch], told: Sequence[pa.RecordBatch] = (), **other
) -> StepObservations:
    spec = model_spec(slices=SLICES)
    rows = pa.Table.from_batches([flatten_batch(batch, spec.slices, ()) for batch in batches])
    outcomes = outcomes_by_tail(pa.Table.from_batches(told, SCHEMA), state.tails.values())
    given = {"now": minutes_later(30), "last_read": minutes_later(20), "profile": PROFILE} | other
    return observe_step(spec, state, rows, outcomes, judged={arm.name: JUDGED for arm in state.arms}, **given)


def test_requests_are_counted_not_rows():
    release = release_state()
    batch, _ = routed_requests(release, np.array([0, 0, 1]), rng=rng(), rows=4)
    found = seen(release, [batch])
    assert (found.arms["champion"].requests, found.arms["canary"].requests) == (2, 1)


def test_a_fallback_answer_is_an_error_of_the_routed_arm():
    release = release_state()
    broken = {"canary": Behaviour(errors=1.0)}
    batch, truth = routed_requests(release, np.array([1] * 5 + [0] * 5), rng=rng(), behaviour=broken)
    found = seen(release, [batch], [outcome_rows(batch, truth.tolist(), at=minutes_later(1))])
    assert (found.arms["canary"].errors, found.arms["champion"].errors) == (5, 0)
    assert found.arms["canary"].losses.count == 0  # the champion's answers say nothing about the canary
    assert found.arms["champion"].losses.count == 5


def test_a_default_answer_is_an_error_of_the_champion_too():
    release = release_state()
    batch, _ = routed_requests(
        release, np.zeros(3, dtype=int), rng=rng(), behaviour={"champion": Behaviour(errors=1.0)}
    )
    assert seen(release, [batch]).arms["champion"].errors == 3


def test_slow_answers_are_those_above_the_budget():
    release = release_state()
    batch, _ = routed_requests(release, np.array([0, 1, 1]), rng=rng(), behaviour={"canary": Behaviour(slow=1.0)})
    assert seen(release, [batch]).arms["canary"].slow == 2
    assert seen(release, [batch]).arms["champion"].slow == 0


def test_requests_of_another_generation_do_not_count():
    old, new = release_state(generation=6), release_state(generation=7)
    batches = [routed_requests(each, np.array([0, 1]), rng=rng())[0] for each in (old, new)]
    assert seen(new, batches).arms["canary"].requests == 1


def test_the_loss_is_that_of_rows_with_an_outcome():
    release = release_state()
    batch, _ = routed_requests(release, np.array([0, 1, 1]), rng=rng())
    told = outcome_rows(batch.slice(1, 1), [True], at=minutes_later(5))
    found = seen(release, [batch], [told])
    said = batch["answer"][1].as_py()[0]
    assert found.arms["canary"].losses.count == 1
    assert found.arms["canary"].losses.total == pytest.approx((1 - said) ** 2)
    assert found.arms["champion"].losses.count == 0


def test_the_first_outcome_counts_and_a_contradiction_is_told():
    release = release_state()
    batch, _ = routed_requests(release, np.array([1]), rng=rng())
    told = [outcome_rows(batch, ["no"], at=minutes_later(5)), outcome_rows(batch, ["yes"], at=minutes_later(2))]
    found = seen(release, [batch], told)
    said = batch["answer"][0].as_py()[0]
    assert found.arms["canary"].losses.total == pytest.approx((1 - said) ** 2)
    assert any("1 rows have outcomes that contradict" in note for note in found.notes)


def test_a_repeated_outcome_counts_once():
    release = release_state()
    batch, _ = routed_requests(release, np.array([1]), rng=rng())
    found = seen(release, [batch], [outcome_rows(batch, ["no"], at=minutes_later(m)) for m in (1, 2)])
    assert found.arms["canary"].losses.count == 1
    assert found.notes == ()


def test_outcomes_of_unknown_requests_change_nothing():
    release = release_state()
    batch, _ = routed_requests(release, np.array([1]), rng=rng())
    other, _ = routed_requests(release, np.array([1]), rng=rng(), first=99)
    assert seen(release, [batch], [outcome_rows(other, ["no"], at=minutes_later(1))]).arms["canary"].losses.count == 0


def test_outcomes_that_mean_nothing_are_told():
    release = release_state()
    batch, _ = routed_requests(release, np.array([1, 0]), rng=rng())
    found = seen(release, [batch], [outcome_rows(batch, ["perhaps", "yes"], at=minutes_later(1))])
    assert any("1 outcomes cannot be judged" in note for note in found.notes)


def test_slices_are_those_of_training_by_value_and_by_bin():
    release = release_state()
    batch, _ = routed_requests(release, np.tile([0, 0, 1, 1], 35), rng=rng())
    found = seen(release, [batch])
    assert list(found.slices) == [
        "carrier=UA", "carrier=AA", "carrier=ZZ", "distance=up to 3", "distance=above 3",
    ]  # fmt: skip
    by_carrier = [found.slices[f"carrier={name}"] for name in ("AA", "UA", "ZZ")]
    assert sum(arm["canary"].requests for arm in by_carrier) == found.arms["canary"].requests == 70


def test_a_request_counts_once_in_each_slice_of_its_rows():
    release = release_state()
    batch, _ = routed_requests(release, np.array([0, 1]), rng=rng(), rows=4)  # AA, UA, AA, UA
    found = seen(release, [batch])
    assert [found.slices[f"carrier={name}"]["canary"].requests for name in ("AA", "UA")] == [1, 1]


def test_a_slice_under_its_minimum_is_empty_but_stays():
    release = release_state()
    batch, _ = routed_requests(release, np.array([0, 0, 1]), rng=rng())
    spec = model_spec(slices=(SliceSpec(column="carrier", minimum=5),))
    rows = pa.Table.from_batches([flatten_batch(batch, spec.slices, ())])
    found = observe_step(
        spec, release, rows, outcomes_by_tail(SCHEMA.empty_table(), ()), judged={"champion": JUDGED, "canary": JUDGED},
        profile=PROFILE, now=minutes_later(1), last_read=None,
    )  # fmt: skip
    assert [arm["canary"].requests for arm in found.slices.values()] == [0, 0, 0]


def test_a_slice_that_the_log_does_not_hold_is_told():
    release = release_state()
    batch, _ = routed_requests(release, np.array([0]), rng=rng())
    spec = model_spec(slices=(SliceSpec(column="weekday", minimum=1),))
    rows = pa.Table.from_batches([flatten_batch(batch, spec.slices, ())])
    found = observe_step(
        spec, release, rows, outcomes_by_tail(SCHEMA.empty_table(), ()), judged={"champion": JUDGED, "canary": JUDGED},
        profile=PROFILE, now=minutes_later(1), last_read=None,
    )  # fmt: skip
    assert found.slices == {}
    assert any("slices by weekday" in note for note in found.notes)


def test_blindness_begins_at_the_last_row_before_a_problem():
    release = release_state()
    batch, _ = routed_requests(release, np.array([0]), rng=rng())
    assert seen(release, [batch]).blind == timedelta(0)
    assert seen(release, [batch], problems=["a gap"]).blind == timedelta(minutes=10)
    assert seen(release, [batch], problems=["a gap"], last_read=None).blind == timedelta(minutes=30)


def test_a_failed_copy_counts_only_where_the_champion_answered():
    release = release_state(Strategy.SHADOW, share=1.0)
    champion, _ = routed_requests(release, np.zeros(3, dtype=int), rng=rng())
    copies, _ = routed_requests(release, np.ones(4, dtype=int), rng=rng(), behaviour={"shadow": Behaviour(errors=1.0)})
    found = seen(release, [copies, champion])  # the fourth request was refused: its rows were nonsense
    assert (found.arms["shadow"].requests, found.arms["shadow"].errors) == (3, 3)
    assert step_evidence(found).share == 0.5


def test_a_key_in_two_arms_counts_in_none():
    release = release_state(Strategy.AB_TEST, share=0.5)
    keys = ["ann", "ann", "bob", "eve", "eve"]
    batch, _ = routed_requests(release, np.array([0, 0, 1, 0, 1]), rng=rng(), keys=keys)
    told = outcome_rows(batch, [True, False, True, True, True], at=minutes_later(1), reward=[1.0, 0.0, 1.0, 1.0, 1.0])
    found = seen(release, [batch], [told]).people
    assert {name: arm.people for name, arm in found.items()} == {"champion": 1, "variant": 1}
    assert found["champion"].metrics[REWARD].total == 0.5
    assert found["champion"].metrics[LOSS].count == 1


def test_a_release_without_challenger_has_no_step():
    release = release_state()
    alone = replace(release, arms=release.arms[:1])
    batch, _ = routed_requests(alone, np.array([0]), rng=rng())
    with pytest.raises(ValueError, match="no arm beside the champion"):
        step_evidence(seen(alone, [batch]))
