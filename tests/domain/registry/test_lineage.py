"""A record of what made a version, against the present."""

from dataclasses import replace

import pytest

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.records import ServingModel, TrainedModel, TrainingSet
from mlops_assets.domain.registry.lineage import (
    ProcessEnvironment,
    Provenance,
    build_provenance,
    compare,
    explain,
    rebuild_steps,
)
from mlops_assets.domain.registry.versions import CandidateRecords
from tests.kit.samples import made_of, sample

AROUND = ProcessEnvironment("abc123", "c0de", "3.11.7", "Linux x86_64", {"torch": "2.13.0", "onnx": "1.23.2"})
RECORD = made_of("b1", surroundings=AROUND, parameters={"width": 8}, seed=7)


def test_the_record_names_everything_that_made_the_version():
    training_set = sample(TrainingSet, digest="t1", service="s_v1", partitions={"raw/a/all": "x"})
    trained = sample(TrainedModel, digest="w1", parameters={"width": 8})
    serving = sample(ServingModel, bundle="b1")
    records = sample(CandidateRecords, training_set=training_set, trained=trained, serving=serving)
    made = build_provenance(sample(ModelSpec), records, AROUND)
    assert (made.training_set, made.service, made.weights, made.bundle) == ("t1", "s_v1", "w1", "b1")
    assert (made.partitions, made.parameters, made.surroundings) == ({"raw/a/all": "x"}, {"width": 8}, AROUND)


def test_the_same_is_no_mismatch():
    assert compare(RECORD, replace(RECORD)) == ()
    assert "bit for bit" in explain(())


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"declared": "other"}, "declared"),
        ({"service": "s_v2"}, "service"),
        ({"training_set": "t2"}, "training_set"),
        ({"seed": 8}, "seed"),
        ({"weights": "w2"}, "weights"),
        ({"bundle": "b2"}, "bundle"),
        ({"partitions": {"raw/weather/2013-01-01": "bb"}}, "partition raw/weather/2013-01-01"),
        ({"partitions": {}}, "partition raw/weather/2013-01-01"),
        ({"parameters": {"width": 8, "depth": 2}}, "parameter depth"),
        ({"surroundings": replace(AROUND, commit="def")}, "commit"),
        ({"surroundings": replace(AROUND, code="d1ff")}, "code"),
        ({"surroundings": replace(AROUND, python="3.12.1")}, "python"),
        ({"surroundings": replace(AROUND, packages={**AROUND.packages, "torch": "2.13.1"})}, "package torch"),
    ],
)
def test_each_difference_is_told_with_a_remedy(changed, what):
    (found,) = compare(RECORD, replace(RECORD, **changed))
    assert found.what == what
    assert found.remedy
    assert found.recorded != found.present


def test_all_differences_are_told_at_once():
    now = replace(RECORD, seed=1, partitions={}, surroundings=replace(AROUND, packages={}))
    told = explain(compare(RECORD, now))
    assert told.startswith("4 differences")
    assert all(name in told for name in ("seed", "raw/weather/2013-01-01", "package torch", "package onnx"))


def test_a_record_without_a_commit_never_matches():
    blind: Provenance = replace(RECORD, surroundings=replace(AROUND, commit=""))
    assert [found.what for found in compare(blind, blind)] == ["commit"]


def test_the_steps_check_out_the_commit_and_name_the_assets():
    checkout, install, materialise = rebuild_steps(replace(RECORD, model="flight_delay"))
    assert checkout == "git checkout abc123"
    assert "requirements.lock" in install
    assert 'key:"flight_delay/trained_model"' in materialise
