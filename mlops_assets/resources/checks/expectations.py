"""Great Expectations: judges values and tells which fail. Knows nothing of partitions or quarantine.

GX copies and hashes the whole frame for each expectation, so it is not given the rows but probes: the values
that stand for them (`domain.probes`). Small probes of many columns go in one frame.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe
import numpy as np
import pandas as pd
import pyarrow as pa
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)

from mlops_assets.declaration.validation import ExpectationSpec
from mlops_assets.domain.data.probes import Probe, every_value, outer_values

UNIQUE = "unique"
_NOT_NULL = "not null"
_BROKEN = {UNIQUE: "repeated", _NOT_NULL: "null"}
_SMALL = 50_000  # values of a probe that shares a frame
_FORMAT: dict[str, Any] = {
    "result_format": "COMPLETE",
    "partial_unexpected_count": 0,
    "include_unexpected_rows": False,
    "return_unexpected_index_query": False,
}


class ExpectationError(Exception):
    """An expectation that cannot be applied to its column at all."""


@dataclass(frozen=True)
class Finding:
    """What one expectation found in one column."""

    column: str
    expectation: str  # "between -40 and 120"
    severity: str
    failing: np.ndarray  # mask over the rows

    @property
    def reason(self) -> str:
        """Why a failing row is in quarantine."""
        return f"{self.column}: {_BROKEN.get(self.expectation, f'not {self.expectation}')}"


@dataclass(frozen=True)
class _Question:
    """One thing declared about one column."""

    column: str
    text: str
    severity: str
    limits: bool  # of numbers, and so true between two for which it is true
    ask: Callable[[str], Any]  # column of a frame → GX's expectation


def judge_rows(
    rows: pa.Table,
    expectations: Sequence[ExpectationSpec],
    groups: Mapping[tuple[str, ...], np.ndarray],
) -> list[Finding]:
    """Every declared expectation on values. `groups`: columns declared unique → group of each row."""
    questions = _questions(rows, expectations) if rows.num_rows else []
    whole = {each.column: every_value(rows[each.column]) for each in questions if not each.limits}
    outer = {each.column: outer_values(rows[each.column]) for each in questions if each.limits}
    first = [outer[each.column] if each.limits else whole[each.column] for each in questions]
    found: dict[int, np.ndarray | None] = dict(_answered(questions, first))
    open_ones = [place for place in range(len(questions)) if found.get(place) is None]
    again = [every_value(rows[questions[place].column]) for place in open_ones]
    for place, mask in _answered([questions[place] for place in open_ones], again):
        found[open_ones[place]] = mask
    unique = [_judge_unique(each, groups[each.columns]) for each in expectations if each.unique]
    return unique + [
        Finding(each.column, each.text, each.severity, mask)
        for place, each in enumerate(questions)
        if (mask := found[place]) is not None
    ]


def judge_between(frame: pd.DataFrame, limits: Mapping[str, tuple[float | None, float | None]]) -> dict[str, list[int]]:
    """For each column the positions of the values outside its limits. Nulls are not judged."""
    expectations = [
        gxe.ExpectColumnValuesToBeBetween(column=name, min_value=low, max_value=high)
        for name, (low, high) in limits.items()
    ]
    return dict(zip(limits, _failing(frame.reset_index(drop=True), expectations), strict=True)) if limits else {}


def _answered(questions: Sequence[_Question], probes: Sequence[Probe | None]) -> list[tuple[int, np.ndarray | None]]:
    """By place of the question the mask of failing rows; None where a probe left it open."""
    probed = [(place, probe) for place, probe in enumerate(probes) if probe is not None]
    small = [(place, probe) for place, probe in probed if len(probe.values) <= _SMALL]
    frames = [small] * bool(small) + [[each] for each in probed if len(each[1].values) > _SMALL]
    answers: list[tuple[int, np.ndarray | None]] = []
    for frame in frames:
        columns = {f"value{place}": probe.values for place, probe in frame}
        failing = _failing(pd.DataFrame(columns), [questions[place].ask(f"value{place}") for place, _ in frame])
        for (place, probe), positions in zip(frame, failing, strict=True):
            own = np.array([at for at in positions if at < len(probe.values)], int)  # beyond it is filled up
            answers.append((place, probe.failing_rows(own)))
    return answers


def _judge_unique(expectation: ExpectationSpec, group: np.ndarray) -> Finding:
    numbered = pd.DataFrame({"group": np.where(group < 0, np.nan, group)})
    mask = np.zeros(len(group), bool)
    mask[_failing(numbered, [gxe.ExpectColumnValuesToBeUnique(column="group")])[0]] = True
    return Finding(", ".join(expectation.columns), UNIQUE, expectation.severity, mask)


def _questions(rows: pa.Table, expectations: Sequence[ExpectationSpec]) -> list[_Question]:
    """All that is declared, column by column. What does not fit its column is told at once."""
    questions, problems = [], []
    for expectation in expectations:
        for column in expectation.columns:
            try:
                questions.extend(_of_column(rows[column], column, expectation))
            except ExpectationError as err:
                problems.append(str(err))
    if problems:
        raise ExpectationError("; ".join(problems))
    return questions


def _of_column(column: pa.ChunkedArray, name: str, expectation: ExpectationSpec) -> list[_Question]:
    def question(text: str, ask: Callable[[str], Any], *, limits: bool = False) -> _Question:
        return _Question(name, text, expectation.severity, limits, ask)

    questions = []
    if expectation.nulls == 0:
        questions.append(question(_NOT_NULL, lambda at: gxe.ExpectColumnValuesToNotBeNull(column=at)))
    if expectation.between is not None:
        _fits(column, name, "between", numeric=True)
        low, high = expectation.between
        floating = pa.types.is_floating(column.type)
        questions.append(
            question(
                _interval(low, high),
                lambda at: gxe.ExpectColumnValuesToBeBetween(column=at, min_value=low, max_value=high),
                limits=floating,
            )
        )
    if expectation.among is not None:
        members = _members(column, expectation.among)
        text = f"among {', '.join(expectation.among)}"
        questions.append(question(text, lambda at: gxe.ExpectColumnValuesToBeInSet(column=at, value_set=members)))
    if expectation.matches is not None:
        _fits(column, name, "matches", numeric=False)
        regex = expectation.matches
        questions.append(
            question(f"matches {regex}", lambda at: gxe.ExpectColumnValuesToMatchRegex(column=at, regex=regex))
        )
    return questions


def _fits(column: pa.ChunkedArray, name: str, what: str, *, numeric: bool) -> None:
    is_number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    if is_number is not numeric and not pa.types.is_null(column.type):
        needed = "number" if numeric else "text"
        raise ExpectationError(
            f"{name} is {column.type}, and `{what}` is for {needed}s: declare `type: {needed}` or correct it"
        )


def _members(column: pa.ChunkedArray, among: Sequence[str]) -> list[Any]:
    """The allowed values as the column holds them."""
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return [float(text) for text in among]
    if pa.types.is_boolean(column.type):
        return [text.lower() in ("true", "1", "yes") for text in among]
    return list(among)


def _failing(frame: pd.DataFrame, expectations: Sequence[Any]) -> list[list[int]]:
    """Positions of the failing values for each expectation. GX answers in an order of its own."""
    batch = _batches().get_batch({"dataframe": frame})
    suite = gx.ExpectationSuite(name="values", expectations=list(expectations))
    results = batch.validate(suite, result_format=_FORMAT).results
    by_identity = {_identity(result.expectation_config): result for result in results}
    return [_positions(by_identity[_identity(each.configuration)]) for each in expectations]


def _identity(configuration: Any) -> tuple[str, str]:
    return configuration.type, str(configuration.kwargs["column"])


def _positions(result: Any) -> list[int]:
    """Where it fails. GX reports one exception flat, or several by metric."""
    info = result.exception_info
    reports = [info] if "raised_exception" in info else list(info.values())
    raised = [each["exception_message"] for each in reports if each.get("raised_exception")]
    if raised:
        raise ExpectationError(f"{result.expectation_config.type}: {'; '.join(raised)}")
    return list(result.result.get("unexpected_index_list") or [])


@cache
def _batches() -> Any:
    """One context a process, in memory, silent."""
    quiet = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )
    context = gx.get_context(mode="ephemeral", project_config=quiet)
    asset = context.data_sources.add_pandas("frames").add_dataframe_asset("rows")
    return asset.add_batch_definition_whole_dataframe("whole")


def _interval(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"at most {high:g}" if high is not None else f"at least {low:g}"
    return f"between {low:g} and {high:g}"
