"""Takes the example from nothing to a registered version while a person watches in Dagster.

Once: later starts only say that it is there. Launches the example's jobs; knows nothing of what they do.
"""

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

import yaml

from infra.run.dagster_client import LOCATION, Dagster, DagsterRefused, Run

MODEL = "flight_delay"
DECLARATION = Path(f"mlops_assets/defs/{MODEL}/defs.yaml")
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
_PATIENCE = 180.0
_LOOK_EVERY = 2.0


class RunFailed(Exception):
    """A run ended otherwise than well."""


@dataclass(frozen=True)
class Mlflow:
    """One MLflow server, by its address."""

    url: str

    def wait(self, patience: float) -> None:
        deadline = time.monotonic() + patience
        while not self._healthy():
            if time.monotonic() > deadline:
                raise TimeoutError(f"MLflow at {self.url} did not answer within {patience:.0f} s")
            time.sleep(1)

    def latest_version(self, model: str) -> str | None:
        """The highest version number of a registered model."""
        query = quote(f"name='{model}'")
        with urlopen(f"{self.url}/api/2.0/mlflow/model-versions/search?filter={query}", timeout=30) as answer:
            versions = json.load(answer).get("model_versions", [])
        return max((v["version"] for v in versions), key=int, default=None)

    def _healthy(self) -> bool:
        try:
            with urlopen(f"{self.url}/health", timeout=5) as answer:
                return answer.status == 200
        except (URLError, ConnectionError, TimeoutError):
            return False


def partitions_until_now(keys: Sequence[str], replay: datetime | None) -> Sequence[str]:
    """Daily partitions that are over: for data of the past, those before the moment its clock stands at."""
    return keys if replay is None else [key for key in keys if key < replay.strftime("%Y-%m-%d")]


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


def carry_out(dagster: Dagster, job: str, tags: Mapping[str, str]) -> None:
    """Launch a job, or join the run of it that is under way, and say how it goes until it ends."""
    run_id = dagster.unfinished(job) or dagster.launch(job, tags)
    print(f"{job}: {dagster.run_url(run_id)}")
    told: set[str] = set()
    while not (run := dagster.run(run_id)).finished:
        tell(run, told)
        time.sleep(_LOOK_EVERY)
    tell(run, told)
    if run.status != "SUCCESS":
        broken = [step.name for step in run.steps if step.status == "FAILURE"] or ["no step"]
        raise RunFailed(f"{job} ended as {run.status} ({', '.join(broken)}); what happened: {dagster.run_url(run_id)}")


def tell(run: Run, told: set[str]) -> None:
    """Print each step once when it begins and once when it ends."""
    for step in run.steps:
        line = f"  {step.name}: {step.status.lower().replace('_', ' ')}"
        if step.seconds is not None:
            line += f" ({step.seconds:.0f} s)"
        if line not in told and step.status:
            told.add(line)
            print(line)


def what_next(dagster: Dagster, mlflow: Mlflow, version: str) -> str:
    return f"""
{MODEL} version {version} is registered.

Open
  {dagster.url}/locations/{LOCATION}/asset-groups/{MODEL}
      the assets, from raw data to the registered version
  {dagster.url}/runs
      what ran, with its logs
  {mlflow.url}/#/models/{MODEL}
      the versions, their runs, metrics and plots

Try next
  make shell
      a shell in which dagster, dg, mlflow and feast work on this project; then, for instance:
  dagster job launch -j {MODEL}_train
      train again, watched in the UI; what is not better than the champion stops at a gate
  dg scaffold defs mlops_assets.ModelLifecycle my_model
      start a model of your own
Ctrl-C stops it all."""


def bring_up(dagster: Dagster, mlflow: Mlflow) -> str:
    """Data, then training, unless there is a version; returns its number."""
    version = mlflow.latest_version(MODEL)
    if version is not None:
        return version
    print(f"First start: {MODEL} from raw data to a registered version. Watch it at {dagster.url}/runs")
    keys = partitions_until_now(dagster.partitions(f"{MODEL}_data"), replay_moment(DECLARATION))
    if not dagster.has_succeeded(f"{MODEL}_data", range_tags(keys)):
        carry_out(dagster, f"{MODEL}_data", range_tags(keys))
    carry_out(dagster, f"{MODEL}_train", {})
    version = mlflow.latest_version(MODEL)
    if version is None:
        raise RunFailed(f"{MODEL}_train succeeded but MLflow at {mlflow.url} holds no version of {MODEL}")
    return version


def main() -> int:
    from dagster import DagsterInstance

    from infra.run.recover import end_lost_runs

    host = "127.0.0.1"
    dagster = Dagster(f"http://{host}:{os.environ['UI_PORT']}")
    mlflow = Mlflow(f"http://{host}:{os.environ['MLFLOW_PORT']}")
    with DagsterInstance.get() as instance:
        for run_id in end_lost_runs(instance, session_began=float(os.environ["SESSION_BEGAN"])):
            print(f"run {run_id} was cut off by the end of the last session; it is marked as failed")
    try:
        mlflow.wait(_PATIENCE)
        dagster.wait(_PATIENCE)
        print(what_next(dagster, mlflow, bring_up(dagster, mlflow)))
    except (RunFailed, DagsterRefused, TimeoutError) as err:
        print(f"{err}\nAll else goes on running. Put it right, then `make run` again: it goes on from here.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
