"""Great Expectations on real values."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mlops_assets.resources.checks.expectations import ExpectationError, judge_between, judge_rows
from tests.kit.specs import expectation


def failing(values, kind=None, **asked) -> list[int]:
    rows = pa.table({"x": pa.array(values, kind)})
    found = judge_rows(rows, [expectation("x", **asked)], {("x",): pd.factorize(np.array(values, object))[0]})
    return sorted({int(row) for finding in found for row in np.flatnonzero(finding.failing)})


@pytest.mark.parametrize(
    ("values", "asked", "rows"),
    [
        ([1, 5, None, 9], {"between": (1, 5)}, [3]),
        ([1.0, 5.5], {"between": (None, 5)}, [1]),
        ([1.0, 0.5], {"between": (1, None)}, [1]),
        (["a", "b", None, "c"], {"among": ("a", "b")}, [3]),
        ([1, 2, 3], {"among": ("1", "2")}, [2]),
        ([True, False, None], {"among": ("true",)}, [1]),
        (["ab1", "x", None, "ab2"], {"matches": "^ab"}, [1]),
        (["a", None, "b"], {"nulls": 0.0}, [1]),
        ([1.0, None], {"nulls": 0.0}, [1]),
        ([1.0, None], {"nulls": 0.5}, []),
        ([1, 2, 1], {"unique": True}, [0, 2]),
        ([None, None], {"between": (0, 1), "matches": "a", "nulls": 0.0}, [0, 1]),
    ],
)
def test_the_rows_that_break_an_expectation_are_found(values, asked, rows):
    assert failing(values, **asked) == rows


def test_a_finding_tells_column_expectation_and_reason():
    rows = pa.table({"x": [1, 9], "y": ["a", None]})
    asked = [expectation("x", between=(0, 5), severity="warning"), expectation("y", nulls=0)]
    told = [(each.column, each.expectation, each.severity, each.reason) for each in judge_rows(rows, asked, {})]
    assert told == [
        ("x", "between 0 and 5", "warning", "x: not between 0 and 5"),
        ("y", "not null", "error", "y: null"),
    ]


def test_an_unjudgeable_table_is_an_error_with_every_column():
    rows = pa.table({"x": ["a"], "y": [1]})
    with pytest.raises(ExpectationError, match=r"x is string.*numbers.*y is int64.*texts"):
        judge_rows(rows, [expectation("x", between=(0, 1)), expectation("y", matches="a")], {})


@pytest.mark.parametrize("limits", [(-2, 2), (-9, 9), (None, 0), (1, None), (-4, 3.5), (50, 60)])
@pytest.mark.parametrize("shape", ["normal", "two values", "mostly null", "sorted"])
def test_limits_on_a_long_column_find_exactly_the_rows_outside(limits, shape):
    draw = np.random.default_rng(1)
    numbers = {
        "normal": draw.normal(0, 1.5, 20_000),
        "two values": draw.choice([-3.0, 3.0], 20_000),
        "mostly null": np.where(draw.random(20_000) < 0.02, draw.normal(0, 3, 20_000), np.nan),
        "sorted": np.sort(draw.normal(0, 3, 20_000)),
    }[shape]
    low, high = (-np.inf if limits[0] is None else limits[0]), (np.inf if limits[1] is None else limits[1])
    outside = np.flatnonzero((numbers < low) | (numbers > high))
    column = pa.array(numbers, from_pandas=True)
    (found,) = judge_rows(pa.table({"x": column}), [expectation("x", between=limits)], {})
    assert np.flatnonzero(found.failing).tolist() == outside.tolist()


def test_no_rows_fail_nothing():
    assert failing([], pa.float64(), between=(0, 1)) == []


def test_a_summary_is_judged_by_column_and_nulls_are_not():
    frame = pd.DataFrame({"a": [1.0, np.nan, 3.0], "b": [0.0, 9.0, np.inf]}, index=pd.Index([4, 4, 4]))
    assert judge_between(frame, {"a": (None, 2.0), "b": (0.0, 5.0)}) == {"a": [2], "b": [1, 2]}
    assert judge_between(frame, {}) == {}
