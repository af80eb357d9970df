"""Takes the example from nothing to a live endpoint while a person watches in Dagster.

Once: later starts only say that it is there. Launches the example's jobs; knows nothing of what they do.
"""

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import yaml
from dagster import DagsterInstance

from infra.run.dagster_client import LOCATION, Dagster, DagsterRefused, LaunchedRun
from infra.run.recover import end_lost_runs

MODEL = "flight_delay"
DECLARATION = Path(f"mlops_assets/defs/{MODEL}/defs.yaml")
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
EXAMPLE = {
    "rows": [
        {
            "origin": "JFK",
            "carrier": "B6",
            "tailnum": "N580JB",
            "dest": "MIA",
            "distance": 1089,
            "scheduled_minutes": 186,
            "scheduled_at": "2013-10-01T18:30:00Z",
        }
    ]
}
_PATIENCE = 180.0
_LOOK_EVERY = 2.0


class RunFailed(Exception):
    """A run did not succeed."""


@dataclass(frozen=True)
class Server:
    """Anything that answers at an address."""

    url: str
    health: str
    name: str

    def wait(self, patience: float) -> None:
        deadline = time.monotonic() + patience
        while not self._healthy():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} at {self.url} did not answer within {patience:.0f} s")
            time.sleep(1)

    def _healthy(self) -> bool:
        try:
            with urlopen(f"{self.url}{self.health}", timeout=5) as answer:
                return answer.status == 200
        except (URLError, ConnectionError, TimeoutError):
            return False


class Endpoint(Server):
    """What answers requests."""

    def version(self, model: str) -> str | None:
        """The champion's semantic version; None where the model is not served."""
        with urlopen(f"{self.url}/releases", timeout=30) as answer:
            arms = json.load(answer)["models"].get(model, {}).get("arms", [])
        return next((arm["version"] for arm in arms if arm["role"] == "champion"), None)


def partitions_until_now(keys: Sequence[str], replay: datetime | None) -> Sequence[str]:
    """Daily partitions that are over: for data of the past, those before the moment its clock stands at."""
    return keys if replay is None else [key for key in keys if key < replay.strftime("%Y-%m-%d")]


def clock_moment(clock: Path, begin: str) -> datetime | None:
    """Where the model's clock stands; where it was never moved it is set to `begin`, unless that is empty."""
    if not clock.exists() and begin:
        clock.parent.mkdir(parents=True, exist_ok=True)
        clock.write_text(datetime.fromisoformat(begin).replace(tzinfo=UTC).isoformat())
    return datetime.fromisoformat(clock.read_text()) if clock.exists() else None


def replay_moment(declaration: Path) -> datetime | None:
    """The `replay:` of a model's YAML."""
    for document in yaml.safe_load_all(declaration.read_text()):
        moment = document.get("attributes", {}).get("replay")
        if moment is not None:
            return moment if isinstance(moment, datetime) else datetime.fromisoformat(str(moment))
    return None


def range_tags(keys: Sequence[str]) -> dict[str, str]:
    """What makes one run of a range of partitions."""
    return {RANGE_START: keys[0], RANGE_END: keys[-1]} if keys else {}


def run_job(dagster: Dagster, job: str, tags: Mapping[str, str]) -> None:
    """Launch a job, or join the run of it that is under way, and say how it goes until it ends."""
    run_id = dagster.unfinished(job) or dagster.launch(job, tags)
    print(f"{job}: {dagster.run_url(run_id)}")
    printed: set[str] = set()
    while not (run := dagster.run(run_id)).finished:
        print_steps(run, printed)
        time.sleep(_LOOK_EVERY)
    print_steps(run, printed)
    if run.status != "SUCCESS":
        broken = [step.name for step in run.steps if step.status == "FAILURE"] or ["no step"]
        raise RunFailed(f"{job} ended as {run.status} ({', '.join(broken)}); what happened: {dagster.run_url(run_id)}")


def print_steps(run: LaunchedRun, printed: set[str]) -> None:
    """Print each step once when it begins and once when it ends."""
    for step in run.steps:
        line = f"  {step.name}: {step.status.lower().replace('_', ' ')}"
        if step.seconds is not None:
            line += f" ({step.seconds:.0f} s)"
        if line not in printed and step.status:
            printed.add(line)
            print(line)


def format_next_steps(dagster: Dagster, mlflow: Server, endpoint: Endpoint, version: str) -> str:
    return f"""
{MODEL} {version} is live.

Ask it
  curl {endpoint.url}/v1/models/{MODEL}/predict -H 'content-type: application/json' -d '{json.dumps(EXAMPLE)}'

Open
  {dagster.url}/locations/{LOCATION}/asset-groups/{MODEL}
      the assets, from raw data to the deployed endpoint
  {dagster.url}/runs
      what ran, with its logs
  {mlflow.url}/#/models/{MODEL}
      the versions, their runs, metrics and plots
  {endpoint.url}/docs
      the routes of the endpoint

Try next
  make shell
      a shell in which dagster, dg, mlflow and feast work on this project; then, for instance:
  dagster job launch -j {MODEL}_train
      train again, watched in the UI; what is not better than the champion stops at a gate
  dg scaffold defs mlops_assets.ModelLifecycle my_model
      start a model of your own
Ctrl-C stops it all."""


def bring_up(dagster: Dagster, endpoint: Endpoint, now: datetime | None = None) -> str:
    """Data, then training and release, unless the model is live; returns its version."""
    version = endpoint.version(MODEL)
    if version is not None:
        return version
    print(f"First start: {MODEL} from raw data to a live endpoint. Watch it at {dagster.url}/runs")
    moment = now or replay_moment(DECLARATION)
    keys = partitions_until_now(dagster.partitions(f"{MODEL}_data"), moment)
    if not dagster.has_succeeded(f"{MODEL}_data", range_tags(keys)):
        run_job(dagster, f"{MODEL}_data", range_tags(keys))
    run_job(dagster, f"{MODEL}_train", {})
    version = endpoint.version(MODEL)
    if version is None:
        raise RunFailed(
            f"{MODEL}_train succeeded, but {endpoint.url} does not serve {MODEL}: see {endpoint.url}/releases"
        )
    return version


def main() -> int:
    host = "127.0.0.1"
    dagster = Dagster(f"http://{host}:{os.environ['UI_PORT']}")
    mlflow = Server(f"http://{host}:{os.environ['MLFLOW_PORT']}", "/health", "MLflow")
    endpoint = Endpoint(f"http://{host}:{os.environ['ENDPOINT_PORT']}", "/livez", "The endpoint")
    with DagsterInstance.get() as instance:
        for run_id in end_lost_runs(instance, session_began=float(os.environ["SESSION_BEGAN"])):
            print(f"run {run_id} was cut off by the end of the last session; it is marked as failed")
    try:
        mlflow.wait(_PATIENCE)
        endpoint.wait(_PATIENCE)
        dagster.wait(_PATIENCE)
        clock = Path(os.environ["MLOPS_HOME"]) / "clock" / f"{MODEL}.txt"
        now = clock_moment(clock, os.environ.get("REPLAY", ""))
        print(format_next_steps(dagster, mlflow, endpoint, bring_up(dagster, endpoint, now)))
    except (RunFailed, DagsterRefused, TimeoutError) as err:
        print(f"{err}\nThe other services go on running. Correct the cause and restart `make run`: it continues.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
