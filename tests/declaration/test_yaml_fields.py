"""The declaration: what YAML becomes, what is refused, and that every field is described."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from mlops_assets.declaration.data import Every, Kind
from mlops_assets.declaration.declare import DeclarationError, declare
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.declaration.release import Precision
from mlops_assets.declaration.values import DeclaredPart, as_duration, duration, moment
from mlops_assets.lifecycle import _STARTER

MINIMAL = {
    "name": "m",
    "owner": "team:t",
    "purpose": "p",
    "source": {"path": "data.csv", "time": "t"},
    "target": {"column": "y", "kind": "binary", "positive": True},
}
ROOT = Path("/project")
FILLED_IN = ("name", "declared")  # not written in the YAML


def declared(**changes: Any) -> ModelSpec:
    return declare({**MINIMAL, **changes}, ROOT)


def test_a_minimal_declaration_is_complete():
    spec = declared()
    assert spec.source.examples == spec.target.feed == "rows"
    assert spec.source.feeds["rows"].path == "/project/data.csv"
    assert spec.source.feeds["rows"].time == ("t",)
    assert spec.partitions.every is Every.NONE
    assert spec.target.positive == "true"
    assert spec.gates.metric == "auc"
    assert spec.serving.precisions == (Precision.FP32, Precision.FP16, Precision.INT8)


@pytest.mark.parametrize(("kind", "metric"), [("binary", "auc"), ("multiclass", "accuracy"), ("regression", "r2")])
def test_the_metric_follows_the_kind(kind, metric):
    target = {"column": "y", "kind": kind, **({"positive": 1} if kind == "binary" else {})}
    assert declared(target=target).gates.metric == metric


def test_the_gap_is_at_least_what_a_label_takes():
    target = {**MINIMAL["target"], "known_after": "36h"}
    assert declared(target=target).training.gap == timedelta(hours=36)


def test_absence_is_an_outcome_after_a_time():
    target = declared(target={**MINIMAL["target"], "absent": "negative after 30d"})
    assert target.training.gap == target.target.ripe_after == timedelta(days=30)
    assert str(target.target.absent) == "negative after 30d"
    with pytest.raises(ValueError, match="write for example negative after 30d"):
        declared(target={**MINIMAL["target"], "absent": "negative"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", timedelta(seconds=90)), ("1.5h", timedelta(minutes=90)), ("2w", timedelta(days=14))],
)
def test_durations(text, expected):
    assert duration(text) == expected
    assert duration(as_duration(expected)) == expected


@pytest.mark.parametrize("value", ["2024-01-01", datetime(2024, 1, 1), "2024-01-01T01:00:00+01:00"])
def test_moments_are_utc(value):
    assert moment(value) == datetime(2024, 1, 1, tzinfo=UTC)


def test_one_feed_or_several():
    feeds = {
        "a": {"path": "a.csv", "time": "t"},
        "b": {"path": "s3://bucket/b", "key": ["id"], "time": ["day", "hour"]},
    }
    spec = declared(source={"examples": "a", "feeds": feeds})
    assert spec.source.feeds["b"].path == "s3://bucket/b"
    assert spec.source.feeds["b"].time == ("day", "hour")


def test_expectations_name_their_feed_and_columns():
    expectations = [{"column": "x", "among": [1, True, "a"]}, {"columns": ["x", "z"], "unique": True}]
    first, second = declared(validation={"expectations": expectations}).validation.expectations
    assert (first.feed, first.columns, first.among) == ("rows", ("x",), ("1", "true", "a"))
    assert second.columns == ("x", "z")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modle": "x"}, "modle"),
        ({"target": {"column": "y", "kind": "binry"}}, "binry|kind"),
        ({"training": {"window": "3 days"}}, "window"),
        ({"training": {"epochs": 0}}, "epochs"),
        ({"name": "Has Spaces"}, "name"),
        ({"fairness": {"demographic_parity": 7}}, "demographic_parity"),
    ],
)
def test_a_wrong_field_is_named(changes, message):
    with pytest.raises(Exception, match=message):
        declared(**changes)


@pytest.mark.parametrize(
    ("changes", "messages"),
    [
        ({"source": {"time": "t"}}, ["write either path or query"]),
        ({"source": {"path": "a", "query": "select 1", "connection": "c"}}, ["write either path or query"]),
        ({"source": {"query": "select 1"}}, ["connection"]),
        ({"source": {"path": "a", "time": "t", "order": "row"}}, ["exclude each other"]),
        ({"source": {"feeds": {"a": {"path": "a"}, "b": {"path": "b"}}}}, ["source.examples"]),
        ({"target": {"column": "y", "kind": "binary"}}, ["write the value that counts as 1"]),
        ({"target": {"column": "y", "kind": "multiclass", "positive": 1}}, ["means nothing for multiclass"]),
        (
            {"target": {"column": "y", "kind": "binary", "positive": 1, "transform": "log1p"}},
            ["target.transform"],
        ),
        ({"target": {"column": "y", "kind": "binary", "positive": 1, "feed": "z"}}, ["none of the feeds"]),
        ({"partitions": {"every": "day"}}, ["partitions.start"]),
        ({"partitions": {"every": "day", "start": "2024-02-01", "end": "2024-01-01"}}, ["partitions.end"]),
        ({"training": {"gap": "1h"}, "target": {**MINIMAL["target"], "known_after": "2h"}}, ["training.gap"]),
        ({"gates": {"metric": "r2"}}, ["does not fit binary"]),
        (
            {"features": {"columns": ["y", "x"], "exclude": ["x"]}},
            ["y is the target", "both used and excluded"],
        ),
        ({"features": {"service": "s", "columns": ["x"]}}, ["drop columns"]),
        ({"validation": {"expectations": [{"feed": "z"}]}}, ["is no feed", "needs column"]),
    ],
)
def test_contradictions_are_all_reported(changes, messages):
    with pytest.raises(DeclarationError) as error:
        declared(**changes)
    assert all(message in str(error.value) for message in messages)


def parts_of(part: type[DeclaredPart]) -> Iterator[type[DeclaredPart]]:
    for each in part.__subclasses__():
        yield each
        yield from parts_of(each)


def test_every_field_is_described() -> None:
    undescribed = [
        f"{part.__name__}.{name}"
        for part in parts_of(DeclaredPart)
        for name, field in part.model_fields.items()
        if not field.description and name not in FILLED_IN
    ]
    assert undescribed == []


def test_every_description_is_a_sentence() -> None:
    texts = [field.description for part in parts_of(DeclaredPart) for field in part.model_fields.values()]
    assert [text for text in texts if text and not text.endswith(".")] == []


def test_a_changed_copy_is_validated() -> None:
    spec = declared()
    assert spec.with_changes(owner="team:other").owner == "team:other"
    with pytest.raises(ValidationError, match="did you mean owner"):
        spec.with_changes(ovner="team:other")


def test_paths_do_not_change_the_digest() -> None:
    assert declared().declared == declare(MINIMAL, Path("/elsewhere")).declared
    assert declared().declared != declared(limits="none").declared


def test_the_starter_is_a_valid_declaration() -> None:
    spec = declare(yaml.safe_load(_STARTER.read_text())["attributes"], ROOT)
    assert spec.target.kind is Kind.BINARY
