"""From a bundle's contract to what decides its version."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.declaration.release import Precision
from mlops_assets.declaration.training import NetworkSpec
from mlops_assets.domain.records import Evaluation, ServingModel, TrainedModel
from mlops_assets.domain.registry.versions import CandidateRecords, VersionChange, next_version
from mlops_assets.stages.registry.collect import build_candidate, collect_facts
from mlops_assets.training.store import flatten_parameters
from serving.contract.fields import Output
from tests.kit.bundles import tiny_contract
from tests.kit.samples import sample

SPEC = sample(
    ModelSpec,
    model="m",
    owner="team:a",
    network=sample(NetworkSpec, type="tabular", width=8, options={"heads": 2}),
)
NETWORK = {"type": "tabular", "width": 16, "depth": 2, "embedding": 4, "bins": 8, "dropout": 0.1}
TRAINED = sample(
    TrainedModel,
    run_id="r1",
    parameters=flatten_parameters({"network": NETWORK | {"options": {"heads": 2}}}),
    learnt=900,
    learnt_until=datetime(2013, 7, 1, tzinfo=UTC),
)


def trained_with(**network: int) -> TrainedModel:
    return sample(TrainedModel, run_id="r2", parameters=flatten_parameters({"network": NETWORK | network}))


def test_the_candidate_names_bundle_origin_and_score():
    serving = sample(ServingModel, bundle="b1", training_set="t1", precision=Precision.INT8)
    evaluation = sample(Evaluation, metric="auc", score=0.7)
    records = sample(CandidateRecords, trained=TRAINED, serving=serving, evaluation=evaluation)
    made = build_candidate(SPEC, records, tiny_contract(), {"as_of": "2013-07-01"})
    assert (made.model, made.bundle, made.training_set, made.run_id) == ("m", "b1", "t1", "r1")
    assert (made.metric, made.score) == ("auc", 0.7)
    assert made.tags == {
        "owner": "team:a", "precision": "int8", "as_of": "2013-07-01",
        "learnt_rows": "900", "learnt_until": "2013-07-01T00:00:00+00:00",
    }  # fmt: skip


def test_facts_come_from_the_contract_and_from_what_was_trained():
    made = collect_facts(TRAINED, tiny_contract())
    assert made.inputs == {"distance": "number", "carrier": "text"}
    assert made.outputs == {"probability": "number"}
    assert (made.network["width"], made.network["option heads"]) == (16, "2")
    assert "dropout" not in made.network


@pytest.mark.parametrize(
    ("chosen", "change"), [({"width": 32}, VersionChange.MINOR), ({"dropout": 0.3}, VersionChange.PATCH)]
)
def test_the_architecture_a_search_chose_decides_the_version(chosen, change):
    old, new = (collect_facts(trained_with(**network), tiny_contract()) for network in ({}, chosen))
    assert next_version(new, old, "1.0.0").change is change


def test_training_values_do_not_change_the_contract():
    before = tiny_contract()
    seen = replace(before.fields[0], lower=-5.0, nullable=False)
    after = replace(before, fields=(seen, *before.fields[1:]), threshold=0.4, training_set="t2", commit="def")
    bump = next_version(collect_facts(TRAINED, after), collect_facts(TRAINED, before), "1.0.0")
    assert bump.change is VersionChange.PATCH


def test_another_number_of_outputs_changes_the_contract():
    three = replace(tiny_contract(), outputs=(Output("probabilities", 3),))
    made = collect_facts(TRAINED, three)
    assert made.outputs == {"probabilities": "3 numbers"}
    assert next_version(made, collect_facts(TRAINED, tiny_contract()), "1.0.0").change is VersionChange.MAJOR
