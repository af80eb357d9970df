"""Evidence from what a real endpoint writes: canaries and shadows that fail, outcomes that come back."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import CREATED_TIME, Layer
from mlops_assets.domain.release.release_state import ArmState, ReleaseState
from mlops_assets.domain.release.rollout import RolloutAction
from mlops_assets.domain.release.step_decision import decide_step
from mlops_assets.domain.release.step_evidence import StepObservations
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.resources.traffic.endpoint_log import Traffic
from mlops_assets.stages.release.collect import read_rollout_evidence
from mlops_assets.stages.traffic.source_labels import label_columns
from serving.contract.arms import Role, Strategy
from serving.contract.arms import Role as RoleOfState
from serving.contract.arms import Strategy as Declared
from serving.contract.release import Release, write_release
from tests.kit.specs import feed_spec, model_spec, source_spec
from tests.serving.endpoint import in_process
from tests.serving.graphs import contract, make_bundle, number, release

FIELDS = (number("distance"),)


def state_of(given: Release) -> ReleaseState:
    arms = tuple(
        ArmState(a.name, a.version, str(i), a.bundle, RoleOfState(a.role.value), a.weight)
        for i, a in enumerate(given.arms)
    )
    now = datetime.now(UTC) - timedelta(minutes=1)
    strategy = Declared(given.strategy.value)
    return ReleaseState(given.model, given.generation, strategy, arms, None, given.salt, now, False, "", 1, "tests")


def asked(home: Path, given: Release, rows: list[dict[str, Any]], outcome: Any = None) -> list[int]:
    """The answers' status; each row is a request of its own. Outcomes go back for those that were answered."""
    write_release(home / "releases" / "delay.json", given)

    async def ask() -> list[int]:
        # A worker refuses what waited for half the deadline; a loaded machine must not make these tests meet that.
        async with in_process(home, ENDPOINT_DEADLINE_SECONDS="600") as (client, _):
            answers = [await client.post("/v1/models/delay/predict", json={"rows": [row]}) for row in rows]
            ids = [answer.json()["request_id"] for answer in answers if answer.status_code == 200]
            if outcome is not None:
                told = [{"request_id": each, "row": 0, "outcome": outcome} for each in ids]
                await client.post("/v1/models/delay/feedback", json=told)
            return [answer.status_code for answer in answers]

    return asyncio.run(ask())


def seen(home: Path, given: Release, spec: ModelSpec | None = None, lake: Lake | None = None) -> StepObservations:
    traffic = Traffic(home=str(home))
    bundles = Bundles(root=str(home / "bundles"), cache=str(home / "cache"))
    spec = spec or model_spec(model="delay")
    return read_rollout_evidence(spec, state_of(given), traffic, bundles, now=datetime.now(UTC), lake=lake)


def bundle(home: Path, seed: int = 0, **how: Any) -> str:
    entity = how.pop("entity", ())
    return make_bundle(home / "bundles", contract(FIELDS, entity=entity, out_of_range="flag"), seed=seed, **how)


def rows(count: int, distance: float = 1.0) -> list[dict[str, Any]]:
    return [{"distance": distance + i / 100} for i in range(count)]


def test_what_a_canary_cannot_answer_is_its_error_and_no_users(tmp_path):
    arms = (
        ("champion", bundle(tmp_path), Role.CHAMPION, 0.5),
        ("canary", bundle(tmp_path, 1, fails_above=0.0), Role.CANARY, 0.5),
    )
    given = release(*arms, strategy=Strategy.CANARY, generation=27)
    assert set(asked(tmp_path, given, rows(60), outcome="yes")) == {200}
    found = seen(tmp_path, given)
    ours, theirs = found.arms["canary"], found.arms["champion"]
    assert ours.requests + theirs.requests == 60
    assert ours.errors == ours.requests > 10
    assert theirs.errors == 0
    assert (ours.losses.count, theirs.losses.count) == (0, theirs.requests)
    assert 0 < theirs.losses.mean < 1
    assert found.problems == found.notes == ()


def test_a_shadow_that_fails_leaves_evidence(tmp_path):
    arms = (
        ("champion", bundle(tmp_path), Role.CHAMPION, 1.0),
        ("shadow", bundle(tmp_path, 1, fails_above=2.0), Role.SHADOW, 1.0),
    )
    given = release(*arms, strategy=Strategy.SHADOW)
    assert asked(tmp_path, given, [*rows(8), *rows(4, distance=5.0)]) == [200] * 12
    found = seen(tmp_path, given)
    assert (found.arms["shadow"].requests, found.arms["shadow"].errors) == (12, 4)
    assert (found.arms["champion"].requests, found.arms["champion"].errors) == (12, 0)


def test_rows_that_are_nonsense_are_nobodys_error(tmp_path):
    arms = (("champion", bundle(tmp_path), Role.CHAMPION, 1.0), ("shadow", bundle(tmp_path, 1), Role.SHADOW, 1.0))
    given = release(*arms, strategy=Strategy.SHADOW)
    assert asked(tmp_path, given, [{"distance": "far"}, *rows(3)]) == [422, 200, 200, 200]
    assert seen(tmp_path, given).arms["shadow"].errors == 0


def test_a_canary_that_wants_one_more_field_is_rolled_back(tmp_path):
    digests = [
        make_bundle(tmp_path / "bundles", contract(fields), seed=seed)
        for seed, fields in enumerate((FIELDS, (*FIELDS, number("seats"))))
    ]
    arms = (("champion", digests[0], Role.CHAMPION, 0.95), ("canary", digests[1], Role.CANARY, 0.05))
    given = release(*arms, strategy=Strategy.CANARY)
    assert set(asked(tmp_path, given, rows(600))) == {200}
    found = seen(tmp_path, given)
    assert found.arms["canary"].errors == found.arms["canary"].requests > 15
    assert found.arms["champion"].errors == 0
    decision = decide_step(model_spec(model="delay").rollout, state_of(given), found)
    assert decision.action is RolloutAction.ROLL_BACK
    assert decision.reason.startswith("errors: 100.000% against 0.000%")


def test_a_request_that_only_the_champion_refuses_is_its_error(tmp_path):
    digests = [
        make_bundle(tmp_path / "bundles", contract(fields), seed=seed)
        for seed, fields in enumerate((FIELDS, (*FIELDS, number("seats"))))
    ]
    arms = (("champion", digests[0], Role.CHAMPION, 0.5), ("canary", digests[1], Role.CANARY, 0.5))
    given = release(*arms, strategy=Strategy.CANARY)
    nonsense = [{"distance": "far", "seats": 1.0}] * 30
    answers = asked(tmp_path, given, [*({**row, "seats": 1.0} for row in rows(60)), *nonsense])
    found = seen(tmp_path, given)
    ours, theirs = found.arms["canary"], found.arms["champion"]
    assert ours.errors == 0
    assert theirs.errors == theirs.requests == answers[:60].count(422)  # what nobody takes is nobody's error
    assert ours.requests + theirs.requests == 60


def test_each_arm_counts_its_rows_of_one_request(tmp_path):
    digests = [bundle(tmp_path, seed, entity=("id",)) for seed in (0, 1)]
    arms = (("champion", digests[0], Role.CHAMPION, 0.5), ("variant", digests[1], Role.VARIANT, 0.5))
    given = release(*arms, strategy=Strategy.AB_TEST)
    write_release(tmp_path / "releases" / "delay.json", given)

    async def ask() -> None:
        async with in_process(tmp_path) as (client, _):
            body = {"rows": [{"id": f"N{i}", **row} for i, row in enumerate(rows(40))]}
            for _ in range(3):
                answer = (await client.post("/v1/models/delay/predict", json=body)).json()
                outcomes = [{"request_id": answer["request_id"], "row": i, "outcome": "yes"} for i in range(40)]
                assert (await client.post("/v1/models/delay/feedback", json=outcomes)).status_code == 202

    asyncio.run(ask())
    found = seen(tmp_path, given)
    assert [(arm.requests, arm.errors) for arm in found.arms.values()] == [(3, 0), (3, 0)]
    assert labelled(found) == 120
    assert sum(arm.people for arm in found.people.values()) == 40
    assert min(arm.people for arm in found.people.values()) > 8


def labelled(found: StepObservations) -> int:
    return sum(int(np.asarray(arm.losses.count)) for arm in found.arms.values())


@pytest.fixture
def lake(tmp_path) -> Lake:
    made = Lake(root=str(tmp_path / "lake"))
    now = datetime.now(UTC)
    labels = pa.table(
        {
            "id": [f"N{i}" for i in range(4)],
            "label": ["yes", "no", None, "yes"],
            CREATED_TIME: pa.array([now] * 3 + [now + timedelta(days=1)], pa.timestamp("us", "UTC")),
        }
    )
    made.table("delay", Layer.VALIDATED, "events").write("all", labels, now=now, time_column=CREATED_TIME)
    return made


def test_source_labels_count_where_entity_keys_identify_rows(tmp_path, lake):
    digests = [bundle(tmp_path, seed, entity=("id",)) for seed in (0, 1)]
    arms = (("champion", digests[0], Role.CHAMPION, 0.5), ("canary", digests[1], Role.CANARY, 0.5))
    given = release(*arms, strategy=Strategy.CANARY)
    asked(tmp_path, given, [{"id": f"N{i}", **row} for i, row in enumerate(rows(6))])
    spec = model_spec(model="delay", source=source_spec(feed_spec("events", key=("id",))))
    found = seen(tmp_path, given, spec, lake)
    assert labelled(found) == 2  # not null, and known by now
    assert labelled(seen(tmp_path, given, spec)) == 0


@pytest.mark.parametrize(
    ("key", "entity", "expected"),
    [
        (("id",), ("id",), ("entity:id",)),
        (("id",), ("tail",), ("sent_key",)),
        ((), ("tail",), ()),
        (("a", "b"), ("b", "a"), ("entity:a", "entity:b")),
        (("a", "b"), ("a",), ()),
    ],
)
def test_labels_are_joined_only_by_their_whole_key(key, entity, expected):
    spec = model_spec(source=source_spec(feed_spec("events", key=key)))
    assert label_columns(spec, entity) == expected
