"""Registration, promotion and the way back, on a real MLflow and a real ledger; and what never gets there."""

import dagster as dg
import pyarrow as pa
import pytest

from mlops_assets.domain.names import TRAINING_STAGES, Alias, Stage
from mlops_assets.domain.records import Evaluation, TrainingSet, Version
from mlops_assets.domain.registry.ledger import LedgerAction
from mlops_assets.stages.common import asset_key
from tests.kit.daily import (
    MODEL,
    Shop,
    after_the_turn,
    attributes,
    bench,
    check_results,
    definitions_of,
    materialized,
    run_data_stages,
    run_training,
    write_days,
)
from tests.kit.declared import Bench, record, run_errors

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
    """A model whose column `receipt` is written when somebody has bought: released, trained, and judged too good."""
    folder = tmp_path_factory.mktemp("leaking")
    write_days(folder / "source", lambda rows: rows.append_column("receipt", rows["bought"].cast(pa.float64())))
    made = bench(
        folder / "home",
        folder / "source",
        features={"columns": ["price", "receipt", "region"], "known": ["receipt"]},
        gates={**attributes(folder)["gates"], "ceiling": 0.97},
    )
    run_data_stages(made)
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
    assert not result.success, run_errors(result)
    assert [name for name, well in check_results(result).items() if not well] == ["ceiling"], run_errors(result)
    assert materialized(result, Stage.EVALUATION)
    assert not materialized(result, Stage.REGISTERED_VERSION)
    assert made.resources["registry"].versions(MODEL) == ()
    (entry,) = entries(made)
    assert (entry.action, entry.actor, entry.reason) == (LedgerAction.REJECTED, "gates", "ceiling: fail")
    assert entry.subject == record(made, Stage.EVALUATION, Evaluation).bundle


@pytest.mark.parametrize(("name", "asked"), [("ours", 0), ("plain", 1)])
def test_no_later_tick_requests_a_failed_candidate(leaking, name, asked):
    made, _, before = leaking
    assert not made.materialize(Stage.EVALUATION).success  # evaluated again in a run of its own: news for what follows
    tick = ticked(conditions(made)[name], made.instance, before[name])
    assert tick.get_num_requested(REGISTERED) == asked


def test_launched_alone_it_refuses_and_names_the_gate(leaking):
    made, _, _ = leaking
    result = made.materialize(Stage.REGISTERED_VERSION)
    assert not result.success
    assert "may not be registered" in run_errors(result)
    assert "ceiling: fail" in run_errors(result)
    assert "too good to be true" in run_errors(result)
    assert made.resources["registry"].versions(MODEL) == ()
    assert [entry.action for entry in entries(made)] == [LedgerAction.REJECTED]


def test_the_same_rejection_twice_is_one_entry(leaking):
    made, _, _ = leaking
    assert not made.materialize(Stage.EVALUATION).success
    assert len(entries(made)) == 1


def test_a_version_that_passes_waits_as_challenger(shop: Shop, tmp_path):
    made = run_training(shop.copy(shop.with_data, tmp_path))
    version = record(made, Stage.REGISTERED_VERSION, Version)
    assert (version.number, version.semantic) == ("1", "1.0.0")
    assert aliases(made) == {Alias.CHALLENGER: "1"}
    assert [(e.action, e.subject, e.actor) for e in entries(made)] == [(LedgerAction.REGISTERED, "1", "gates")]


def test_the_same_inputs_again_register_and_enter_nothing(shop: Shop, tmp_path):
    made = shop.copy(shop.registered, tmp_path)
    before = [record(made, stage, kind) for stage, kind in RECORDS.items()]
    held = [entry.hash for entry in entries(made)]
    result = made.materialize(*TRAINING_STAGES)
    assert result.success, run_errors(result)
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
def test_changed_features_raise_the_version_by_their_effect(shop: Shop, tmp_path, features, semantic, reason):
    made = run_training(after_the_turn(shop.copy(shop.registered, tmp_path, features=features)))
    assert record(made, Stage.REGISTERED_VERSION, Version).semantic == semantic
    assert reason in made.resources["registry"].card(MODEL, "2")
