"""The rows of one request: each is answered by the version that its own key leads to, through every shape."""

import asyncio
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest

from serving.contract.arms import Role, Strategy
from serving.contract.release import write_release
from serving.contract.segments import read_batches
from serving.doors.named_rows import write_named_rows
from serving.doors.open_inference import answer_tensors, stamp
from serving.engine.answer import Answer, list_by_row, list_predictions
from serving.engine.engine import Engine
from serving.http.arrow import write_answer
from serving.log.prediction_log import PredictionLog
from serving.log.refusals import RefusalLog
from serving.models.loaded_model import load_model
from serving.models.router import start_state
from serving.models.served_models import ServedModels
from serving.problems import InvalidInput
from serving.rows.row_shapes import ColumnRows, MatrixRows, NamedRows, RequestRows, TableRows
from serving.telemetry.meter import Meters
from tests.serving.endpoint import in_process
from tests.serving.graphs import bandit, contract, make_bundle, number, release

PEOPLE = [f"p{i}" for i in range(40)]
Row = dict[str, Any]


class Place:
    """An engine whose arms share the people."""

    def __init__(self, folder: Path, *shares: tuple[str, Role, float], **other: Any) -> None:
        self.folder, self.kind = folder, other.pop("kind", "binary")
        fields = other.pop("fields", [[number("distance")]] * len(shares))
        arms = []
        for seed, ((name, role, share), each) in enumerate(zip(shares, fields, strict=True)):
            given = contract(each, entity=("person",), kind=self.kind)
            arms.append((name, make_bundle(folder / "bundles", given, seed=seed), role, share))
        write_release(folder / "releases" / "delay.json", release(*arms, **other))
        meters, loading = Meters(), partial(load_model, threads=1, most_rows=1_000)
        self.models = ServedModels(folder / "releases", folder / "bundles", meters=meters, load_bundle=loading)
        self.models.poll()
        self.log = PredictionLog(folder / "predictions", "w1", buffer=10**7, segment=10**7)
        self.refusals = RefusalLog(folder / "refusals", "w1")
        self.engine = Engine(
            self.models, worker="w1", meters=meters, log=self.log, refusals=self.refusals, draw=Random(0),
            queue=100, deadline=5.0, cache=0, threads=1,
        )  # fmt: skip

    def ask(self, rows: RequestRows | list[Row], **asked: Any) -> Answer:
        return asyncio.run(self.engine.infer("delay", rows, **asked))

    def alone(self, rows: list[Row]) -> list[Answer]:
        return [self.ask([row]) for row in rows]

    def logged(self) -> dict[tuple[str, int], Row]:
        self.engine.close()
        self.log.close()
        found = (self.folder / "predictions").rglob("*.arrow")
        rows = [row for path in found for batch in read_batches(path) for row in batch.to_pylist()]
        return {(row["request_id"], row["row"]): row for row in rows}


HALVES = (("champion", Role.CHAMPION, 0.5), ("variant", Role.VARIANT, 0.5))


@pytest.fixture
def place(tmp_path) -> Iterator[Place]:
    made = Place(tmp_path, *HALVES, strategy=Strategy.AB_TEST)
    yield made
    made.engine.close()


def people(names: list[str] = PEOPLE) -> list[Row]:
    return [{"distance": place / 10, "person": name} for place, name in enumerate(names)]


def as_columns(rows: list[Row]) -> RequestRows:
    distances = np.array([row["distance"] for row in rows])
    return ColumnRows({"distance": distances, "person": [row["person"] for row in rows]}, len(rows))


def as_table(rows: list[Row]) -> RequestRows:
    return TableRows(pa.Table.from_pylist(rows))


@pytest.mark.parametrize("shape", [NamedRows, as_columns, as_table])
def test_nobody_changes_arm_in_company(place, shape: Callable[[list[Row]], RequestRows]):
    alone = place.alone(people())
    together = place.ask(shape(people()))
    arms = list_by_row(together, "arm")
    assert arms == [answer.arm for answer in alone]
    assert {"champion", "variant"} == set(arms)
    assert list_predictions(together) == [list_predictions(answer)[0] for answer in alone]
    rows = place.logged()
    for index, answer in enumerate(alone):
        row = rows[together.request_id, index]
        assert (row["arm"], row["version"], row["routed"]) == (answer.arm, answer.version, answer.arm)
        assert (row["key"], row["entities"]) == (PEOPLE[index], {"person": PEOPLE[index]})
        assert row["features"] == {"distance": index / 10}
        assert row["answer"] == [float(answer.scores[0])]  # type: ignore[index]


def test_keys_that_are_numbers_route_as_their_text(place):
    rows = [{"distance": 1.0, "person": float(i)} for i in range(30)]
    alone = [answer.arm for answer in place.alone(rows)]
    matrix = MatrixRows(("distance", "person"), np.array([[1.0] * 30, [float(i) for i in range(30)]]))
    assert list_by_row(place.ask(matrix), "arm") == alone


def test_people_of_one_arm_stay_one_request(place):
    alone = place.alone(people())
    ours = [row for row, answer in zip(people(), alone, strict=True) if answer.arm == "variant"]
    answer = place.ask(ours)
    assert (answer.arm, answer.parts) == ("variant", ())
    assert {place.logged()[answer.request_id, index]["key"] for index in range(len(ours))} == {
        r["person"] for r in ours
    }


def test_a_key_of_the_caller_holds_for_all_rows(place):
    assert len({place.ask(people(), key="k").arm for _ in range(3)}) == 1


def test_a_bandit_draws_once_for_a_request(tmp_path):
    place = Place(tmp_path, *HALVES, strategy=Strategy.EPSILON_GREEDY, bandit=bandit())
    place.engine._rewards = start_state
    assert place.ask(people()).parts == ()


def test_a_wrong_row_is_named_by_its_place_in_the_request(place):
    rows = people()
    rows[33]["distance"] = "far"
    with pytest.raises(InvalidInput) as caught:
        place.ask(rows)
    assert [problem.row for problem in caught.value.problems] == [33]
    assert place.logged() == {}


def test_the_champion_answers_rows_that_the_canary_refuses(tmp_path):
    shares = ("champion", Role.CHAMPION, 0.5), ("canary", Role.CANARY, 0.5)
    fields = [[number("distance")], [number("distance"), number("seats")]]
    place = Place(tmp_path, *shares, fields=fields, strategy=Strategy.CANARY)
    answer = place.ask(people())
    rows = [place.logged()[answer.request_id, index] for index in range(len(PEOPLE))]
    assert {row["arm"] for row in rows} == {"champion"}
    assert answer.degraded
    assert {row["degraded"] for row in rows if row["routed"] == "canary"} == {True}
    assert {row["degraded"] for row in rows if row["routed"] == "champion"} == {False}


def test_a_shadow_gets_copies_of_the_people_it_samples(tmp_path):
    shares = ("champion", Role.CHAMPION, 1.0), ("shadow", Role.SHADOW, 0.5)
    place = Place(tmp_path, *shares, strategy=Strategy.SHADOW)
    place.ask(people())
    place.alone(people())
    rows = place.logged()
    copies = [(row["key"], row["row"]) for row in rows.values() if row["role"] == "shadow"]
    together = {key for key, row in copies if row == PEOPLE.index(key)}
    assert 5 < len(together) < 35
    assert together <= {key for key, row in copies if row == 0} | {PEOPLE[0]}


def test_every_door_says_which_arm_answered_which_row(place):
    answer = place.ask(people())
    arms, versions = list_by_row(answer, "arm"), list_by_row(answer, "version")
    body = orjson.loads(write_named_rows(answer))
    assert (body["arms"], body["versions"], body["arm"]) == (arms, versions, ",".join(dict.fromkeys(arms)))
    assert stamp(answer)["arms"] == ",".join(arms)
    probability, label = answer_tensors(answer, [])
    assert probability.values.tolist() == [each["probability"] for each in body["predictions"]]  # type: ignore[union-attr]
    assert label.values == [each["label"] for each in body["predictions"]]
    table = pa.ipc.open_stream(write_answer(answer).body).read_all()
    assert table["arm"].to_pylist() == arms
    assert table["probability"].to_pylist() == probability.values.tolist()  # type: ignore[union-attr]
    assert table["label"].to_pylist() == label.values


def test_a_row_is_explained_by_the_version_that_answers_it(tmp_path):
    arms = []
    for seed, (name, role, share) in enumerate(HALVES):
        digest = make_bundle(tmp_path / "bundles", contract([number("distance")], entity=("person",)), seed=seed)
        arms.append((name, digest, role, share))
    write_release(tmp_path / "releases" / "delay.json", release(*arms, strategy=Strategy.AB_TEST))

    async def ask() -> tuple[Row, Row, Row]:
        async with in_process(tmp_path) as (client, _):
            body = {"rows": people(PEOPLE[:16])}
            answer = (await client.post("/v1/models/delay/predict", json=body)).json()
            explained = (await client.post("/v1/models/delay/explain", json=body)).json()
            keyed = {"rows": [{"distance": 1.0, "person": "p1"}], "key": "k"}
            return answer, explained, (await client.post("/v1/models/delay/explain", json=keyed)).json()

    answer, explained, keyed = asyncio.run(ask())
    assert explained["arms"] == answer["arms"]
    shown = [each["answer"] for each in explained["explanations"]]
    assert shown == pytest.approx([each["probability"] for each in answer["predictions"]], abs=1e-6)
    assert keyed["arm"] in ("champion", "variant")


@pytest.mark.parametrize("person", ["x" * 5_000_000, {"a": 1}, ["p1"]])
@pytest.mark.parametrize("key", [None, "mine"])
def test_a_key_that_is_no_short_text_is_refused(tmp_path, person, key):
    place = Place(tmp_path, *HALVES, strategy=Strategy.AB_TEST)
    with pytest.raises(InvalidInput, match="person"):
        place.ask([{"distance": 1.0, "person": person}], key=key)
    place.engine.close()


def test_too_many_rows_are_refused_before_any_is_looked_at(tmp_path):
    place = Place(tmp_path, *HALVES, strategy=Strategy.AB_TEST)
    table = pa.table({"distance": pa.nulls(2**31 - 1), "person": pa.nulls(2**31 - 1)})  # of next to no bytes
    began = time.perf_counter()
    with pytest.raises(InvalidInput, match="1 to 1,000 rows"):
        place.ask(TableRows(table))
    assert time.perf_counter() - began < 5  # it took minutes
    place.engine.close()
