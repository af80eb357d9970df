"""The schema check, row by row of its truth table."""

import pytest

from mlops_assets.domain.data.schema import PartitionColumns, judge_schema
from mlops_assets.domain.names import CREATED_TIME, EVENT_TIME, ROW_KEY
from tests.kit.specs import expectation, feed_spec, model_spec, source_spec, validation_spec

COLUMNS = {"id": "int64", "at": "string", "label": "int64", "x": "double"}
VALIDATED = {**COLUMNS, EVENT_TIME: "timestamp[us, tz=UTC]", CREATED_TIME: "timestamp[us, tz=UTC]"}


def judged(columns, known=None, *expectations, accept=False, **feed):
    spec = model_spec(source=source_spec(feed_spec(**feed)), validation=validation_spec(*expectations))
    return judge_schema(spec, [PartitionColumns("events", "2024-01-02", columns, known or {})], accept=accept)


def without(name: str) -> dict[str, str]:
    return {key: kind for key, kind in COLUMNS.items() if key != name}


@pytest.mark.parametrize(
    ("columns", "known", "expectations", "told"),
    [
        (without("id"), {}, [], "no column 'id', which is the key"),
        (without("at"), {}, [], "no column 'at', which is the time"),
        (without("label"), {}, [], "no column 'label', which is the target"),
        (without("x"), {}, [expectation("x", nulls=0)], "no column 'x', which is an expectation"),
        (without("x"), VALIDATED, [], "missing: x"),
        ({**COLUMNS, "x": "string"}, VALIDATED, [], "x was number (double), is text (string)"),
        (
            {**COLUMNS, "x": "timestamp[us]"},
            {},
            [expectation("x", type="number")],
            "cannot be read as number",
        ),
        ({**COLUMNS, "x": "string"}, {}, [expectation("x", between=(0, 1))], "`between` is for numbers"),
        (COLUMNS, {}, [expectation("x", matches="a")], "`matches` is for texts"),
        ({**COLUMNS, EVENT_TIME: "string"}, {}, [], "reserved name"),
    ],
)
def test_what_breaks_a_schema_is_told_with_the_remedy(columns, known, expectations, told):
    verdict = judged(columns, known, *expectations)
    assert not verdict.passed
    assert told in verdict.reason
    assert "events 2024-01-02" in verdict.reason
    assert "Nothing of this run was written" in verdict.reason


@pytest.mark.parametrize(
    ("columns", "known", "expectations"),
    [
        (COLUMNS, VALIDATED, []),
        ({**COLUMNS, "x": "int64"}, VALIDATED, []),
        ({**COLUMNS, "x": "null"}, VALIDATED, [expectation("x", between=(0, 1))]),
        ({**COLUMNS, "new": "string"}, VALIDATED, []),
        (
            {**COLUMNS, "x": "string"},
            {**VALIDATED, "x": "double"},
            [expectation("x", type="number", between=(0, 1))],
        ),
    ],
)
def test_what_does_not_break_a_schema(columns, known, expectations):
    assert judged(columns, known, *expectations).passed


def test_new_columns_are_told_all_the_same():
    assert "new: extra" in judged({**COLUMNS, "extra": "string"}, VALIDATED).reason


def test_no_person_can_accept_a_missing_declared_column():
    accepted = judged(without("x"), VALIDATED, accept=True)
    assert accepted.passed
    assert "accepted by hand: events 2024-01-02: missing: x" in accepted.reason
    assert not judged(without("label"), VALIDATED, accept=True).passed


def test_reserved_names_are_allowed_as_time_or_key():
    columns = {EVENT_TIME: "string", "label": "int64", ROW_KEY: "int64"}
    assert judged(columns, {**columns, CREATED_TIME: "x"}, time=(EVENT_TIME,), key=(ROW_KEY,)).passed
    assert "reserved name" in judged(columns, {}, time=(EVENT_TIME,), key=()).reason


def test_all_problems_come_at_once():
    verdict = judged({"x": "string"}, VALIDATED, expectation("y", nulls=0))
    assert verdict.numbers["problems"] == 5  # id, at, label, y, and the change
