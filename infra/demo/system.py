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
from mlops_assets.declaration.declare import declare
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
_DECISIONS = """query ($key: AssetKeyInput!, $after: String) { assetOrError(assetKey: $key) { __typename
  ... on Asset { assetMaterializations(afterTimestampMillis: $after, limit: 100) { timestamp runId metadataEntries {
    label ... on TextMetadataEntry { text } ... on BoolMetadataEntry { boolValue } } } } } }"""
_LAUNCH = """mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) { __typename
  ... on LaunchRunSuccess { run { runId } } ... on RunConfigValidationInvalid { errors { message } }
  ... on Error { message } } }"""


class SystemNotReady(Exception):
    """`make run` is not running, or the model is not live yet."""


@dataclass(frozen=True)
class RunSummary:
    """A run, as a line of the report shows it."""

    id: str
    job: str
    status: str
    began: float


@dataclass(frozen=True)
class TrainingDecision:
    """One decision on training, as its materialisation records it."""

    run: str
    yes: bool
    reason: str


class ModelDagster(Dagster):
    """A Dagster whose runs, decisions and sensors of one model can be listed."""

    def list_active_runs(self, model: str) -> list[RunSummary]:
        """Runs of the model that wait or work."""
        return self._runs({"tags": [{"key": MODEL_TAG, "value": model}], "statuses": _ACTIVE}, 20)

    def list_runs_since(self, model: str, moment: float) -> list[RunSummary]:
        """Runs of the model that were created after a moment of wall time, oldest first."""
        created = {"tags": [{"key": MODEL_TAG, "value": model}], "createdAfter": moment}
        return sorted(self._runs(created, 100), key=lambda run: run.began)

    def list_decisions(self, model: str, since: float) -> list[TrainingDecision]:
        """Decisions on training that were made after a moment of wall time, oldest first."""
        variables = {"key": {"path": [model, Stage.RETRAIN_DECISION.value]}, "after": str(int(since * 1000))}
        events = self._query(_DECISIONS, variables)["assetOrError"].get("assetMaterializations", [])
        decisions = []
        for each in reversed(events):
            entries = {entry["label"]: entry for entry in each["metadataEntries"]}
            decisions.append(TrainingDecision(each["runId"], entries["yes"]["boolValue"], entries["reason"]["text"]))
        return decisions

    def list_running_sensors(self, model: str) -> list[str]:
        """Sensors of the model that are switched on."""
        named = [each for each in self._repository()["sensors"] if each["name"].startswith(f"{model}_")]
        return [each["name"] for each in named if each["sensorState"]["status"] == "RUNNING"]

    def read_last_tick(self, sensor: str) -> float:
        """Wall time of the latest look that ended; 0: none did."""
        selector = {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY, "sensorName": sensor}
        ticks = self._query(_TICKS, {"selector": selector})["sensorOrError"]["sensorState"]["ticks"]
        return max((tick["timestamp"] for tick in ticks if tick["status"] != "STARTED"), default=0.0)

    def launch_with_config(self, job: str, config: Mapping[str, Any]) -> str:
        """Launch a job as a person does who fills in its configuration; returns the run's id."""
        selector = {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY, "pipelineName": job}
        params = {"selector": selector, "runConfigData": config, "executionMetadata": {"tags": []}}
        answer = self._query(_LAUNCH, {"params": params})["launchRun"]
        if "run" not in answer:
            raise RunFailed(f"{job} was not launched: {answer}")
        return answer["run"]["runId"]

    def _repository(self) -> Mapping[str, Any]:
        selector = {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY}
        return self._query(_NAMES, {"selector": selector})["repositoryOrError"]

    def _runs(self, chosen: Mapping[str, Any], limit: int) -> list[RunSummary]:
        results = self._query(_RUNS, {"filter": chosen, "limit": limit})["runsOrError"]["results"]
        return [RunSummary(run["runId"], run["jobName"], run["status"], run["creationTime"]) for run in results]


@dataclass(frozen=True)
class System:
    """Everything of one `make run`, by the variables that it was started with."""

    environment: Mapping[str, str]

    @cached_property
    def dagster(self) -> ModelDagster:
        return ModelDagster(f"http://127.0.0.1:{self.environment['UI_PORT']}")

    @cached_property
    def endpoint(self) -> Endpoint:
        return Endpoint(f"http://127.0.0.1:{self.environment['ENDPOINT_PORT']}", "/livez", "The endpoint")

    @cached_property
    def spec(self) -> ModelSpec:
        attributes = yaml.safe_load((PROJECT / DECLARATION).read_text())["attributes"]
        return declare(attributes, PROJECT)

    @cached_property
    def resources(self) -> dict[str, Any]:
        return resources(self.environment)

    def require_live(self) -> str:
        """The version that is live; SystemNotReady where there is none."""
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
            raise SystemNotReady("\n".join([*missing, f"The demonstration needs the running system: {started}."]))
        version = self.endpoint.version(MODEL)
        home = self.environment.get("MLOPS_HOME", "")
        if version is None or self.read_release() is None:
            raise SystemNotReady(f"{MODEL} is not live yet at {self.endpoint.url} with the state in {home}: {started}.")
        return version

    def now(self) -> datetime:
        return self.resources["clock"].now(self.spec)

    def move_clock(self, moment: datetime) -> None:
        self.resources["clock"].move(self.spec, moment)

    def read_ledger(self) -> list[Entry]:
        return self.resources["ledger"].entries(MODEL)

    def read_release(self) -> ReleaseState | None:
        return find_release_in_force(self.read_ledger())

    def read_last_decision(self) -> DecisionRecord | None:
        """The latest decision on training."""
        return self.resources["records"].latest(MODEL, Stage.RETRAIN_DECISION, DecisionRecord)

    def list_watched_days(self) -> frozenset[str]:
        """Days that have a drift report already."""
        return frozenset(self.resources["monitoring"].read(MODEL, Stage.DRIFT_REPORT, DriftDay))

    def wait_until_idle(self, *, but: str = "") -> None:
        """Wait until no run of the model goes on, other than those of the job `but`."""
        deadline = time.monotonic() + _PATIENCE
        while busy := [run for run in self.dagster.list_active_runs(MODEL) if run.job != but]:
            if time.monotonic() > deadline:
                names = ", ".join(f"{run.job} {self.dagster.run_url(run.id)}" for run in busy)
                raise RunFailed(f"these runs did not end within {_PATIENCE:.0f} s: {names}")
            time.sleep(_LOOK_EVERY)

    def wait_for_tick(self, sensor: str) -> None:
        """Wait until a sensor has ticked once more and the runs that it requested have ended."""
        since, deadline = time.time(), time.monotonic() + _TICK_PATIENCE
        if sensor not in self.dagster.list_running_sensors(MODEL):
            return  # a person switched it off: it decides nothing
        while self.dagster.read_last_tick(sensor) < since:
            if time.monotonic() > deadline:
                raise RunFailed(f"{sensor} has not ticked for {_TICK_PATIENCE:.0f} s: is the daemon of `make run` up?")
            time.sleep(_LOOK_EVERY)
        self.wait_until_idle()

    def wait_for_run(self, run_id: str) -> str:
        """Wait until the run has ended; return its status."""
        while not (run := self.dagster.run(run_id)).finished:
            time.sleep(_LOOK_EVERY)
        return run.status


def asset_url(system: System, stage: str) -> str:
    return f"{system.dagster.url}/assets/{MODEL}/{stage}"
