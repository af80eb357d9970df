"""The rollout's sensor on real logs, ledger and bundles: what it asks for, once, and what it says otherwise."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from mlops_assets.automation.release_jobs import step_op_name
from mlops_assets.automation.rollout import rollout_sensor
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import CAUSE_TAG
from mlops_assets.domain.registry.ledger import Draft, LedgerAction
from mlops_assets.domain.release.release_state import ReleaseState, release_details
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.resources.registry.ledger import Ledger
from mlops_assets.resources.registry.model_registry import Registry
from mlops_assets.resources.release.deployment import Deployment, build_release
from mlops_assets.resources.release.endpoint import Endpoint
from serving.contract.arms import Strategy
from serving.contract.release import write_release
from tests.kit.rollout_log import (
    OPENED,
    Behaviour,
    EndpointLogs,
    minutes_later,
    outcome_rows,
    release_state,
    routed_requests,
)
from tests.kit.samples import sample
from tests.kit.specs import model_spec
from tests.serving.graphs import category, contract, make_bundle, number

BROKEN = {"canary": Behaviour(errors=0.5)}


@dg.op
def nothing() -> None:
    pass


@dg.job
def step_job() -> None:
    nothing()


def _no_registry(home: Path) -> Registry:
    """The sensor looks at the ledger and the release file; nobody is asked about versions."""
    folder = str(home / "mlflow")
    return Registry(
        tracking_uri=f"sqlite:///{folder}", artifact_root=folder, lock_folder=folder, ui_url="", dagster_url=""
    )


@dataclass
class Place:
    """One model's release, as far as the sensor sees it."""

    home: Path
    spec: ModelSpec
    logs: EndpointLogs
    digests: tuple[str, str]
    instance: dg.DagsterInstance

    @property
    def resources(self) -> dict[str, Any]:
        return {
            "deployment": Deployment(
                folder=str(self.home / "releases"),
                ledger=Ledger(folder=str(self.home / "ledger")),
                registry=_no_registry(self.home),
                endpoint=Endpoint(url="", token="", patience=0),
            ),
            "traffic": self.logs.traffic,
            "bundles": Bundles(root=str(self.home / "bundles"), cache=str(self.home / "cache")),
            "lake": Lake(root=str(self.home / "lake")),
            "clock": Clock(folder=str(self.home / "clock")),
        }

    def release(self, **how: Any) -> ReleaseState:
        return self.enter(release_state(bundles=self.digests, **how))

    def enter(self, made: ReleaseState) -> ReleaseState:
        draft = sample(Draft, action=LedgerAction.RELEASE, actor="ann", details=release_details(made), cause=f"{made}")
        deployment = self.resources["deployment"]
        deployment.ledger.append("delay", draft, now=OPENED)
        write_release(self.home / "releases" / "delay.json", build_release(self.spec, made), over_broken=True)
        return made

    def ask(
        self, release: ReleaseState, count: int, behaviour: Mapping[str, Behaviour] = {}, *, told: bool = True
    ) -> None:
        rng = np.random.default_rng(0)
        arm = (rng.random(count) < release.arms[1].weight).astype(int)
        batch, truth = routed_requests(release, arm, rng=rng, behaviour=behaviour, at=minutes_later(5))
        self.logs.answer(batch)
        if told:
            self.logs.tell(outcome_rows(batch, truth.tolist(), at=minutes_later(6)))

    def at(self, moment: datetime) -> None:
        self.resources["clock"].move(self.spec, moment)

    def look(self) -> tuple[list[dg.RunRequest], str]:
        with dg.build_sensor_context(resources=self.resources, instance=self.instance) as context:
            found = rollout_sensor(self.spec, step_job).evaluate_tick(context)
        return list(found.run_requests or ()), found.skip_message or ""


@pytest.fixture
def place(tmp_path) -> Iterator[Place]:
    given = contract([number("distance"), category("carrier")], entity=("tail",))
    first, second = (make_bundle(tmp_path / "bundles", given, seed=seed) for seed in (0, 1))
    instance = dg.DagsterInstance.ephemeral(tempdir=str(tmp_path))
    logs = EndpointLogs(tmp_path)
    yield Place(tmp_path, model_spec(model="delay", replay=OPENED), logs, (first, second), instance)
    logs.close()


def test_without_a_release_there_is_nothing_to_judge(place):
    asked, why = place.look()
    assert asked == []
    assert "no release yet" in why


def test_a_champion_alone_is_no_step(place):
    made = release_state(bundles=place.digests)
    place.enter(replace(made, strategy=Strategy.BLUE_GREEN, arms=(replace(made.arms[0], weight=1.0),)))
    assert "alone" in place.look()[1]


def test_a_release_file_that_is_behind_the_ledger_is_asked_for(place):
    place.release()
    (place.home / "releases" / "delay.json").unlink()
    ((request,), _) = place.look()
    assert ":catch_up:" in str(request.run_key)


def test_a_frozen_release_waits_and_names_who_froze_it(place):
    place.release(frozen=True)
    asked, why = place.look()
    assert asked == []
    assert "frozen by ann" in why


def test_without_traffic_it_holds_and_says_what_is_missing(place):
    place.release()
    place.at(minutes_later(20))
    asked, why = place.look()
    assert asked == []
    assert why.startswith("hold: generation 7")
    assert "0 canary requests" in why


def test_a_broken_canary_asks_for_the_same_run_at_every_tick(place):
    place.ask(place.release(share=0.5), 400, BROKEN)
    place.at(minutes_later(7))
    (asked,), _ = place.look()
    assert asked.run_key == "rollout:delay:7:roll_back"
    assert asked.run_config == {"ops": {step_op_name("delay"): {"config": {"generation": 7}}}}
    assert [again.run_key for again in place.look()[0]] == [asked.run_key]


def test_a_step_whose_run_failed_is_asked_for_again_a_few_times(place):
    place.ask(place.release(share=0.5), 400, BROKEN)
    place.at(minutes_later(7))
    keys = []
    for _ in range(4):
        asked, why = place.look()
        keys += [request.run_key for request in asked]
        run = place.instance.create_run_for_job(step_job, tags={CAUSE_TAG: "rollout:delay:7:roll_back"})
        place.instance.report_run_failed(run)
    cause = "rollout:delay:7:roll_back"
    assert keys == [cause, f"{cause}:again:1", f"{cause}:again:2"]
    assert "failed 3 times" in why


def test_an_equal_canary_advances(place):
    place.ask(place.release(share=0.5), 4_000, told=False)
    place.at(minutes_later(5))
    assert "enough_data inconclusive" in place.look()[1]
    place.at(minutes_later(11))
    (asked,), _ = place.look()
    assert asked.run_key == "rollout:delay:7:advance"


def test_a_damaged_segment_holds_and_then_rolls_back(place):
    place.ask(place.release(share=0.5), 4_000)
    (path,) = (place.home / "predictions" / "delay").iterdir()
    whole = path.read_bytes()
    path.with_name("20240101T000000-w0-00001.arrow").write_bytes(whole[: len(whole) // 2])
    place.at(minutes_later(11))
    asked, why = place.look()
    assert asked == []
    assert "20240101T000000-w0-00001.arrow" in why
    place.at(OPENED + timedelta(minutes=40))
    (asked,), _ = place.look()
    assert asked.run_key == "rollout:delay:7:roll_back"


def test_a_ledger_that_is_broken_is_told_and_nothing_is_done(place):
    place.ask(place.release(share=0.5), 400, BROKEN)
    file = place.home / "ledger" / "delay.jsonl"
    file.write_text(file.read_text().replace('"7"', '"8"'))
    asked, why = place.look()
    assert asked == []
    assert "LedgerBrokenError" in why


def test_a_bundle_that_is_gone_is_told_and_nothing_is_done(place):
    place.digests = ("0" * 64, "1" * 64)
    place.release()
    asked, why = place.look()
    assert asked == []
    assert "no bundle 000000" in why


def test_an_ab_test_promotes_the_better_one(place):
    place.ask(place.release(strategy=Strategy.AB_TEST, share=0.5), 8_000, {"champion": Behaviour(shift=0.5)})
    place.at(minutes_later(30))
    (asked,), _ = place.look()
    assert asked.run_key == "rollout:delay:7:advance"
