"""MLflow runs: what one training writes down while it goes. Versions and aliases are `model_registry.py`'s.

Everything goes through an explicit client: no active run, no global state. A run has a key; the same key goes
on with the same run, so a training that was killed and is executed again leaves one run, with each epoch in
it once.
"""

import json
import logging
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, cast

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from mlops_assets.resources.registry.tags import HIDDEN, SECRET_IN_URL, redacted

_BATCH = {"metrics": 1000, "params": 100, "tags": 100}  # MLflow's limits for one call


class TrackedRun:
    """One MLflow run that is being written."""

    def __init__(self, client: MlflowClient, run_id: str, url: str, *, resumed: bool) -> None:
        self.run_id = run_id
        self.url = url
        self.resumed = resumed
        self._client = client
        self._last_step: dict[str, int] = {}

    def params(self, values: Mapping[str, Any]) -> None:
        """What was decided before training. Repeating a value is fine; changing one is MLflow's error."""
        self._log("params", [Param(key, value) for key, value in redacted(values).items()])

    def tags(self, values: Mapping[str, Any]) -> None:
        self._log("tags", [RunTag(key, value) for key, value in redacted(values).items()])

    def metrics(self, values: Mapping[str, float], *, step: int = 0) -> None:
        """The numbers of one step (an epoch, say) in one call; what a resumed run already has stays."""
        now = int(time.time() * 1000)
        new = {name: value for name, value in values.items() if step > self._logged_up_to(name)}
        self._log("metrics", [Metric(name, float(value), now, step) for name, value in new.items()])

    def text(self, file: str, content: str) -> None:
        self._client.log_text(self.run_id, content, file)

    def figure(self, file: str, png: bytes) -> None:
        """A picture that is PNG already."""
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / Path(file).name
            local.write_bytes(png)
            self.file(local, str(Path(file).parent))

    def file(self, path: Path, folder: str = "") -> None:
        self._client.log_artifact(self.run_id, str(path), None if folder in ("", ".") else folder)

    def folder(self, path: Path, name: str) -> None:
        self._client.log_artifacts(self.run_id, str(path), name)

    def dataset(self, *, name: str, digest: str, context: str, source: Mapping[str, str]) -> None:
        """What the run reads, by name and digest; the data itself stays where it is."""
        described = json.dumps(redacted({**source, "digest": digest}), sort_keys=True)
        dataset = Dataset(name=name, digest=digest[:36], source_type="lake", source=described)
        tag = InputTag(key="mlflow.data.context", value=context)
        self._client.log_inputs(self.run_id, datasets=[DatasetInput(dataset=dataset, tags=[tag])])

    def _log(self, kind: str, entries: list[Any]) -> None:
        for batch in _batches(entries, _BATCH[kind]):
            values: dict[str, Any] = {kind: batch}
            self._client.log_batch(self.run_id, **values)

    def _logged_up_to(self, name: str) -> int:
        if not self.resumed:
            return -1
        if name not in self._last_step:
            history = self._client.get_metric_history(self.run_id, name)
            self._last_step[name] = max((point.step for point in history), default=-1)
        return self._last_step[name]


@lru_cache(maxsize=8)
def connect(tracking_uri: str) -> MlflowClient:
    """A client for the store or server; one that cannot be reached is a ConnectionError."""
    _be_quiet()
    if tracking_uri.startswith("sqlite:///"):
        Path(tracking_uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    client = _reaching(lambda: MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri), tracking_uri)
    return cast("MlflowClient", _Reaching(client, tracking_uri))


class _Reaching:
    """Passes calls on to a client and tells an unreachable server from a refused call."""

    def __init__(self, client: Any, where: str) -> None:
        self._client = client
        self._where = where

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if not callable(method):
            return method
        return lambda *args, **kwargs: _reaching(lambda: method(*args, **kwargs), self._where)


def _reaching(call: Any, where: str) -> Any:
    try:
        return call()
    except MlflowException as err:
        if not _is_unreachable(err):
            raise
        message = f"MLflow at {where} cannot be reached: {err}. Check the tracking URI and that the server runs."
        # without its cause, whose text would show the password of the URI
        raise ConnectionError(SECRET_IN_URL.sub(f"{HIDDEN}@", message)) from None


def _is_unreachable(err: Any) -> bool:
    """A database that MLflow says is not there, or a failure below its HTTP client."""
    below = {type(cause).__module__.partition(".")[0] for cause in _chain(err)}
    return err.error_code == "TEMPORARILY_UNAVAILABLE" or bool(below & {"requests", "urllib3"})


def _chain(err: BaseException | None) -> Iterator[BaseException]:
    while err is not None:
        yield err
        err = err.__cause__ or err.__context__


def _be_quiet() -> None:
    """No log lines of MLflow's own migrations."""
    for name in ("mlflow.store.db.utils", "mlflow.store.model_registry.abstract_store", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _batches(entries: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(entries)
    while batch := list(islice(rest, size)):
        yield batch
