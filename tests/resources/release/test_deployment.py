"""What happens to a release when the endpoint does not follow, a run is killed, or the YAML says something else."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from pydantic import PrivateAttr

from mlops_assets.declaration.release import Promotion
from mlops_assets.domain.names import Alias
from mlops_assets.domain.registry.champions import stack_champions
from mlops_assets.domain.registry.ledger import LedgerAction
from mlops_assets.domain.registry.versions import VersionInfo
from mlops_assets.domain.release.next_release import begin_release, freeze_release, restate_release, withdraw_challenger
from mlops_assets.domain.release.release_state import ReleaseState
from mlops_assets.domain.release.rollout import RolloutAction as Next
from mlops_assets.domain.release.step_decision import StepDecision
from mlops_assets.resources.registry import promotion
from mlops_assets.resources.registry.ledger import Ledger
from mlops_assets.resources.registry.model_registry import Registry
from mlops_assets.resources.release.deployment import DecidedBy, Deployment, NotLiveError, ReleaseResult
from mlops_assets.resources.release.endpoint import Endpoint
from mlops_assets.stages.release.start import find_reason_to_wait
from mlops_assets.stages.release.step import next_release
from serving.contract.arms import Strategy
from serving.contract.release import read_release
from tests.fakes.registry import FakeRegistry
from tests.kit.samples import MOMENT, facts, sample
from tests.kit.specs import model_spec

SPEC = model_spec(model="m")
ADA = DecidedBy("ada", "wanted", {})


class Known(Registry):
    """Three versions in memory."""

    _fake: FakeRegistry = PrivateAttr()

    @classmethod
    def of(cls, home: Path) -> "Known":
        made = cls(tracking_uri="", artifact_root="", lock_folder=str(home), ui_url="", dagster_url="")
        made._fake = FakeRegistry(home)
        made._fake.infos["m"] = [
            sample(
                VersionInfo, model="m", number=str(n), semantic=f"1.0.{n}", bundle=f"{n}" * 16, facts=facts(), tags={}
            )
            for n in (1, 2, 3)
        ]
        return made

    def version(self, model, number):
        return self._fake.version(model, number)

    def versions(self, model):
        return self._fake.versions(model)

    def resolve(self, model, alias):
        return self._fake.resolve(model, alias)

    def set_alias(self, model, alias, number):
        self._fake.set_alias(model, alias, number)

    def drop_alias(self, model, alias):
        self._fake.drop_alias(model, alias)

    def tag(self, model, number, tags):
        self._fake.tag(model, number, tags)


class There:
    """An endpoint that answers with this status, and serves what the test makes of the generation in the file."""

    def __init__(self, file: Path) -> None:
        self.file, self.status = file, 200
        self.serves: Callable[[int], int] = lambda generation: generation
        there = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                served = there.serves(read_release(there.file).generation)
                metrics = f'endpoint_generation{{model="m"}} {served}\n'
                releases = json.dumps({"models": {"m": {"generation": served}}})
                self.send_response(there.status)
                self.end_headers()
                self.wfile.write((metrics if self.path == "/metrics" else releases).encode())

            def log_message(self, *_: Any) -> None:
                """Nothing is printed."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def there(tmp_path) -> Iterator[There]:
    made = There(tmp_path / "releases" / "m.json")
    thread = Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.fixture
def deployment(tmp_path, there) -> Deployment:
    return Deployment(
        folder=str(tmp_path / "releases"),
        ledger=Ledger(folder=str(tmp_path / "ledger")),
        registry=Known.of(tmp_path),
        endpoint=Endpoint(url=there.url, token="", patience=0.2),
    )


def begun(made: Deployment, number: str, strategy: Strategy = Strategy.BLUE_GREEN, spec=SPEC) -> ReleaseResult | None:
    version, now = made.version("m", number), MOMENT

    def plan(state: ReleaseState | None):
        found = begin_release("m", spec.rollout, state, version, strategy=strategy, bento="", now=now)
        if found is None and state is not None and made.declared_anew(spec, state):
            return restate_release(state, now)
        return found

    return made.change(spec, plan, ADA, now)


def served(made: Deployment) -> list[str]:
    state = made.state("m")
    assert state is not None
    assert read_release(Path(made.folder) / "m.json").generation == state.generation
    return [arm.number for arm in state.arms]


def never_above(generation: int) -> Callable[[int], int]:
    return lambda present: min(present, generation)


def test_a_slow_endpoint_restores_no_withdrawn_version(deployment, there):
    begun(deployment, "1")
    begun(deployment, "2", Strategy.CANARY)
    there.serves = never_above(2)
    with pytest.raises(NotLiveError, match="it stands"):
        deployment.change(SPEC, lambda state: withdraw_challenger(state, MOMENT), ADA, MOMENT)
    assert served(deployment) == ["1"]
    assert deployment.was_taken_down("m", "2")


def test_a_new_version_that_cannot_be_served_is_put_back(deployment, there):
    begun(deployment, "1")
    there.serves = never_above(1)
    with pytest.raises(NotLiveError, match="generation 1 was put back"):
        begun(deployment, "2")
    assert served(deployment) == ["1"]
    assert deployment.registry.resolve("m", Alias.CHAMPION) == "1"
    with pytest.raises(NotLiveError, match="it stands"):
        begun(deployment, "1")  # what was put back is not replaced by what failed
    assert served(deployment) == ["1"]


def test_the_next_run_completes_one_killed_while_waiting(deployment, there):
    begun(deployment, "1")
    there.status = 500
    with pytest.raises(NotLiveError):
        begun(deployment, "2")
    assert served(deployment) == ["2"]  # as after a kill: ledger and file are there, nobody saw it live
    there.status, there.serves = 200, never_above(1)
    with pytest.raises(NotLiveError, match="generation 1 was put back"):
        begun(deployment, "2")
    assert served(deployment) == ["1"]


def test_an_endpoint_that_refuses_us_is_not_absent(deployment, there):
    there.status = 401
    for _ in range(2):
        with pytest.raises(NotLiveError, match="401"):
            begun(deployment, "1")
    assert served(deployment) == ["1"]


def test_without_an_endpoint_there_is_nothing_to_wait_for(deployment):
    alone = Deployment(
        folder=deployment.folder,
        ledger=deployment.ledger,
        registry=deployment.registry,
        endpoint=Endpoint(url="", token="", patience=0.2),
    )
    done = begun(alone, "1")
    assert done is not None
    assert "no endpoint" in done.live.reason


def test_a_changed_declaration_gets_a_new_generation(deployment):
    begun(deployment, "1")
    anew = SPEC.with_changes(rollout=SPEC.rollout.with_changes(default={"probability": 0.5}))
    deployment.change(anew, lambda state: freeze_release(state, True), ADA, MOMENT)
    file = Path(deployment.folder) / "m.json"
    assert (read_release(file).generation, read_release(file).default) == (1, None)
    begun(deployment, "1", spec=anew)
    assert (read_release(file).generation, read_release(file).default) == (2, {"probability": 0.5})
    assert deployment.state("m").frozen
    begun(deployment, "1", spec=anew)
    assert read_release(file).generation == 2


def test_a_champion_of_before_the_first_release_can_be_released(deployment):
    promotion.promote(
        deployment.registry,
        deployment.ledger,
        model="m",
        number="1",
        actor="gates",
        reason="better",
        numbers={},
        now=MOMENT,
    )
    begun(deployment, "1")
    assert served(deployment) == ["1"]
    assert stack_champions(deployment.ledger.entries("m")) == ["1"]


@pytest.mark.parametrize("empty", ["actor", "reason"])
def test_spaces_are_neither_a_name_nor_a_reason(deployment, empty):
    begun(deployment, "1")
    with pytest.raises(ValueError, match=empty):
        deployment.change(SPEC, lambda state: freeze_release(state, True), replace(ADA, **{empty: "  "}), MOMENT)


@pytest.mark.parametrize(("actor", "holds"), [("ada", True), ("rollout", False)])
def test_a_frozen_release_admits_no_new_version(deployment, actor, holds):
    """A rollout that froze itself was undecided: the next version may take its place, or the loop would end there."""
    begun(deployment, "1")
    begun(deployment, "2", Strategy.CANARY)
    gated = SPEC.with_changes(promotion=Promotion.AUTOMATIC)
    assert find_reason_to_wait(gated, deployment.version("m", "3"), deployment) == ""
    deployment.change(SPEC, lambda state: freeze_release(state, True), replace(ADA, actor=actor), MOMENT)
    assert (f"frozen by {actor}" in find_reason_to_wait(gated, deployment.version("m", "3"), deployment)) is holds
    assert find_reason_to_wait(gated, deployment.version("m", "1"), deployment) == ""


def test_a_freeze_cancels_a_step_judged_before(deployment):
    begun(deployment, "1")
    begun(deployment, "2", Strategy.CANARY)
    deployment.change(SPEC, lambda state: freeze_release(state, True), ADA, MOMENT)
    frozen = deployment.state("m")
    decided = StepDecision(Next.ADVANCE, 0.5, "canary", "better", {}, ())
    assert next_release(frozen, frozen.generation, decided, MOMENT) is None
    assert [entry.action for entry in deployment.ledger.entries("m")][-1] is LedgerAction.OVERRIDE
