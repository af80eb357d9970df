"""R3's rule, row by row."""

import pytest

from mlops_assets.domain.registry.versions import VersionChange, next_version, parse
from tests.kit.samples import facts

OLD = facts()


def test_the_first_version_is_1_0_0():
    bump = next_version(OLD, None, None)
    assert (bump.semantic, bump.change, bump.previous) == ("1.0.0", VersionChange.FIRST, None)


@pytest.mark.parametrize(
    ("new", "semantic", "reason"),
    [
        ({}, "2.3.5", "trained again on new data"),
        ({"network": {"type": "tabular", "width": 16}}, "2.4.0", "network width: 8 → 16"),
        ({"network": {"type": "tabular"}}, "2.4.0", "network width removed"),
        ({"service": "flight_delay_v2"}, "2.4.0", "feature service: flight_delay_v1 → flight_delay_v2"),
        ({"inputs": {**OLD.inputs, "wind": "number"}}, "3.0.0", "input wind added"),
        ({"inputs": {"distance": "number"}}, "3.0.0", "input carrier removed"),
        ({"inputs": {**OLD.inputs, "distance": "integer"}}, "3.0.0", "input distance: number → integer"),
        ({"outputs": {"value": "number"}}, "3.0.0", "output value added"),
        ({"classes": ("1", "0")}, "3.0.0", "classes: 0, 1 → 1, 0"),
        ({"entity": ("origin", "dest")}, "3.0.0", "entity keys: origin → origin, dest"),
        ({"kind": "multiclass"}, "3.0.0", "kind: binary → multiclass"),
        ({"kind": "multiclass", "service": "v9", "network": {}}, "3.0.0", "kind: binary → multiclass"),
    ],
)
def test_what_changed_decides_the_number(new, semantic, reason):
    bump = next_version(facts(**new), OLD, "2.3.4")
    assert bump.semantic == semantic
    assert reason in bump.reasons
    assert bump.previous == "2.3.4"


def test_every_broken_part_of_the_contract_is_told_at_once():
    bump = next_version(facts(inputs={"wind": "number"}, classes=("a",)), OLD, "1.0.0")
    assert bump.reasons == (
        "input wind added",
        "input carrier removed",
        "input distance removed",
        "classes: 0, 1 → a",
    )


def test_the_order_of_named_fields_is_no_change():
    turned = dict(reversed(list(OLD.inputs.items())))
    assert next_version(facts(inputs=turned), OLD, "1.0.9").semantic == "1.0.10"


@pytest.mark.parametrize("wrong", ["1.2", "1.2.3.4", "v1.2.3", "1.2.x", "", "1.2.³", "-1.0.0"])
def test_what_is_no_semantic_version_is_said(wrong):
    with pytest.raises(ValueError, match="no semantic version"):
        parse(wrong)


def test_half_of_what_is_needed_is_an_error():
    with pytest.raises(ValueError, match="or neither"):
        next_version(OLD, OLD, None)
