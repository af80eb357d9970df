"""Which columns are features where no service says so."""

import pytest

from mlops_assets.declaration.features import FeatureSpec
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.features.default_features import FeatureError, feature_columns, feature_keys
from mlops_assets.domain.names import CREATED_TIME, EVENT_TIME, ROW_KEY
from tests.kit.specs import feed_spec, model_spec, source_spec

TYPES = {
    "id": "int64",
    "at": "timestamp[us, tz=UTC]",
    "x": "double",
    "c": "string",
    "flag": "bool",
    "code": "dictionary<values=string, indices=int32, ordered=0>",
    "label": "int64",
    "tags": "list<item: string>",
    EVENT_TIME: "timestamp[us, tz=UTC]",
    CREATED_TIME: "timestamp[us, tz=UTC]",
}


def spec(**features) -> ModelSpec:
    plain = {"service": None, "version": 1, "columns": (), "exclude": (), "categories": (), "entity": (), "ttl": None}
    return model_spec(features=FeatureSpec(**{**plain, **features}))


def test_default_features_exclude_key_time_and_target():
    assert feature_columns(spec(), TYPES) == ("x", "c", "flag", "code")


def test_declared_columns_keep_their_order():
    assert feature_columns(spec(columns=("c", "x")), TYPES) == ("c", "x")
    assert feature_columns(spec(exclude=("c", "code")), TYPES) == ("x", "flag")


def test_an_entity_is_a_key_and_no_feature():
    assert feature_columns(spec(entity=("c",)), TYPES) == ("x", "flag", "code")


def test_the_target_of_another_feed_is_an_ordinary_column_here():
    other = model_spec(features=spec().features, source=source_spec(feed_spec(), feed_spec("outcomes")))
    other = other.with_changes(target=other.target.with_changes(feed="outcomes", column="cancelled"))
    assert "cancelled" in feature_columns(other, {"x": "double", "cancelled": "string"})


def test_a_column_with_the_labels_name_has_to_be_excluded():
    other = spec().with_changes(target=spec().target.with_changes(column="y"))
    with pytest.raises(FeatureError, match="'label' cannot be one: put it under `exclude`"):
        feature_columns(other, TYPES | {"y": "string"})
    excluded = other.with_changes(features=other.features.with_changes(exclude=("label",)))
    assert "label" not in feature_columns(excluded, TYPES | {"y": "string"})


def test_an_hour_beside_a_date_stays_a_feature():
    feed = feed_spec(time=("day", "hour"), arrived="came")
    given = model_spec(features=spec().features, source=source_spec(feed))
    assert feature_columns(given, {"day": "string", "hour": "int64", "came": "string", "x": "double"}) == ("hour", "x")


@pytest.mark.parametrize(
    ("features", "types", "named"),
    [
        ({"columns": ("x", "fax")}, TYPES, ["fax not among the columns"]),
        ({"exclude": ("fax",)}, TYPES, ["fax not among the columns"]),
        ({"columns": ("at", "tags", "fax")}, TYPES, ["fax not among", "at is timestamp", "tags is list<item: string>"]),
        ({"exclude": ("x", "c", "flag", "code")}, TYPES, ["no column of events is left"]),
        ({}, {}, ["events has no rows yet"]),
    ],
)
def test_what_cannot_be_is_told_all_at_once(features, types, named):
    with pytest.raises(FeatureError) as told:
        feature_columns(spec(**features), types)
    assert [text for text in named if text not in str(told.value)] == []


@pytest.mark.parametrize(
    ("entity", "key", "expected"),
    [(("c",), ("id",), ("c",)), ((), ("id",), ("id",)), ((), (), (ROW_KEY,))],
)
def test_a_feature_row_is_keyed_by_entity_then_key_then_row(entity, key, expected):
    given = model_spec(features=spec(entity=entity).features, source=source_spec(feed_spec(key=key)))
    assert feature_keys(given) == expected
