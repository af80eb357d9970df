"""The evaluation as an asset: what it refuses, what it keeps, and that odd data is measured and not tripped over."""

import json

import numpy as np
import pyarrow as pa
import pytest

from mlops_assets.domain.evaluation.gates import Gate
from mlops_assets.domain.names import TRAINING_STAGES, Stage
from mlops_assets.domain.records import Evaluation, ServingModel
from mlops_assets.domain.registry.ledger import LedgerAction
from tests.kit.daily import MODEL, Shop, attributes, check_results, few_days, materialized, run_data_stages
from tests.kit.declared import Bench, record, run_errors


def evaluated(made: Bench) -> Evaluation:
    return record(made, Stage.EVALUATION, Evaluation)


def test_every_gate_is_a_check_and_the_report_is_kept(shop: Shop, tmp_path):
    made = shop.copy(shop.registered, tmp_path)
    result = made.materialize(Stage.EVALUATION)
    assert result.success, run_errors(result)
    assert set(check_results(result)) == {gate.value for gate in Gate}
    assert all(each.blocking for each in result.get_asset_check_evaluations())
    kept = made.home / "lake" / evaluated(made).report
    assert {"report.json", "report.md", "sections.json", "roc.png", "slices.png"} <= {p.name for p in kept.iterdir()}
    assert json.loads((kept / "report.json").read_text())["metric"] == "auc"
    metadata = result.asset_materializations_for_node(f"{MODEL}__evaluation")[0].metadata
    assert "plot_roc" in metadata


def test_a_bundle_that_was_tampered_with_is_refused(shop: Shop, tmp_path):
    made = shop.copy(shop.registered, tmp_path)
    bundle = record(made, Stage.SERVING_MODEL, ServingModel).bundle
    graph = made.home / "bundles" / bundle / "model.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 0xFF
    graph.write_bytes(bytes(content))
    before = evaluated(made)
    result = made.materialize(Stage.EVALUATION)
    assert not result.success
    assert "model.onnx" in run_errors(result)
    assert not materialized(result, Stage.EVALUATION)
    assert evaluated(made) == before


def test_a_bundle_that_is_gone_says_how_to_get_it_back(shop: Shop, tmp_path):
    made = shop.copy(shop.registered, tmp_path)
    bundle = record(made, Stage.SERVING_MODEL, ServingModel).bundle
    (made.home / "bundles" / bundle).rename(made.home / "aside")
    assert f"no bundle {bundle}. Materialise serving_model" in run_errors(made.materialize(Stage.EVALUATION))


def test_too_few_test_rows_are_inconclusive_and_do_not_go_on(shop: Shop, tmp_path):
    gates = attributes(tmp_path)["gates"] | {"minimum_rows": 10_000}
    made = shop.copy(shop.registered, tmp_path, gates=gates)
    result = made.materialize(Stage.SERVING_MODEL, Stage.EVALUATION, Stage.REGISTERED_VERSION)
    assert not result.success
    assert not check_results(result)["enough_rows"]
    assert not materialized(result, Stage.REGISTERED_VERSION)
    entry = made.resources["ledger"].entries(MODEL)[-1]
    assert (entry.action, entry.reason) == (LedgerAction.REJECTED, "enough_rows: inconclusive")


def test_a_worse_candidate_is_not_registered(shop: Shop, tmp_path):
    made = run_data_stages(
        shop.copy(shop.registered, tmp_path, features={"version": 2, "columns": ["visits", "region"]})
    )
    result = made.materialize(*TRAINING_STAGES)
    assert not result.success
    assert not check_results(result)["better_than_champion"]
    assert not materialized(result, Stage.REGISTERED_VERSION)
    assert len(made.resources["registry"].versions(MODEL)) == 1


def odd(rows: pa.Table) -> pa.Table:
    """A column without any value, one with infinities, and on the last day a category that nobody saw before."""
    empty = pa.nulls(len(rows), pa.float64())
    age = rows["age"].to_numpy().copy()
    age[::50] = np.inf
    rows = rows.append_column("fax", empty).set_column(rows.column_names.index("age"), "age", pa.array(age))
    if rows["at"][0].as_py().day < 4:
        return rows
    return rows.set_column(rows.column_names.index("region"), "region", pa.array(["east"] * len(rows)))


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_odd_columns_are_measured_like_any_other(tmp_path):
    columns = ["price", "age", "visits", "fax", "region", "device"]
    made = few_days(tmp_path, odd, features={"columns": columns})
    result = made.materialize(*TRAINING_STAGES)
    assert materialized(result, Stage.EVALUATION), run_errors(result)
    found = evaluated(made)
    assert 0.7 < found.score <= 1
    assert check_results(result)["robust"]
    assert check_results(result)["serves_what_was_trained"]
    contract = made.resources["bundles"].open(found.bundle).contract
    regions = next(field for field in contract.fields if field.name == "region").categories
    assert "east" in regions  # the refit has learnt the last day


def test_returning_groups_are_scored_apart_from_new_ones(tmp_path):
    def with_buyers(rows: pa.Table) -> pa.Table:
        """Two in three buyers come every day, the others once."""
        ids = rows["id"].to_pylist()
        return rows.append_column("buyer", pa.array([f"b{i % 40}" if i % 3 else f"once {i}" for i in ids]))

    features = {"columns": ["price", "visits"]}
    training = {"group": "buyer", "epochs": 2, "device": "cpu"}
    made = few_days(tmp_path, with_buyers, days=8, features=features, training=training, search={"trials": 0})
    result = made.materialize(*TRAINING_STAGES)
    assert materialized(result, Stage.EVALUATION), run_errors(result)
    report = json.loads((made.home / "lake" / evaluated(made).report / "report.json").read_text())
    slices = {line["value"]: line for line in report["slices"] if line["column"] == "buyer"}
    assert set(slices) == {"returning", "new"}
    assert slices["returning"]["rows"] > slices["new"]["rows"] > 50
