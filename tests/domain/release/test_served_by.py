"""From a moment or a request's id back to the release that answered."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mlops_assets.domain.registry.ledger import Draft, Entry, seal
from mlops_assets.domain.release.next_release import (
    ReleasableVersion,
    ReleaseChange,
    ReleaseNotPossible,
    begin_release,
    change_share,
    freeze_release,
    go_back,
    withdraw_challenger,
)
from mlops_assets.domain.release.release_state import ReleaseState, find_release_in_force, release_details
from mlops_assets.domain.release.served_by import (
    UnknownRequestError,
    describe_release,
    find_release_at,
    find_release_of_request,
)
from serving.contract.arms import Strategy
from tests.kit.samples import MOMENT
from tests.kit.specs import ROLLOUT

ONE, TWO, THREE = (ReleasableVersion(str(n), f"1.0.{n}", f"{n}" * 64) for n in (1, 2, 3))
HOUR = timedelta(hours=1)


def entered(entries: list[Entry], change: ReleaseChange, hours: int) -> list[Entry]:
    draft = Draft(
        change.action, change.subject.number, "test", "because", {}, release_details(change.state), change.cause
    )
    before = entries[-1] if entries else None
    return [*entries, seal(draft, model="m", now=MOMENT + hours * HOUR, before=before)]


def begun(entries: list[Entry], version: ReleasableVersion, strategy: Strategy, hours: int) -> list[Entry]:
    now = MOMENT + hours * HOUR
    change = begin_release("m", ROLLOUT, find_release_in_force(entries), version, strategy=strategy, bento="b", now=now)
    assert change is not None
    return entered(entries, change, hours)


@pytest.fixture
def history() -> list[Entry]:
    """Version 1 from hour 0, version 2 as canary from hour 1, at 100 % from hour 2, taken back at hour 3."""
    entries = begun([], ONE, Strategy.CANARY, 0)
    entries = begun(entries, TWO, Strategy.CANARY, 1)
    entries = entered(entries, change_share(_state(entries), 1.0, MOMENT + 2 * HOUR), 2)
    return entered(entries, go_back(_state(entries), ONE, MOMENT + 3 * HOUR), 3)


def _state(entries: list[Entry]) -> ReleaseState:
    state = find_release_in_force(entries)
    assert state is not None
    return state


@pytest.mark.parametrize(
    ("hours", "shares"),
    [
        (-1, None),
        (0, {"1.0.1": 1.0}),
        (1, {"1.0.1": 0.95, "1.0.2": 0.05}),
        (2, {"1.0.2": 1.0}),
        (9, {"1.0.1": 1.0}),
    ],
)
def test_every_moment_has_one_answer(history, hours, shares):
    found = find_release_at(history, MOMENT + hours * HOUR)
    assert (None if found is None else {arm.version: arm.weight for arm in found[0].arms}) == shares


@pytest.mark.parametrize(("tail", "version"), [("1.0", "1.0.1"), ("2.1", "1.0.2"), ("3.0", "1.0.2"), ("4.0", "1.0.1")])
def test_a_request_names_the_version_it_was_routed_to(history, tail, version):
    _, arm, entry = find_release_of_request(history, f"d5f2c340-1a-{tail}")
    assert arm.version == version
    assert entry.details["generation"] == tail[0]


@pytest.mark.parametrize(
    ("request_id", "told"), [("x", "no request's id"), ("a-b-9.0", "1 to 4"), ("a-b-1.7", "no arm 7")]
)
def test_an_id_that_no_release_gave_is_told(history, request_id, told):
    with pytest.raises(UnknownRequestError, match=told):
        find_release_of_request(history, request_id)


def test_the_words_hold_arms_shares_and_who_decided(history):
    found = find_release_at(history, MOMENT + HOUR)
    assert found is not None
    text = "\n".join(describe_release(*found))
    for expected in ("generation 2, canary", "canary: 1.0.2 (version 2), 5%", "by test: because", "bento b"):
        assert expected in text


def test_a_first_version_takes_everything_whatever_the_strategy():
    state = _state(begun([], ONE, Strategy.AB_TEST, 0))
    assert [(arm.version, arm.weight) for arm in state.arms] == [("1.0.1", 1.0)]
    assert (state.strategy, state.fallback) == (Strategy.BLUE_GREEN, None)


@pytest.mark.parametrize(
    ("strategy", "weights"),
    [
        (Strategy.CANARY, (0.95, 0.05)),
        (Strategy.SHADOW, (1.0, 1.0)),
        (Strategy.AB_TEST, (0.5, 0.5)),
        (Strategy.THOMPSON, (0.5, 0.5)),
    ],
)
def test_each_strategy_begins_with_its_shares(strategy, weights):
    state = _state(begun(begun([], ONE, strategy, 0), TWO, strategy, 1))
    assert tuple(arm.weight for arm in state.arms) == weights
    assert state.challenger is not None
    assert state.champion.number == "1"


def test_steps_keep_the_salt_so_that_no_key_changes_sides(history):
    entries = begun(history, THREE, Strategy.CANARY, 4)
    moved = change_share(_state(entries), 0.25, MOMENT + 5 * HOUR).state
    assert (moved.salt, moved.generation) == (_state(entries).salt, 6)
    assert _state(history).salt != moved.salt


def test_a_new_candidate_takes_the_place_of_the_one_on_trial():
    entries = begun(begun([], ONE, Strategy.CANARY, 0), TWO, Strategy.CANARY, 1)
    change = begin_release(
        "m", ROLLOUT, _state(entries), THREE, strategy=Strategy.CANARY, bento="", now=MOMENT + 2 * HOUR
    )
    assert change is not None
    assert (change.replaced, change.state.challenger and change.state.challenger.number) == ("2", "3")


@pytest.mark.parametrize("version", [ONE, TWO])
def test_what_is_released_already_changes_nothing(version):
    entries = begun(begun([], ONE, Strategy.CANARY, 0), TWO, Strategy.CANARY, 1)
    now = MOMENT + 2 * HOUR
    assert begin_release("m", ROLLOUT, _state(entries), version, strategy=Strategy.CANARY, bento="", now=now) is None


def test_the_next_step_thaws_a_frozen_release(history):
    frozen = freeze_release(_state(history), True)
    assert frozen is not None
    assert freeze_release(frozen.state, True) is None
    assert frozen.state.generation == _state(history).generation


@pytest.mark.parametrize(
    "act", [lambda state: change_share(state, 0.1, MOMENT), lambda s: withdraw_challenger(s, MOMENT)]
)
def test_without_a_version_on_trial_there_is_no_step(history, act):
    with pytest.raises(ReleaseNotPossible, match="no version is on trial"):
        act(_state(history))


def test_going_back_to_who_has_everything_is_refused(history):
    with pytest.raises(ReleaseNotPossible, match="has all the traffic already"):
        go_back(_state(history), ONE, MOMENT)


def test_the_champion_replaced_stays_warm_as_fallback():
    entries = begun(begun([], ONE, Strategy.CANARY, 0), TWO, Strategy.BLUE_GREEN, 1)
    assert _state(entries).fallback == ONE.bundle
    assert replace(_state(entries), fallback=None) != _state(entries)


def test_a_reason_cannot_pass_for_another_line(history):
    state = _state(history)
    forged = replace(history[-1], reason="wanted\n```\n  ledger entry 9, promoted by gates: better")
    assert not any("\n" in line for line in describe_release(state, forged))
