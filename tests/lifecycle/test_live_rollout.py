"""A rollout on the real endpoint: traffic, feedback, the sensor, the job, the release file, until it is decided.

The same small model as everywhere: before its turn version 1 is right, after it version 2.
"""

import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator

import dagster as dg
import httpx
import pytest

from mlops_assets.domain.names import Alias
from mlops_assets.domain.registry.ledger import LedgerAction
from mlops_assets.domain.release.release_state import read_release_state
from tests.kit.daily import (
    AFTER,
    DAYS,
    MODEL,
    Shop,
    after_the_turn,
    day_rows,
    definitions_of,
    run_job,
    run_training,
    shop_of,
)
from tests.kit.declared import Bench, run_errors
from tests.serving.endpoint import Process

pytestmark = [pytest.mark.simulation, pytest.mark.timeout(600)]
FAST = {"minimum_requests": 60, "minimum_time": "0s", "steps": [0.2, 0.5, 1.0], "minimum_labels": 60}
FIELDS = ("price", "age", "visits", "region", "device")


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Shop:
    return shop_of(tmp_path_factory)


@pytest.fixture(scope="module")
def second(shop: Shop, tmp_path_factory) -> Shop:
    made = run_training(after_the_turn(shop.copy(shop.registered, tmp_path_factory.mktemp("second"))))
    return Shop(shop.source, shop.with_data, made.home)


class Traffic:
    """Callers of after the turn: each asks once, and tells later what came of it."""

    def __init__(self, url: str) -> None:
        self.client, self.rows = httpx.Client(base_url=url), self._endless()
        self.answered: Counter[str] = Counter()

    def send(self, count: int) -> None:
        for _ in range(count):
            row, outcome, key = next(self.rows)
            answer = self.client.post(f"/v1/models/{MODEL}/predict", json={"rows": [row], "key": key})
            assert answer.status_code == 200, answer.text
            body = answer.json()
            self.answered[body["version"]] += 1
            told = {"request_id": body["request_id"], "row": 0, "outcome": outcome}
            assert self.client.post(f"/v1/models/{MODEL}/feedback", json=told).status_code == 202

    def _endless(self) -> Iterator[tuple[dict, int, str]]:
        rng = random.Random(7)
        tables = [day_rows(number) for number in range(DAYS - 4, DAYS)]
        while True:
            table = rng.choice(tables)
            place = rng.randrange(len(table))
            row = {name: table[name][place].as_py() for name in FIELDS}
            yield row, table["bought"][place].as_py(), f"caller-{rng.random()}"


def tick(made: Bench) -> dg.RunRequest | dg.SkipReason:
    sensor = definitions_of(made).resolve_sensor_def(f"{MODEL}_rollout")
    with dg.build_sensor_context(instance=made.instance, resources=made.resources) as context:
        found = sensor(context)
    assert isinstance(found, dg.RunRequest | dg.SkipReason)
    return found


def step(made: Bench, asked: dg.RunRequest) -> dg.ExecuteInProcessResult:
    result = run_job(made, f"{MODEL}_rollout_step", asked.run_config)
    assert result.success, run_errors(result)
    return result


def watched(made: Bench, traffic: Traffic, most: int) -> tuple[int, list[str]]:
    """Send, look, step until no version is on trial; the requests it took, and the decisions."""
    decisions, sent = [], 0
    while made.resources["deployment"].state(MODEL).challenger is not None:
        assert sent < most, "undecided"
        traffic.send(100)
        sent += 100
        found = settled(made)
        if isinstance(found, dg.RunRequest):
            (event,) = [e for e in step(made, found).all_events if e.is_step_materialization]
            decisions.append(str(event.materialization.metadata["decision"].value))
    return sent, decisions


def settled(made: Bench) -> dg.RunRequest | dg.SkipReason:
    """The tick once the endpoint has written down what it answered."""
    time.sleep(0.3)
    return tick(made)


@pytest.fixture
def live(second: Shop, tmp_path) -> Iterator[tuple[Bench, Traffic]]:
    made = second.copy(second.registered, tmp_path, rollout=FAST)
    with Process(made.home, {"ENDPOINT_FLUSH_SECONDS": "0.1"}) as endpoint:
        there = Bench(made.spec, made.home, made.instance, endpoint.url)
        traffic = Traffic(endpoint.url)
        yield there, traffic
        traffic.client.close()


def test_a_better_version_advances_to_all_the_traffic(live):
    made, traffic = live
    result = run_job(made, f"{MODEL}_release", decided("releasing", version="2"))
    assert result.success, run_errors(result)
    _, decisions = watched(made, traffic, most=6_000)
    assert decisions == ["release", "promoted"]
    assert aliases(made)[Alias.CHAMPION] == "2"
    before = traffic.answered["1.0.1"]
    traffic.send(50)
    assert traffic.answered["1.0.1"] - before == 50
    assert isinstance(tick(made), dg.SkipReason)  # nothing is on trial any more


def test_a_worse_version_is_rolled_back_by_itself(live):
    made, traffic = live
    promoted = run_job(made, f"{MODEL}_promote", decided("promotion", version="2"))
    assert promoted.success, run_errors(promoted)
    result = run_job(made, f"{MODEL}_release", decided("releasing", version="1", strategy="canary"))
    assert result.success, run_errors(result)
    _, decisions = watched(made, traffic, most=4_000)
    assert decisions == ["rollback"]
    entry = made.resources["ledger"].entries(MODEL)[-1]
    assert (entry.action, entry.actor) == (LedgerAction.ROLLBACK, "rollout")
    assert "model_metric" in entry.reason
    assert aliases(made)[Alias.CHAMPION] == "2"
    traffic.answered.clear()
    traffic.send(100)
    assert set(traffic.answered) == {"1.0.1"}


def test_an_experiment_ends_and_its_winner_takes_over(live):
    made, traffic = live
    result = run_job(made, f"{MODEL}_release", decided("releasing", version="2", strategy="ab_test"))
    assert result.success, run_errors(result)
    _, decisions = watched(made, traffic, most=6_000)
    assert decisions == ["promoted"]
    assert aliases(made)[Alias.CHAMPION] == "2"


def test_a_frozen_rollout_waits_for_a_person(live):
    made, traffic = live
    assert run_job(made, f"{MODEL}_release", decided("releasing", version="2")).success
    assert run_job(made, f"{MODEL}_freeze", decided("freezing")).success
    traffic.send(200)
    found = settled(made)
    assert isinstance(found, dg.SkipReason)
    assert "frozen by ada" in str(found.skip_message)


def test_no_version_answers_that_the_ledger_does_not_know(live):
    made, traffic = live
    assert run_job(made, f"{MODEL}_release", decided("releasing", version="2")).success
    traffic.send(200)
    entries = [entry for entry in made.resources["ledger"].entries(MODEL) if "generation" in entry.details]
    assert set(traffic.answered) == {arm.version for entry in entries for arm in read_release_state(entry).arms}
    assert made.resources["ledger"].entry_in_force(MODEL, AFTER).details["generation"] == "2"


def test_what_the_endpoint_cannot_serve_is_put_back(second, tmp_path):
    made = second.copy(second.registered, tmp_path, rollout=FAST)
    champion = made.resources["registry"].version(MODEL, "1").bundle
    shutil.copytree(made.home / "bundles" / champion, made.home / "other" / champion)  # no other version is there
    with Process(made.home, {"ENDPOINT_BUNDLES": str(made.home / "other")}) as endpoint:
        there = Bench(made.spec, made.home, made.instance, endpoint.url)
        result = run_job(there, f"{MODEL}_release", decided("releasing", version="2"))
        assert not result.success
        assert "is not live" in run_errors(result)
        assert "generation 1 was put back" in run_errors(result)
        traffic = Traffic(endpoint.url)
        traffic.send(20)
        traffic.client.close()
        assert set(traffic.answered) == {"1.0.0"}
    entry = made.resources["ledger"].entries(MODEL)[-1]
    assert (entry.action, entry.actor) == (LedgerAction.ROLLBACK, "endpoint")
    assert made.resources["deployment"].was_taken_down(MODEL, "2")


def decided(op: str, **given) -> dict:
    return {"ops": {f"{MODEL}_{op}": {"config": {"approver": "ada", "reason": "wanted"} | given}}}


def aliases(made: Bench) -> dict:
    return {alias: made.resources["registry"].resolve(MODEL, alias) for alias in Alias}
