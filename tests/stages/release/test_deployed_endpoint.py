"""From a registered version to a release, and the jobs by which people decide: real Bento, process and ledger."""

import json
import shutil
from pathlib import Path

import pytest

from mlops_assets.domain.names import TRAINING_STAGES, Alias, Stage
from mlops_assets.domain.registry.ledger import LedgerAction
from mlops_assets.resources.registry import promotion
from serving.contract.arms import Role, Strategy
from serving.contract.release import read_release
from tests.kit.daily import (
    AFTER,
    MODEL,
    Shop,
    after_the_turn,
    check_results,
    materialized,
    promote_newest,
    run_job,
    run_training,
)
from tests.kit.declared import Bench, run_errors


def released(made: Bench):
    return read_release(made.home / "releases" / f"{MODEL}.json")


def aliases(made: Bench) -> dict:
    found = {alias: made.resources["registry"].resolve(MODEL, alias) for alias in Alias}
    return {alias: number for alias, number in found.items() if number is not None}


def last(made: Bench):
    return made.resources["ledger"].entries(MODEL)[-1]


def arms(made: Bench) -> dict:
    return {arm.role: (arm.version, arm.weight) for arm in released(made).arms}


def config(op: str, **given) -> dict:
    return {"ops": {f"{MODEL}_{op}": {"config": {"approver": "ada", "reason": "tried it"} | given}}}


@pytest.fixture(scope="module")
def second(shop: Shop, tmp_path_factory) -> Shop:
    """New days, a better candidate that waits as challenger. Under `registered`."""
    made = run_training(after_the_turn(shop.copy(shop.registered, tmp_path_factory.mktemp("second"))))
    return Shop(shop.source, shop.with_data, made.home)


def test_a_first_version_is_tried_and_takes_all_the_traffic(shop: Shop, tmp_path):
    made = run_training(shop.copy(shop.with_data, tmp_path))
    result = made.materialize(Stage.DEPLOYED_ENDPOINT)
    assert result.success, run_errors(result)
    assert all(check_results(result).values())
    assert set(check_results(result)) == {"golden_answers", "doors_agree", "provider", "endpoint_latency", "replay"}
    assert aliases(made) == {Alias.CHAMPION: "1", Alias.ANCHOR: "1"}
    assert (last(made).action, last(made).actor, last(made).details["bento"]) == (
        LedgerAction.PROMOTED,
        "gates",
        "shop:1.0.0",
    )
    assert arms(made) == {Role.CHAMPION: ("1.0.0", 1.0)}
    again = made.materialize(Stage.DEPLOYED_ENDPOINT)
    assert again.success, run_errors(again)
    assert released(made).generation == 1  # the same version again changes nothing
    assert len(list((made.home / "bentos" / "bentos" / MODEL).glob("1.0.0*"))) == 1


def test_the_next_version_begins_as_a_canary(second: Shop, tmp_path):
    made = second.copy(second.registered, tmp_path)
    result = made.materialize(Stage.DEPLOYED_ENDPOINT)
    assert result.success, run_errors(result)
    assert arms(made) == {Role.CHAMPION: ("1.0.0", 0.95), Role.CANARY: ("1.0.1", 0.05)}
    assert released(made).strategy is Strategy.CANARY
    assert aliases(made) == {Alias.CHAMPION: "1", Alias.ANCHOR: "1", Alias.CHALLENGER: "2"}
    state = made.resources["ledger"].entry_in_force(MODEL, AFTER)
    assert json.loads(state.details["arms"])[1]["version"] == "1.0.1"


def test_a_version_awaiting_approval_is_tried_not_released(second: Shop, tmp_path):
    made = second.copy(second.registered, tmp_path, promotion="manual")
    result = made.materialize(Stage.DEPLOYED_ENDPOINT)
    assert result.success, run_errors(result)
    (event,) = result.asset_materializations_for_node(f"{MODEL}__{Stage.DEPLOYED_ENDPOINT.value}")
    assert f"{MODEL}_release with version 2" in str(event.metadata["waits"].value)
    assert released(made).generation == 1


def test_a_bento_with_wrong_answers_is_not_released(second: Shop, tmp_path):
    made = second.copy(second.registered, tmp_path, serving={"precisions": ["fp32"], "latency_ms": 0.001})
    result = made.materialize(Stage.DEPLOYED_ENDPOINT)
    assert not result.success
    assert [name for name, well in check_results(result).items() if not well] == ["endpoint_latency"]
    assert "is not released" in run_errors(result)
    assert not materialized(result, Stage.DEPLOYED_ENDPOINT)
    assert arms(made) == {Role.CHAMPION: ("1.0.0", 1.0)}


def test_the_ledger_records_who_promoted_and_rolled_back(second: Shop, tmp_path):
    made = second.copy(second.registered, tmp_path, promotion="manual")
    result = run_job(made, f"{MODEL}_promote", config("promotion", version="2"))
    assert result.success, run_errors(result)
    assert aliases(made) == {Alias.CHAMPION: "2", Alias.ANCHOR: "1", Alias.ARCHIVED: "1"}
    entry = made.resources["ledger"].champion_at(MODEL, AFTER)
    assert (entry.action, entry.subject, entry.actor, entry.reason) == (LedgerAction.PROMOTED, "2", "ada", "tried it")
    assert arms(made) == {Role.CHAMPION: ("1.0.1", 1.0)}
    assert released(made).fallback == made.resources["registry"].version(MODEL, "1").bundle
    assert promotion.audit(made.resources["registry"], made.resources["ledger"], MODEL) == []

    back = run_job(made, f"{MODEL}_rollback", config("going_back"))
    assert back.success, run_errors(back)
    assert arms(made) == {Role.CHAMPION: ("1.0.0", 1.0)}
    assert (released(made).generation, released(made).fallback) == (3, None)
    assert aliases(made)[Alias.CHAMPION] == "1"
    assert promotion.audit(made.resources["registry"], made.resources["ledger"], MODEL) == []

    ahead = run_job(made, f"{MODEL}_rollback", config("going_back", entry=entry.sequence))
    assert ahead.success, run_errors(ahead)
    assert arms(made) == {Role.CHAMPION: ("1.0.1", 1.0)}
    assert promotion.audit(made.resources["registry"], made.resources["ledger"], MODEL) == []


@pytest.mark.parametrize("missing", ["approver", "reason"])
def test_nobody_decides_without_name_and_reason(second: Shop, tmp_path, missing):
    made = second.copy(second.registered, tmp_path)
    result = run_job(made, f"{MODEL}_promote", config("promotion", version="2", **{missing: ""}))
    assert not result.success
    assert missing in run_errors(result)
    assert aliases(made)[Alias.CHAMPION] == "1"


def test_releasing_what_is_no_version_says_so(second: Shop, tmp_path):
    made = second.copy(second.registered, tmp_path)
    result = run_job(made, f"{MODEL}_release", config("releasing", version="7"))
    assert not result.success
    assert "7" in run_errors(result)


def test_a_withdrawn_canary_stays_down_when_rerun(second: Shop, tmp_path):
    made = second.copy(second.registered, tmp_path)
    assert made.materialize(Stage.DEPLOYED_ENDPOINT).success
    result = run_job(made, f"{MODEL}_rollback", config("going_back", reason="complaints"))
    assert result.success, run_errors(result)
    assert arms(made) == {Role.CHAMPION: ("1.0.0", 1.0)}
    assert aliases(made) == {Alias.CHAMPION: "1", Alias.ANCHOR: "1", Alias.ARCHIVED: "2"}
    again = made.materialize(*TRAINING_STAGES, Stage.DEPLOYED_ENDPOINT)
    assert again.success, run_errors(again)
    assert arms(made) == {Role.CHAMPION: ("1.0.0", 1.0)}
    assert (last(made).action, last(made).actor) == (LedgerAction.ROLLBACK, "ada")


def test_a_freeze_stands_in_the_ledger_and_is_lifted(second: Shop, tmp_path):
    made = second.copy(second.registered, tmp_path)
    assert made.materialize(Stage.DEPLOYED_ENDPOINT).success
    for frozen in (True, True, False):
        result = run_job(made, f"{MODEL}_freeze", config("freezing", frozen=frozen))
        assert result.success, run_errors(result)
        assert made.resources["deployment"].state(MODEL).frozen is frozen
    assert [entry.action for entry in made.resources["ledger"].entries(MODEL)][-2:] == [LedgerAction.OVERRIDE] * 2
    assert released(made).generation == 2


@pytest.mark.parametrize(
    ("what", "op", "given", "said"),
    [
        ("rollback", "going_back", {}, "cannot go back"),
        ("rollback", "going_back", {"entry": 99}, "entry 99 holds no release"),
        ("release", "releasing", {}, "has no challenger"),
        ("promote", "promotion", {}, "has no challenger"),
    ],
)
def test_what_cannot_be_done_is_told(shop: Shop, tmp_path, what, op, given, said):
    made = shop.copy(shop.registered, tmp_path)
    result = run_job(made, f"{MODEL}_{what}", config(op, **given))
    assert not result.success
    assert said in run_errors(result)


@pytest.mark.parametrize("strategy", ["shadow", "ab_test", "thompson"])
def test_any_strategy_is_released_by_a_person(second: Shop, tmp_path, strategy):
    made = second.copy(second.registered, tmp_path)
    result = run_job(made, f"{MODEL}_release", config("releasing", strategy=strategy))
    assert result.success, run_errors(result)
    assert str(released(made).strategy) == strategy
    assert len(released(made).answering) == (1 if strategy == "shadow" else 2)


def test_a_lost_release_file_is_restored_by_the_next_look(shop: Shop, tmp_path):
    made = promote_newest(run_training(shop.copy(shop.with_data, tmp_path)))
    file = Path(made.home / "releases" / f"{MODEL}.json")
    before = file.read_bytes()
    for damage in (file.unlink, lambda: file.write_bytes(before[:100])):
        damage()
        made.resources["deployment"].catch_up(made.spec)
        assert file.read_bytes() == before


def test_nobody_goes_back_to_a_bundle_that_is_gone(second: Shop, tmp_path):
    made = promote_newest(second.copy(second.registered, tmp_path))
    shutil.rmtree(made.home / "bundles" / made.resources["registry"].version(MODEL, "1").bundle)
    result = run_job(made, f"{MODEL}_rollback", config("going_back"))
    assert not result.success
    assert "no bundle" in run_errors(result)
    assert arms(made) == {Role.CHAMPION: ("1.0.1", 1.0)}
