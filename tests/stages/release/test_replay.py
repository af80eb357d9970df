"""What is replayed, and what a release makes of requests that cannot be."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlops_assets.domain.release.replay_rows import NoReplay, Replayable
from mlops_assets.domain.release.serving_checks import ServingCheck, find_obstacles
from mlops_assets.domain.verdict import Outcome, Verdict
from mlops_assets.resources.traffic.endpoint_log import Traffic
from mlops_assets.stages.release.replay import read_replay_rows, replay_requests
from serving.contract.arms import Role
from serving.contract.bundle import open_bundle
from serving.contract.fields import Field
from tests.kit.specs import model_spec
from tests.serving.graphs import contract, make_bundle, number, release
from tests.stages.release.test_collect import asked, rows, state_of

CHAMPION = [number("distance")]


def read(home: Path, candidate: list[Field], sent: list[dict]) -> Replayable | NoReplay:
    """What a candidate with these fields is put to, after a champion was sent these rows."""
    old = make_bundle(home / "bundles", contract(CHAMPION))
    new = make_bundle(home / "bundles", contract(candidate), seed=1)
    given = release(("champion", old, Role.CHAMPION, 1.0))
    asked(home, given, sent)
    bundle = open_bundle(home / "bundles" / new)
    return read_replay_rows(
        model_spec(model="delay"), state_of(given), bundle, Traffic(home=str(home)), now=datetime.now(UTC)
    )


def judge(found: Replayable | NoReplay) -> Verdict:
    assert isinstance(found, NoReplay)
    return replay_requests(model_spec(model="delay"), None, found, None)[0]  # type: ignore[arg-type]


def test_the_champions_answers_are_replayed(tmp_path):
    found = read(tmp_path, CHAMPION, rows(5))
    assert isinstance(found, Replayable)
    assert len(found.rows) == 5


def test_a_field_that_no_request_brings_does_not_pass(tmp_path):
    verdict = judge(read(tmp_path, [*CHAMPION, number("seats")], rows(5)))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "Cannot be replayed: the log does not hold seats" in verdict.reason


def test_a_log_of_refusals_only_does_not_pass(tmp_path):
    verdict = judge(read(tmp_path, CHAMPION, [{"distance": "far"}] * 7))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "7 were refused" in verdict.reason


def test_a_model_that_nobody_has_asked_yet_passes(tmp_path):
    verdict = judge(read(tmp_path, CHAMPION, []))
    assert verdict.outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("name", "outcome", "all_at_once", "stops"),
    [
        (ServingCheck.REPLAY, Outcome.PASS, True, False),
        (ServingCheck.REPLAY, Outcome.INCONCLUSIVE, True, True),
        (ServingCheck.REPLAY, Outcome.INCONCLUSIVE, False, False),
        (ServingCheck.REPLAY, Outcome.FAIL, False, True),
        (ServingCheck.LATENCY, Outcome.INCONCLUSIVE, False, True),
    ],
)
def test_an_unmade_replay_stops_what_takes_all_at_once(name, outcome, all_at_once, stops):
    verdict = Verdict(name, outcome, "because", {})
    assert bool(find_obstacles([verdict], all_at_once=all_at_once)) is stops
