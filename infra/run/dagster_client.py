"""Asks a running Dagster over GraphQL: what is there, launch this, how far is it. Decides nothing."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

LOCATION = "mlops_assets"
REPOSITORY = "__repository__"
_TIMEOUT = 30.0
_LAUNCH_TIMEOUT = 300.0  # Dagster writes down every partition of the run before it answers

_LOCATIONS = """{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus
  locationOrLoadError { __typename ... on PythonError { message } } } } } }"""
_PARTITIONS = """query ($job: PipelineSelector!) { pipelineOrError(params: $job) { __typename
  ... on Pipeline { partitionKeysOrError { __typename ... on PartitionKeys { partitionKeys } } }
  ... on Error { message } } }"""
_RUNS = """query ($filter: RunsFilter!) { runsOrError(filter: $filter, limit: 1) {
  ... on Runs { results { runId } } } }"""
_LAUNCH = """mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) { __typename
  ... on LaunchRunSuccess { run { runId } } ... on RunConfigValidationInvalid { errors { message } }
  ... on Error { message } } }"""
_RUN = """query ($run: ID!) { runOrError(runId: $run) { __typename
  ... on Run { status stepStats { stepKey status startTime endTime } } ... on Error { message } } }"""


class DagsterRefused(Exception):
    """Dagster answered with a refusal."""


@dataclass(frozen=True)
class RunStep:
    name: str
    status: str
    seconds: float | None


@dataclass(frozen=True)
class LaunchedRun:
    status: str
    steps: tuple[RunStep, ...]

    @property
    def finished(self) -> bool:
        return self.status in ("SUCCESS", "FAILURE", "CANCELED")


@dataclass(frozen=True)
class Dagster:
    """One Dagster UI, by its address."""

    url: str

    def wait(self, patience: float) -> None:
        """Until the project's code location is loaded; an error in it is raised unchanged."""
        deadline = time.monotonic() + patience
        while not self._loaded():
            if time.monotonic() > deadline:
                raise TimeoutError(f"Dagster at {self.url} did not load {LOCATION} within {patience:.0f} s")
            time.sleep(1)

    def partitions(self, job: str) -> Sequence[str]:
        answer = self._query(_PARTITIONS, {"job": _selector(job)})["pipelineOrError"]
        return answer["partitionKeysOrError"].get("partitionKeys", [])

    def unfinished(self, job: str) -> str | None:
        """A run of this job that waits or works."""
        states = ["QUEUED", "NOT_STARTED", "STARTING", "STARTED"]
        answer = self._query(_RUNS, {"filter": {"pipelineName": job, "statuses": states}})
        return next((run["runId"] for run in answer["runsOrError"]["results"]), None)

    def has_succeeded(self, job: str, tags: Mapping[str, str]) -> bool:
        """Whether a run of this job with these tags ended well."""
        tag_filter = [{"key": key, "value": value} for key, value in tags.items()]
        answer = self._query(_RUNS, {"filter": {"pipelineName": job, "statuses": ["SUCCESS"], "tags": tag_filter}})
        return bool(answer["runsOrError"]["results"])

    def launch(self, job: str, tags: Mapping[str, str]) -> str:
        """Put a run into the queue; returns its id."""
        params = {
            "selector": _selector(job),
            "runConfigData": {},
            "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
        }
        answer = self._query(_LAUNCH, {"params": params}, _LAUNCH_TIMEOUT)["launchRun"]
        if "run" not in answer:
            causes = "; ".join(error["message"] for error in answer.get("errors", []))
            raise DagsterRefused(f"{job} was not launched: {answer['__typename']}. {causes}")
        return answer["run"]["runId"]

    def run(self, run_id: str) -> LaunchedRun:
        answer = self._query(_RUN, {"run": run_id})["runOrError"]
        return LaunchedRun(answer["status"], tuple(_step(s) for s in answer["stepStats"]))

    def run_url(self, run_id: str) -> str:
        return f"{self.url}/runs/{run_id}"

    def _loaded(self) -> bool:
        try:
            entries = self._query(_LOCATIONS, {})["workspaceOrError"]["locationEntries"]
        except (URLError, ConnectionError, TimeoutError):
            return False
        entry = next((e for e in entries if e["name"] == LOCATION), None)
        loaded = (entry or {}).get("locationOrLoadError") or {}
        if loaded.get("__typename") == "PythonError" and entry and entry["loadStatus"] == "LOADED":
            raise DagsterRefused(loaded["message"])
        return loaded.get("__typename") == "RepositoryLocation"

    def _query(self, query: str, variables: Mapping[str, Any], patience: float = _TIMEOUT) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        try:
            with urlopen(request, timeout=patience) as response:
                answer = json.load(response)
        except TimeoutError as err:
            raise TimeoutError(f"Dagster at {self.url} did not answer within {patience:.0f} s") from err
        problems = [error["message"] for error in answer.get("errors") or []]
        problems += [part["message"] for part in (answer.get("data") or {}).values() if "message" in (part or {})]
        if problems:
            raise DagsterRefused("; ".join(problems))
        return answer["data"]


def _selector(job: str) -> dict[str, str]:
    return {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY, "pipelineName": job}


def _step(stats: Mapping[str, Any]) -> RunStep:
    start, end = stats["startTime"], stats["endTime"]
    return RunStep(stats["stepKey"], stats["status"] or "", end - start if start and end else None)
