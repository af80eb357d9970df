"""The running system, as the demonstration meets it: is it up, launch this, wait until all is quiet, what was decided.

Asks over GraphQL and HTTP, reads ledger and watched days where they lie. Changes nothing but the model's clock.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import yaml

from infra.run.dagster_client import LOCATION, REPOSITORY, Dagster
from infra.run.first_start import DECLARATION, MODEL, Endpoint, RunFailed, Server
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.defs.resources import PROJECT, resources
from mlops_assets.domain.drift.records import DriftDay
from mlops_assets.domain.names import MODEL_TAG, Stage
from mlops_assets.domain.registry.ledger import Entry
from mlops_assets.domain.release.release_state import ReleaseState, find_release_in_force
from mlops_assets.domain.retraining.records import DecisionRecord

_ACTIVE = ["QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"]
_LOOK_EVERY = 1.0
_PATIENCE = 900.0  # seconds for runs to end
_TICK_PATIENCE = 120.0  # seconds for a sensor to look
_UP_PATIENCE = 3.0

_RUNS = """query ($filter: RunsFilter!, $limit: Int) { runsOrError(filter: $filter, limit: $limit) {
  ... on Runs { results { runId jobName status creationTime } } } }"""
_NAMES = """query ($selector: RepositorySelector!) { repositoryOrError(repositorySelector: $selector) {
  ... on Repository { sensors { name sensorState { status } } } ... on Error { message } } }"""
_TICKS = """query ($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector) {
  ... on Sensor { sensorState { ticks(limit: 1) { timestamp status } } } ... on Error { message } } }"""
_DECIDED = """query ($key: AssetKeyInput!, $after: String) { assetOrError(assetKey: $key) { __typename
  ... on Asset { assetMaterializations(afterTimestampMillis: $after, limit: 100) { timestamp runId metadataEntries {
    label ... on TextMetadataEntry { text } ... on BoolMetadataEntry { boolValue } } } } } }"""
_LAUNCH = """mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) { __typename
  ... on LaunchRunSuccess { run { runId } } ... on RunConfigValidationInvalid { errors { message } }
  ... on Error { message } } }"""


class NotUp(Exception):
    """`make run` is not there, or not ready."""


@dataclass(frozen=True)
class Ran:
    """A run, as a line tells it."""

    id: str
    job: str
    status: str
    began: float


@dataclass(frozen=True)
class Decided:
    """One decision on training, as its materialisation tells it."""

    run: str
    yes: bool
    reason: str


class Control(Dagster):
    """A Dagster that is also asked what goes on for a model."""

    def active(self, model: str) -> list[Ran]:
        """Runs of the model that wait or work."""
        return self._runs({"tags": [{"key": MODEL_TAG, "value": model}], "statuses": _ACTIVE}, 20)

    def since(self, model: str, moment: float) -> list[Ran]:
        """Runs of the model that were created after a moment of wall time, oldest first."""
        told = {"tags": [{"key": MODEL_TAG, "value": model}], "createdAfter": moment}
        return sorted(self._runs(told, 100), key=lambda run: run.began)

    def decisions(self, model: str, since: float) -> list[Decided]:
        """Decisions on training that were made after a moment of wall time, oldest first."""
        asked = {"key": {"path": [model, Stage.RETRAIN_DECISION.value]}, "after": str(int(since * 1000))}
        found = self._ask(_DECIDED, asked)["assetOrError"].get("assetMaterializations", [])
        told = [(each["runId"], {entry["label"]: entry for entry in each["metadataEntries"]}) for each in found]
        return [Decided(run, entries["yes"]["boolValue"], entries["reason"]["text"]) for run, entries in reversed(told)]

    def running_sensors(self, model: str) -> list[str]:
        """Sensors of the model that are switched on."""
        named = [each for each in self._repository()["sensors"] if each["name"].startswith(f"{model}_")]
        return [each["name"] for each in named if each["sensorState"]["status"] == "RUNNING"]

    def last_tick(self, sensor: str) -> float:
        """Wall time of the latest look that ended; 0: none did."""
        selector = {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY, "sensorName": sensor}
        ticks = self._ask(_TICKS, {"selector": selector})["sensorOrError"]["sensorState"]["ticks"]
        return max((tick["timestamp"] for tick in ticks if tick["status"] != "STARTED"), default=0.0)

    def launch_with(self, job: str, config: Mapping[str, Any]) -> str:
        """Launch a job as a person does who fills in its configuration; returns the run's id."""
        selector = {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY, "pipelineName": job}
        params = {"selector": selector, "runConfigData": config, "executionMetadata": {"tags": []}}
        answer = self._ask(_LAUNCH, {"params": params})["launchRun"]
        if "run" not in answer:
            raise RunFailed(f"{job} was not launched: {answer}")
        return answer["run"]["runId"]

    def _repository(self) -> Mapping[str, Any]:
        selector = {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY}
        return self._ask(_NAMES, {"selector": selector})["repositoryOrError"]

    def _runs(self, asked: Mapping[str, Any], limit: int) -> list[Ran]:
        found = self._ask(_RUNS, {"filter": asked, "limit": limit})["runsOrError"]["results"]
        return [Ran(run["runId"], run["jobName"], run["status"], run["creationTime"]) for run in found]


@dataclass(frozen=True)
class System:
    """Everything of one `make run`, by the variables that it was started with."""

    environment: Mapping[str, str]

    @cached_property
    def dagster(self) -> Control:
        return Control(f"http://127.0.0.1:{self.environment['UI_PORT']}")

    @cached_property
    def endpoint(self) -> Endpoint:
        return Endpoint(f"http://127.0.0.1:{self.environment['ENDPOINT_PORT']}", "/livez", "The endpoint")

    @cached_property
    def spec(self) -> ModelSpec:
        from mlops_assets.declaration.declare import declare

        attributes = yaml.safe_load((PROJECT / DECLARATION).read_text())["attributes"]
        return declare(attributes, PROJECT)

    @cached_property
    def resources(self) -> dict[str, Any]:
        return resources(self.environment)

    def demand_up(self) -> str:
        """The version that is live; NotUp where there is none."""
        started = "start it with `make run` in another terminal, with the same variables, and wait until it is live"
        mlflow = Server(f"http://127.0.0.1:{self.environment['MLFLOW_PORT']}", "/health", "MLflow")
        missing = []
        for server in (self.endpoint, mlflow):
            try:
                server.wait(_UP_PATIENCE)
            except TimeoutError as err:
                missing.append(str(err))
        try:
            self.dagster.wait(_UP_PATIENCE)
        except TimeoutError as err:
            missing.append(str(err))
        if missing:
            raise NotUp("\n".join([*missing, f"The demonstration needs the running system: {started}."]))
        version = self.endpoint.version(MODEL)
        home = self.environment.get("MLOPS_HOME", "")
        if version is None or self.state() is None:
            raise NotUp(f"{MODEL} is not live yet at {self.endpoint.url} with the state in {home}: {started}.")
        return version

    def now(self) -> datetime:
        return self.resources["clock"].now(self.spec)

    def move(self, moment: datetime) -> None:
        self.resources["clock"].move(self.spec, moment)

    def entries(self) -> list[Entry]:
        return self.resources["ledger"].entries(MODEL)

    def state(self) -> ReleaseState | None:
        return find_release_in_force(self.entries())

    def last_decision(self) -> DecisionRecord | None:
        """The latest decision on training."""
        return self.resources["records"].latest(MODEL, Stage.RETRAIN_DECISION, DecisionRecord)

    def watched(self) -> frozenset[str]:
        """Days that have a drift report already."""
        return frozenset(self.resources["monitoring"].read(MODEL, Stage.DRIFT_REPORT, DriftDay))

    def quiet(self, *, but: str = "") -> None:
        """Wait until no run of the model goes on, other than those of the job `but`."""
        deadline = time.monotonic() + _PATIENCE
        while busy := [run for run in self.dagster.active(MODEL) if run.job != but]:
            if time.monotonic() > deadline:
                told = ", ".join(f"{run.job} {self.dagster.run_url(run.id)}" for run in busy)
                raise RunFailed(f"still not done after {_PATIENCE:.0f} s: {told}")
            time.sleep(_LOOK_EVERY)

    def heard(self, sensor: str) -> None:
        """Wait until a sensor has looked at what is there now, and until the runs that it asked for are over."""
        since, deadline = time.time(), time.monotonic() + _TICK_PATIENCE
        if sensor not in self.dagster.running_sensors(MODEL):
            return  # a person switched it off: it decides nothing
        while self.dagster.last_tick(sensor) < since:
            if time.monotonic() > deadline:
                raise RunFailed(f"{sensor} has not looked for {_TICK_PATIENCE:.0f} s: is the daemon of `make run` up?")
            time.sleep(_LOOK_EVERY)
        self.quiet()

    def wait_for(self, run_id: str) -> str:
        """Until the run has ended; how it did."""
        while not (run := self.dagster.run(run_id)).finished:
            time.sleep(_LOOK_EVERY)
        return run.status


def asset_url(system: System, stage: str) -> str:
    return f"{system.dagster.url}/assets/{MODEL}/{stage}"
