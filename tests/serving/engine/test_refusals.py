"""Requests that a version cannot take: who answers them, and what the logs and metrics say of them."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from serving.contract.arms import Role, Strategy
from serving.contract.fields import Field
from serving.contract.release import write_release
from serving.contract.segments import read_batches
from serving.engine.answer import Answer
from serving.engine.engine import Engine
from serving.log.prediction_log import PredictionLog
from serving.log.refusals import RefusalLog
from serving.models.loaded_model import LoadedModel, load_model
from serving.models.served_models import ServedModels
from serving.problems import InvalidInput, RequestRefused, TooLate, Unavailable
from serving.rows.row_shapes import NamedRows, RequestRows
from serving.telemetry.meter import Meters
from tests.serving.endpoint import in_process
from tests.serving.graphs import contract, make_bundle, number, release

OLD, NEW = [number("distance")], [number("distance"), number("seats")]


class Place:
    """An engine with a champion and a canary that take half of the keys each."""

    def __init__(self, folder: Path, fields: Sequence[list[Field]] = (OLD, NEW), **contracts: Any) -> None:
        self.folder, self.meters = folder, Meters()
        digests = [
            make_bundle(folder / "bundles", contract(each, **contracts), seed=seed) for seed, each in enumerate(fields)
        ]
        arms = ("champion", digests[0], Role.CHAMPION, 0.5), ("canary", digests[1], Role.CANARY, 0.5)
        write_release(folder / "releases" / "delay.json", release(*arms, strategy=Strategy.CANARY))
        loading = partial(load_model, threads=1, most_rows=100)
        models = ServedModels(folder / "releases", folder / "bundles", meters=self.meters, load_bundle=loading)
        models.poll()
        self.log = PredictionLog(folder / "predictions", "w1", buffer=10**7, segment=10**7)
        self.refusals = RefusalLog(folder / "refusals", "w1")
        self.engine = Engine(
            models, worker="w1", meters=self.meters, log=self.log, refusals=self.refusals, draw=Random(0),
            queue=100, deadline=5.0, cache=0, threads=1,
        )  # fmt: skip

    def ask(self, rows: Sequence[dict[str, Any]], **asked: Any) -> list[Answer | RequestRefused]:
        """Each row as a request of its own, with a key of its own."""

        async def ask() -> list[Answer | RequestRefused]:
            found: list[Answer | RequestRefused] = []
            for place, row in enumerate(rows):
                try:
                    found.append(await self.engine.infer("delay", [row], key=f"k{place}", **asked))
                except RequestRefused as err:
                    found.append(err)
            return found

        return asyncio.run(ask())

    def logged(self, log: str) -> list[dict[str, Any]]:
        self.log.close()
        self.refusals.close()
        found = sorted((self.folder / log).rglob("*.arrow"))
        return [row for path in found for batch in read_batches(path) for row in batch.to_pylist()]


@pytest.fixture
def place(tmp_path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.engine.close()


def test_what_only_the_canary_refuses_the_champion_answers(place):
    answers = place.ask([{"distance": 1.0}] * 60)
    degraded = [a for a in answers if isinstance(a, Answer) and a.degraded]
    assert {a.arm for a in answers if isinstance(a, Answer)} == {"champion"}
    assert len(answers) == 60
    assert 15 < len(degraded) < 45
    assert "canary 1.0.1 refuses the request: seats, row 0: is missing" in degraded[0].why[0]
    rows = place.logged("predictions")
    assert sum(row["degraded"] for row in rows) == len(degraded)
    assert {row["request_id"].rpartition("-")[2] for row in rows if row["degraded"]} == {"1.1"}
    assert place.meters.of("delay", "1.0.1", "canary").counts["refused", "invalid"] == len(degraded)
    assert place.logged("refusals") == []


def test_what_only_the_champion_refuses_is_logged_as_its_own(place):
    refused = [a for a in place.ask([{"distance": 1.0, "seats": 2.0}] * 60) if isinstance(a, InvalidInput)]
    rows = place.logged("refusals")
    assert 15 < len(refused) == len(rows)
    assert {(row["arm"], row["version"], row["kind"], row["others_take"]) for row in rows} == {
        ("champion", "1.0.0", "invalid", True)
    }
    assert "seats" in rows[0]["why"]


def test_what_no_version_takes_is_the_callers_fault(place):
    assert all(isinstance(each, InvalidInput) for each in place.ask([{"distance": "far"}] * 40))
    rows = place.logged("refusals")
    assert Counter(row["arm"] for row in rows).keys() == {"champion", "canary"}
    assert not any(row["others_take"] for row in rows)
    assert place.meters.of("delay", "", "").counts["errors", "invalid"] == 40


def test_a_refusal_of_a_version_asked_by_name_is_nobody_elses(place):
    (err,) = place.ask([{"distance": 1.0}], version="1.0.1")
    assert isinstance(err, InvalidInput)
    assert [(row["arm"], row["others_take"]) for row in place.logged("refusals")] == [("canary", False)]


def test_requests_that_come_too_late_are_logged_with_their_arm(place):
    answers = place.ask([{"distance": 1.0}] * 20, deadline=-1.0)
    assert all(isinstance(each, TooLate) for each in answers)
    assert Counter(row["kind"] for row in place.logged("refusals")) == {"deadline": 20}


class HalfStore:
    """Has the features of the champion only."""

    async def complete(self, given: RequestRows, loaded: LoadedModel) -> tuple[RequestRows, tuple[str, ...]]:
        names = [field.name for field in loaded.contract.fields]
        if "seats" in names:
            raise Unavailable("features: there is no view seats", kind="features")
        return NamedRows([{**row, **dict.fromkeys(names, 1.0)} for row in given.as_rows()]), ()


def test_features_that_the_canary_lacks_cost_nobody_an_answer(tmp_path):
    place = Place(tmp_path, entity=("tail",))
    place.engine.completion.features = HalfStore()
    answers = place.ask([{"tail": "N1"}] * 40)
    place.engine.close()
    assert {a.arm for a in answers if isinstance(a, Answer)} == {"champion"}
    assert len([a for a in answers if isinstance(a, Answer)]) == 40
    assert 10 < place.meters.of("delay", "1.0.1", "canary").counts["refused", "features"] < 30


def test_a_flood_of_refusals_is_counted_in_few_rows(place):
    place.ask([{"distance": "x" * 100_000}] * 1_000)
    rows = place.logged("refusals")
    assert sum(row["requests"] for row in rows) == 1_000
    assert len(rows) <= 200
    assert max(len(row["why"]) for row in rows) <= 300
    assert sum(path.stat().st_size for path in (place.folder / "refusals").rglob("*.arrow")) < 100_000


def test_bodies_that_no_version_saw_are_logged_too(tmp_path):
    digest = make_bundle(tmp_path / "bundles", contract(OLD))
    write_release(tmp_path / "releases" / "delay.json", release(("champion", digest, Role.CHAMPION, 1.0)))

    async def ask() -> list[int]:
        async with in_process(tmp_path) as (client, _):
            bodies = [b"{", b'{"instances": []}', b'{"rows": [{}]}']
            answers = [await client.post("/v1/models/delay/predict", content=body) for body in bodies]
            answers.append(await client.post("/v1/models/nobody/predict", json={"rows": [{}]}))
            return [answer.status_code for answer in answers]

    assert asyncio.run(ask()) == [400, 422, 422, 404]
    found = [b for path in (tmp_path / "refusals").rglob("*.arrow") for b in read_batches(path)]
    rows = [row for batch in found for row in batch.to_pylist()]
    assert sorted((row["kind"], row["arm"]) for row in rows) == [
        ("invalid", ""),
        ("invalid", ""),
        ("invalid", "champion"),
    ]
    assert len({row["request_id"] for row in rows}) == 3
