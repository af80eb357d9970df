"""Registration, promotion and the way back, on a real MLflow and a real ledger; and what never gets there."""

import dagster as dg
import pyarrow as pa
import pytest

from mlops_assets.automation.promotion import promote_job_name
from mlops_assets.domain.ledger import Action
from mlops_assets.domain.names import TRAINING_STAGES, Alias, Stage
from mlops_assets.domain.records import Evaluation, TrainingSet, Version
from mlops_assets.resources import promotion
from mlops_assets.stages.common import asset_key
from tests.daily import (
    AFTER,
    MODEL,
    Shop,
    after_the_turn,
    attributes,
    bench,
    data,
    definitions_of,
    materialized,
    passed,
    run_job,
    told,
    trained,
    write_days,
)
from tests.declared import Bench, record

REGISTERED = asset_key(MODEL, Stage.REGISTERED_VERSION)


def entries(made: Bench) -> list:
    return made.resources["ledger"].entries(MODEL)


def aliases(made: Bench) -> dict:
    found = {alias: made.resources["registry"].resolve(MODEL, alias) for alias in Alias}
    return {alias: number for alias, number in found.items() if number is not None}


def ticked(definitions: dg.Definitions, instance: dg.DagsterInstance, cursor=None):
    return dg.evaluate_automation_conditions(definitions, instance=instance, cursor=cursor)


@pytest.fixture(scope="module")
def leaking(tmp_path_factory):
    """A model whose column `receipt` is written when somebody has bought: trained, and judged too good."""
    folder = tmp_path_factory.mktemp("leaking")
    write_days(folder / "source", lambda rows: rows.append_column("receipt", rows["bought"].cast(pa.float64())))
    made = bench(
        folder / "home",
        folder / "source",
        features={"columns": ["price", "receipt", "region"]},
        gates={**attributes(folder)["gates"], "ceiling": 0.97},
    )
    data(made)
    before = {name: ticked(definitions, made.instance).cursor for name, definitions in conditions(made).items()}
    return made, made.materialize(*TRAINING_STAGES), before


def conditions(made: Bench) -> dict[str, dg.Definitions]:
    """The model under its own conditions, and under those that only ask whether something is new."""
    ours = definitions_of(made)
    plain = ours.map_asset_specs(
        func=lambda spec: spec.replace_attributes(automation_condition=dg.AutomationCondition.eager())
    )
    return {"ours": ours, "plain": plain}


def test_a_failed_gate_stops_the_registration_in_its_own_run(leaking):
    made, result, _ = leaking
    assert not result.success, told(result)
    assert [name for name, well in passed(result).items() if not well] == ["ceiling"], told(result)
    assert materialized(result, Stage.EVALUATION)
    assert not materialized(result, Stage.REGISTERED_VERSION)
    assert made.resources["registry"].versions(MODEL) == ()
    (entry,) = entries(made)
    assert (entry.action, entry.actor, entry.reason) == (Action.REJECTED, "gates", "ceiling: fail")
    assert entry.subject == record(made, Stage.EVALUATION, Evaluation).bundle


@pytest.mark.parametrize(("name", "asked"), [("ours", 0), ("plain", 1)])
def test_no_later_tick_asks_for_it_as_a_condition_on_news_alone_would(leaking, name, asked):
    made, _, before = leaking
    assert not made.materialize(Stage.EVALUATION).success  # evaluated again in a run of its own: news for what follows
    tick = ticked(conditions(made)[name], made.instance, before[name])
    assert tick.get_num_requested(REGISTERED) == asked


def test_launched_alone_it_refuses_and_names_the_gate(leaking):
    made, _, _ = leaking
    result = made.materialize(Stage.REGISTERED_VERSION)
    assert not result.success
    assert "may not be registered" in told(result)
    assert "ceiling: fail" in told(result)
    assert "too good to be true" in told(result)
    assert made.resources["registry"].versions(MODEL) == ()
    assert [entry.action for entry in entries(made)] == [Action.REJECTED]


def test_the_same_rejection_twice_is_one_entry(leaking):
    made, _, _ = leaking
    assert not made.materialize(Stage.EVALUATION).success
    assert len(entries(made)) == 1


def test_a_first_version_that_passes_is_promoted_by_itself(shop: Shop, tmp_path):
    made = shop.copy(shop.registered, tmp_path)
    version = record(made, Stage.REGISTERED_VERSION, Version)
    assert (version.number, version.semantic, version.promoted) == ("1", "1.0.0", True)
    assert aliases(made) == {Alias.CHAMPION: "1", Alias.ANCHOR: "1"}
    assert [(e.action, e.subject, e.actor) for e in entries(made)] == [
        (Action.REGISTERED, "1", "gates"),
        (Action.PROMOTED, "1", "gates"),
    ]


def test_the_same_inputs_again_register_and_enter_nothing(shop: Shop, tmp_path):
    made = shop.copy(shop.registered, tmp_path)
    before = [record(made, stage, kind) for stage, kind in RECORDS.items()]
    held = [entry.hash for entry in entries(made)]
    result = made.materialize(*TRAINING_STAGES)
    assert result.success, told(result)
    assert [record(made, stage, kind) for stage, kind in RECORDS.items()] == before
    assert [entry.hash for entry in entries(made)] == held
    assert len(made.resources["registry"].versions(MODEL)) == 1


RECORDS = {Stage.TRAINING_SET: TrainingSet, Stage.REGISTERED_VERSION: Version}


@pytest.mark.parametrize(
    ("features", "semantic", "reason"),
    [
        ({"version": 2, "columns": ["price", "age", "visits", "region", "device"]}, "1.1.0", "feature service"),
        ({"version": 2, "columns": ["price", "visits", "region"]}, "2.0.0", "input age removed"),
    ],
)
def test_changed_features_raise_the_version_as_far_as_callers_feel_it(shop: Shop, tmp_path, features, semantic, reason):
    made = trained(after_the_turn(shop.copy(shop.registered, tmp_path, features=features)))
    assert record(made, Stage.REGISTERED_VERSION, Version).semantic == semantic
    assert reason in made.resources["registry"].card(MODEL, "2")


@pytest.fixture(scope="module")
def second(shop: Shop, tmp_path_factory) -> Shop:
    """New days, a better candidate; a person has to say so. Under `registered`."""
    made = trained(after_the_turn(shop.copy(shop.registered, tmp_path_factory.mktemp("second"), promotion="manual")))
    return Shop(shop.source, shop.with_data, made.home)


APPROVAL = {"ops": {f"{MODEL}_promotion": {"config": {"version": "2", "approver": "ada", "reason": "tried it"}}}}


def test_new_data_makes_a_patch_that_waits_for_a_person(second: Shop, tmp_path):
    made = second.copy(second.registered, tmp_path, promotion="manual")
    version = record(made, Stage.REGISTERED_VERSION, Version)
    assert (version.number, version.semantic, version.promoted) == ("2", "1.0.1", False)
    assert aliases(made) == {Alias.CHAMPION: "1", Alias.ANCHOR: "1", Alias.CHALLENGER: "2"}
    assert made.resources["ledger"].champion_at(MODEL, AFTER).subject == "1"


def test_a_person_promotes_and_the_ledger_keeps_who_and_why(second: Shop, tmp_path):
    made = second.copy(second.registered, tmp_path, promotion="manual")
    result = run_job(made, promote_job_name(MODEL), APPROVAL)
    assert result.success, told(result)
    assert aliases(made) == {Alias.CHAMPION: "2", Alias.ANCHOR: "1", Alias.ARCHIVED: "1"}
    entry = made.resources["ledger"].champion_at(MODEL, AFTER)
    assert (entry.action, entry.subject, entry.actor, entry.reason) == (Action.PROMOTED, "2", "ada", "tried it")
    assert made.resources["ledger"].verify(MODEL) == []
    assert promotion.audit(made.resources["registry"], made.resources["ledger"], MODEL) == []


@pytest.mark.parametrize("missing", ["approver", "reason"])
def test_nobody_promotes_without_name_and_reason(second: Shop, tmp_path, missing):
    made = second.copy(second.registered, tmp_path, promotion="manual")
    config = APPROVAL["ops"][f"{MODEL}_promotion"]["config"] | {missing: ""}
    result = run_job(made, promote_job_name(MODEL), {"ops": {f"{MODEL}_promotion": {"config": config}}})
    assert not result.success
    assert missing in told(result)
    assert aliases(made)[Alias.CHAMPION] == "1"


def test_promoting_what_is_no_version_says_so(second: Shop, tmp_path):
    made = second.copy(second.registered, tmp_path)
    config = APPROVAL["ops"][f"{MODEL}_promotion"]["config"] | {"version": "7"}
    result = run_job(made, promote_job_name(MODEL), {"ops": {f"{MODEL}_promotion": {"config": config}}})
    assert not result.success
    assert "7" in told(result)
    assert aliases(made)[Alias.CHAMPION] == "1"


def test_a_version_taken_down_stays_down_when_its_run_is_repeated(second: Shop, tmp_path):
    made = second.copy(second.registered, tmp_path)  # promotion is automatic here
    assert made.materialize(Stage.REGISTERED_VERSION).success
    assert aliases(made)[Alias.CHAMPION] == "2"
    promotion.roll_back(
        made.resources["registry"],
        made.resources["ledger"],
        model=MODEL,
        actor="ada",
        reason="complaints",
        numbers={},
        cause="incident-1",
        now=AFTER,
    )
    assert made.materialize(Stage.REGISTERED_VERSION).success
    assert aliases(made)[Alias.CHAMPION] == "1"
    assert not record(made, Stage.REGISTERED_VERSION, Version).promoted
    assert [entry.action for entry in entries(made)][-1] is Action.ROLLBACK
