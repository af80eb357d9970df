"""Whatever is sent, in whatever shape, size and memory order: the segments hold it, value by value."""

import asyncio
import itertools
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from serving.contract.arms import Role, Strategy
from serving.contract.release import write_release
from serving.contract.segments import read_batches
from serving.engine.answer import Answer, list_by_row
from serving.engine.engine import Engine
from serving.log.prediction_log import PredictionLog
from serving.models.loaded_model import load_model
from serving.models.served_models import ServedModels
from serving.rows.row_shapes import ColumnRows, MatrixRows, NamedRows, RequestRows, TableRows
from serving.telemetry.meter import Meters
from tests.serving.graphs import category, contract, make_bundle, number, release

SIZES = (1, 2, 3, 199, 200, 201, 700, 1_000)
NUMBERS = {
    "tall": [number(name, lower=None, upper=None) for name in ("x", "y", "z")],
    "mixed": [number(name, lower=None, upper=None) for name in ("x", "y")],
    "words": [],
}
CATEGORIES = {"tall": [], "mixed": [category("carrier"), category("code", ("1",), type="integer")],
              "words": [category("carrier"), category("origin")]}  # fmt: skip
MODELS = tuple(NUMBERS)
Values = dict[str, list[Any]]


class Sent(NamedTuple):
    """One request, as plain values: a list for each column, entity keys among them."""

    model: str
    values: Values
    shape: Callable[[Values], RequestRows]
    flush: bool  # after this request


def contract_of(model: str) -> Any:
    entity = ("tail",) if model == "mixed" else ()
    kind = "multiclass" if model == "words" else "binary"
    return contract([*NUMBERS[model], *CATEGORIES[model]], model=model, entity=entity, kind=kind)


# The shapes. Each gets lists of values and lays them out in memory in its own way.


def as_named(values: Values) -> RequestRows:
    return NamedRows([dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)])


def as_arrays(values: Values, dtype: str, layout: str) -> dict[str, Any]:
    return {
        name: column if isinstance(column[0], str) else _laid_out(np.array(_floats(column)), dtype, layout)
        for name, column in values.items()
    }


def _laid_out(column: np.ndarray, dtype: str, layout: str) -> np.ndarray:
    """The same values contiguous, in every second place, or backwards in memory."""
    column = column.astype(dtype)
    if layout == "strided":
        return np.repeat(column, 2)[::2]
    return np.ascontiguousarray(column[::-1])[::-1] if layout == "backwards" else column


def _floats(column: list[Any]) -> list[float]:
    return [np.nan if value is None else value for value in column]


def as_columns(values: Values, dtype: str, layout: str) -> RequestRows:
    if dtype.startswith("int") and any(None in column for column in values.values()):
        dtype = "float64"
    return ColumnRows(as_arrays(values, dtype, layout), len(next(iter(values.values()))))


def as_matrix(values: Values, dtype: str, layout: str) -> RequestRows:
    """Only of numbers, as the protocol's short way; other requests come as columns."""
    if any(isinstance(value, str) for column in values.values() for value in column):
        return as_columns(values, dtype, layout)
    whole = np.array([_floats(column) for column in values.values()], dtype="float64")
    if layout == "strided":
        whole = np.repeat(np.repeat(whole, 2, axis=0), 2, axis=1)[::2, ::2]
    return MatrixRows(tuple(values), np.asfortranarray(whole) if layout == "backwards" else whole)


def as_table(values: Values, dtype: str, layout: str) -> RequestRows:
    kind = pa.type_for_alias(dtype)
    columns = {n: pa.array(c, pa.string() if isinstance(c[0], str) else kind) for n, c in values.items()}
    table = pa.table(columns)
    if layout == "strided":  # in several chunks
        half = len(table) // 2
        return TableRows(pa.concat_tables([table.slice(0, half), table.slice(half)]))
    if layout == "backwards":  # a part of a longer table
        return TableRows(pa.concat_tables([table, table]).combine_chunks().slice(len(table)))
    return TableRows(table)


def _values(model: str, rows: int, begin: int, missing: float) -> Values:
    """No two numbers of an example are equal, so that one in the wrong place shows."""
    draw = Random(begin)
    width = len(NUMBERS[model])
    values: Values = {
        field.name: [None if draw.random() < missing else begin + row * width + place for row in range(rows)]
        for place, field in enumerate(NUMBERS[model])
    }
    for field in CATEGORIES[model]:
        if field.type == "integer":
            values[field.name] = [draw.randrange(3) for _ in range(rows)]
        else:
            values[field.name] = [f"w{begin + row}" for row in range(rows)]
    if model == "mixed":
        values["tail"] = [f"N{begin + row}" for row in range(rows)]
    return values


@st.composite
def requests(draw: st.DrawFn) -> list[Sent]:
    sent, begin = [], 0
    for _ in range(draw(st.integers(1, 6))):
        model, rows = draw(st.sampled_from(MODELS)), draw(st.sampled_from(SIZES))
        layout = draw(st.sampled_from(("plain", "strided", "backwards")))
        dtype = draw(st.sampled_from(("float64", "float32", "int64", "int32")))
        shape = draw(st.sampled_from((
            as_named, *(partial(one, dtype=dtype, layout=layout) for one in (as_columns, as_matrix, as_table)),
        )))  # fmt: skip
        values = _values(model, rows, begin, draw(st.sampled_from((0.0, 0.3))))
        sent.append(Sent(model, values, shape, draw(st.booleans())))
        begin += 3 * rows
    return sent


class Endpoint:
    """Three models behind one engine, with a log of its own for each example."""

    def __init__(self, folder: Path) -> None:
        for model in MODELS:
            arms = [
                (role, make_bundle(folder / "bundles", contract_of(model), seed=seed), Role(role), 0.5)
                for seed, role in enumerate(("champion", "canary"))
            ]
            made = release(*arms, model=model, strategy=Strategy.CANARY)
            write_release(folder / "releases" / f"{model}.json", made)
        loading = partial(load_model, threads=1, most_rows=10_000)
        self.models = ServedModels(folder / "releases", folder / "bundles", meters=Meters(), load_bundle=loading)
        self.models.poll()
        assert not self.models.troubles, self.models.troubles

    def answers(self, sent: list[Sent], folder: Path) -> tuple[list[Answer], dict[tuple[str, int], dict[str, Any]]]:
        """The answers, and the log's rows by request and position."""
        log = PredictionLog(folder, "w1", buffer=10**9, segment=10**9)
        engine = Engine(
            self.models, worker="w1", meters=Meters(), log=log, draw=Random(0),
            queue=100, deadline=60.0, cache=0, threads=1,
        )  # fmt: skip
        try:
            answers = asyncio.run(_answered(engine, log, sent))
        finally:
            engine.close()
            log.close()
        assert log.lost == {"buffer": 0, "disk": 0}
        found = [row for path in folder.rglob("*.arrow") for b in read_batches(path) for row in b.to_pylist()]
        rows = {(row["request_id"], row["row"]): row for row in found}
        assert len(rows) == len(found)
        return answers, rows


async def _answered(engine: Engine, log: PredictionLog, sent: list[Sent]) -> list[Answer]:
    answers = []
    for each in sent:
        answers.append(await engine.infer(each.model, each.shape(each.values)))
        if each.flush:
            log.flush()
    return answers


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory) -> Endpoint:
    return Endpoint(tmp_path_factory.mktemp("endpoint"))


def _pair(model: str, shape: Callable[[Values], RequestRows], *sizes: int) -> list[Sent]:
    ends = itertools.accumulate((3 * rows for rows in sizes), initial=0)
    return [Sent(model, _values(model, rows, at, 0.0), shape, False) for rows, at in zip(sizes, ends, strict=False)]


@given(requests())
@example(_pair("tall", as_named, 200, 200))  # once written with the columns of both requests mixed up
@example(_pair("mixed", partial(as_table, dtype="float64", layout="plain"), 1_000, 300))
@settings(max_examples=60, deadline=None)
def test_segments_hold_what_was_sent(endpoint, sent):
    with tempfile.TemporaryDirectory() as folder:
        answers, rows = endpoint.answers(sent, Path(folder))
    assert len(rows) == sum(answer.rows for answer in answers)
    for each, answer in zip(sent, answers, strict=True):
        assert answer.scores is not None
        logged = [rows[answer.request_id, place] for place in range(answer.rows)]
        for field in (*NUMBERS[each.model], *CATEGORIES[each.model]):
            expected = each.values[field.name]
            assert_same([row["features"][field.name] for row in logged], expected, as_text=field.kind == "category")
        assert [row["answer"] for row in logged] == np.float64(answer.scores).reshape(answer.rows, -1).tolist()
        tails = each.values.get("tail")
        assert [row["entities"] for row in logged] == [{"tail": t} for t in tails] if tails else [{}] * answer.rows
        of_rows = zip(list_by_row(answer, "version"), list_by_row(answer, "arm"), strict=True)
        expected_arms = list(of_rows) if answer.parts else [(answer.version, answer.arm)] * answer.rows
        assert [(row["version"], row["arm"]) for row in logged] == expected_arms
        assert [row["routed"] for row in logged] == [arm for _, arm in expected_arms]
        assert [row["key"] for row in logged] == tails if tails else len({row["key"] for row in logged}) == 1


def assert_same(logged: list[Any], expected: list[Any], *, as_text: bool) -> None:
    if as_text:
        assert logged == list(map(str, expected))
    else:
        np.testing.assert_array_equal(np.array(logged), np.array(_floats(expected)))
