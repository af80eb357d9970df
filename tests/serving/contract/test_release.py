"""The release file: what is written is read, what breaks the rules is refused whole, generations rise."""

import json
import multiprocessing
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.contract.arms import Role, Strategy
from serving.contract.release import (
    Arm,
    Bandit,
    Guards,
    Provider,
    Release,
    ReleaseError,
    Reward,
    from_json,
    read_release,
    to_json,
    write_release,
)

CHAMPION = Arm("champion", "1.2.0", "aa" * 16, Role.CHAMPION, 0.95)
CANARY = Arm("canary", "1.3.0", "bb" * 16, Role.CANARY, 0.05)
RELEASE = Release(
    model="flight_delay",
    generation=3,
    strategy=Strategy.CANARY,
    arms=(CHAMPION, CANARY),
    guards=Guards(latency_ms=100.0, error_share=0.5),
    bandit=None,
    fallback="cc" * 16,
    default={"probability": 0.2},
    provider=Provider.AUTO,
    salt="rollout-3",
    opened_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
)


def body() -> dict:
    return json.loads(to_json(RELEASE))


def refused(changed: dict) -> str:
    with pytest.raises(ReleaseError) as caught:
        from_json(json.dumps(changed))
    return "; ".join(caught.value.problems)


def test_what_is_written_is_read(tmp_path):
    assert write_release(tmp_path / "new" / "flight_delay.json", RELEASE)
    assert read_release(tmp_path / "new" / "flight_delay.json") == RELEASE
    assert to_json(from_json(to_json(RELEASE))) == to_json(RELEASE)


def test_every_problem_is_told_at_once():
    changed = body()
    changed["generation"] = 0
    changed["strategy"] = "magic"
    changed["arms"][0]["weight"] = "much"
    changed["arms"][1]["bundle"] = "../../etc"
    changed["surprise"] = 1
    del changed["salt"]
    told = refused(changed)
    for part in (
        "generation",
        "strategy",
        "arms[0].weight",
        "arms[1].bundle",
        "'surprise' is not a field",
        "salt is missing",
    ):
        assert part in told


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("generation", True),
        ("generation", 1.5),
        ("generation", 2**60),
        ("model", "../x"),
        ("model", ""),
        ("salt", None),
        ("opened_at", "2026-01-02T03:04:00"),
        ("opened_at", "yesterday"),
        ("provider", "tpu"),
        ("fallback", "xyz"),
        ("default", [1]),
        ("guards", {"latency_ms": 0, "error_share": 0.5}),
        ("guards", {"latency_ms": 5}),
        ("arms", []),
        ("arms", {}),
        ("arms", [None]),
        ("bandit", {"epsilon": 2, "floor": 0, "reward": "binary"}),
    ],
)
def test_a_wrong_value_is_refused_by_name(field, value):
    assert field in refused(body() | {field: value})


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "must be an object"),
        ('{"model": NaN}', "finite"),
        ('{"default": {"a": 1e999}}', "finite"),
        ('{"model": "a", "model": "b"}', "twice"),
        (" " * 1_000_001, "larger than"),
    ],
)
def test_a_hostile_text_is_refused(text, cause):
    with pytest.raises(ReleaseError, match=cause):
        from_json(text)


@given(st.integers(0, len(to_json(RELEASE)) - 3))
def test_a_file_cut_anywhere_is_refused(length):
    with pytest.raises(ReleaseError):
        from_json(to_json(RELEASE)[:length])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*body(), "x"]), inner),
    )
)
def test_any_other_json_is_refused_and_nothing_else_happens(raw):
    with pytest.raises(ReleaseError):
        from_json(json.dumps(raw))


SHADOW = Arm("shadow", "1.3.0", "bb" * 16, Role.SHADOW, 1.0)
WHOLE = replace(CHAMPION, weight=1.0)
HALVES = (replace(CHAMPION, weight=0.5), Arm("b", "1.3.0", "bb" * 16, Role.VARIANT, 0.5))
LEARNING = Bandit(epsilon=0.1, floor=0.05, reward=Reward.BINARY)


@pytest.mark.parametrize(
    ("strategy", "arms", "bandit"),
    [
        (Strategy.BLUE_GREEN, (WHOLE,), None),
        (Strategy.BLUE_GREEN, (WHOLE, SHADOW), None),
        (Strategy.CANARY, (CHAMPION, CANARY), None),
        (Strategy.CANARY, (CHAMPION, CANARY, SHADOW), None),
        (Strategy.SHADOW, (WHOLE, SHADOW), None),
        (Strategy.AB_TEST, HALVES, None),
        (Strategy.EPSILON_GREEDY, HALVES, LEARNING),
        (Strategy.THOMPSON, HALVES, LEARNING),
    ],
)
def test_each_strategy_has_its_arms(strategy, arms, bandit):
    release = replace(RELEASE, strategy=strategy, arms=arms, bandit=bandit)
    assert from_json(to_json(release)) == release
    assert release.champion.role is Role.CHAMPION
    assert SHADOW not in release.answering


@pytest.mark.parametrize(
    ("strategy", "arms", "bandit", "cause"),
    [
        (Strategy.BLUE_GREEN, (CHAMPION, CANARY), None, "0 arms with role canary"),
        (Strategy.CANARY, (WHOLE,), None, "1 arms with role canary, there are 0"),
        (Strategy.CANARY, (CANARY,), None, "1 arms with role champion"),
        (Strategy.CANARY, (CHAMPION, replace(CANARY, name="champion")), None, "champion stands twice"),
        (Strategy.CANARY, (WHOLE, CANARY), None, "add up to 1.05"),
        (Strategy.SHADOW, (WHOLE,), None, "1 arms with role shadow"),
        (Strategy.BLUE_GREEN, (WHOLE, SHADOW, replace(SHADOW, name="s2")), None, "role shadow, there are 2"),
        (Strategy.AB_TEST, HALVES, LEARNING, "takes no bandit"),
        (Strategy.THOMPSON, HALVES, None, "needs bandit"),
        (Strategy.THOMPSON, HALVES, replace(LEARNING, floor=0.6), "more than all the traffic"),
    ],
)
def test_arms_that_do_not_fit_are_refused(strategy, arms, bandit, cause):
    with pytest.raises(ReleaseError, match=cause):
        to_json(replace(RELEASE, strategy=strategy, arms=arms, bandit=bandit))


def test_the_same_release_again_changes_nothing(tmp_path):
    path = tmp_path / "m.json"
    write_release(path, RELEASE)
    before = path.stat().st_ino
    assert not write_release(path, RELEASE)
    assert path.stat().st_ino == before


@pytest.mark.parametrize("generation", [3, 2])
def test_a_generation_that_does_not_rise_is_refused(tmp_path, generation):
    write_release(tmp_path / "m.json", RELEASE)
    with pytest.raises(ReleaseError, match=f"holds generation 3, the new release is {generation}.*write generation 4"):
        write_release(tmp_path / "m.json", replace(RELEASE, generation=generation, salt="other"))
    assert read_release(tmp_path / "m.json") == RELEASE


def test_another_models_file_is_left_alone(tmp_path):
    write_release(tmp_path / "m.json", RELEASE)
    with pytest.raises(ReleaseError, match="belongs to flight_delay"):
        write_release(tmp_path / "m.json", replace(RELEASE, model="other", generation=9))


def test_a_broken_file_is_replaced_only_when_told_to(tmp_path):
    path = tmp_path / "m.json"
    path.write_text(to_json(RELEASE)[:100])
    with pytest.raises(ReleaseError, match="over_broken"):
        write_release(path, RELEASE)
    assert write_release(path, RELEASE, over_broken=True)
    assert read_release(path) == RELEASE


def test_a_release_that_breaks_the_rules_is_never_written(tmp_path):
    with pytest.raises(ReleaseError):
        write_release(tmp_path / "m.json", replace(RELEASE, default={"a": float("nan")}))
    assert list(tmp_path.iterdir()) == []


def _write_many(path, salt):
    for generation in range(1, 41):
        with suppress(ReleaseError):  # the other writer was first
            write_release(path, replace(RELEASE, generation=generation, salt=salt))


def test_racing_writers_leave_whole_rising_generations(tmp_path):
    path = tmp_path / "m.json"
    write_release(path, replace(RELEASE, generation=1, salt="a"))
    start = multiprocessing.get_context("fork")
    writers = [start.Process(target=_write_many, args=(path, salt)) for salt in ("a", "b")]
    for writer in writers:
        writer.start()
    seen = []
    while any(writer.is_alive() for writer in writers):
        seen.append(read_release(path).generation)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert seen == sorted(seen)
    assert read_release(path).generation == 40
    assert [found.name for found in tmp_path.iterdir() if ".lock" not in found.name] == ["m.json"]
