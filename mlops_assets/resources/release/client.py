"""Talks HTTP to an endpoint: the live one, or a Bento on trial. Judges nothing."""

import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import requests

from mlops_assets.resources.release.endpoint import Live

_ARROW = "application/vnd.apache.arrow.stream"
_PAUSE = 0.1  # seconds between two looks
_ROWS = 2_000  # of one bulk request


class EndpointError(RuntimeError):
    """The endpoint answered, but not what was asked for."""


@dataclass(frozen=True)
class RefusedRequest:
    """An answer with a status other than 200."""

    status: int
    text: str


class Client:
    """Talks HTTP to one endpoint."""

    def __init__(self, url: str, token: str = "", timeout: float = 30.0) -> None:
        self.url, self._timeout = url.rstrip("/"), timeout
        self._session = requests.Session()
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def wait_ready(self, seconds: float) -> None:
        """TimeoutError with the last answer where it does not come up."""
        until, last = time.monotonic() + seconds, "no answer"
        while time.monotonic() < until:
            answer = self._look("/readyz")
            if answer is not None:
                if answer.status_code == 200:
                    return
                last = answer.text
            time.sleep(_PAUSE)
        raise TimeoutError(f"{self.url} was not ready within {seconds:g} s: {last[:500]}")

    def releases(self) -> Mapping[str, Any]:
        """What it serves, and what is in the way of more."""
        answer = self._session.get(f"{self.url}/releases", timeout=self._timeout)
        if answer.status_code != 200:
            raise EndpointError(f"{self.url}/releases: {answer.status_code} {answer.text[:300]}")
        return answer.json()["models"]

    def ask(self, model: str, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | RefusedRequest:
        """The whole answer to a predict request."""
        answer = self._session.post(f"{self.url}/v1/models/{model}/predict", json={"rows": rows}, timeout=self._timeout)
        return answer.json() if answer.status_code == 200 else RefusedRequest(answer.status_code, answer.text[:300])

    def scores(self, model: str, rows: pa.Table) -> np.ndarray:
        """Probability, probabilities or value of each row, asked for in bulk."""
        parts = [self._bulk(model, rows.slice(begin, _ROWS)) for begin in range(0, rows.num_rows, _ROWS)]
        return np.concatenate(parts)

    def latency(self, model: str, row: Mapping[str, Any], times: int) -> list[float]:
        """Milliseconds of so many requests with one row, one after the other, the first left out."""
        taken = []
        for _ in range(times + 1):
            answer, milliseconds = self.timed(model, row)
            taken.append(milliseconds)
            if isinstance(answer, RefusedRequest):
                raise EndpointError(f"{model}: refused a golden row with {answer.status}: {answer.text}")
        return taken[1:]

    def timed(self, model: str, row: Mapping[str, Any]) -> tuple[Mapping[str, Any] | RefusedRequest, float]:
        """The answer for one row, and the milliseconds it took."""
        began = time.perf_counter()
        answer = self.ask(model, [row])
        return answer, (time.perf_counter() - began) * 1000

    def wait_live(self, model: str, generation: int, seconds: float) -> Live:
        """See `Endpoint.wait_live`."""
        until, served = time.monotonic() + seconds, None
        while True:
            answer = self._look("/releases")
            if answer is None and served is None:
                return Live(None, f"no endpoint answers at {self.url}", up=False)
            if answer is not None and answer.status_code != 200:
                return Live(None, f"{self.url}/releases: {answer.status_code} {answer.text[:300]}")
            state = answer.json()["models"].get(model, {}) if answer is not None else {}
            served = state.get("generation", served) or 0
            trouble = state.get("not_served")
            if trouble and trouble["generation"] == generation and trouble["attempts"] > 1:
                return Live(served, trouble["reason"])
            if served >= generation and self._lowest(model) >= generation:
                return Live(served, "")
            if time.monotonic() > until:
                return Live(served, f"generation {served} is served {seconds:g} s after generation {generation} came")
            time.sleep(_PAUSE)

    def _lowest(self, model: str) -> float:
        """The lowest generation that any of the workers serves."""
        answer = self._look("/metrics")
        for line in answer.text.splitlines() if answer is not None else ():
            if line.startswith("endpoint_generation{") and f'model="{model}"' in line:
                return float(line.rsplit(" ", 1)[1])
        return -1

    def _bulk(self, model: str, rows: pa.Table) -> np.ndarray:
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
        answer = self._session.post(
            f"{self.url}/v1/models/{model}/predict",
            data=sink.getvalue(),
            headers={"Content-Type": _ARROW, "x-deadline-ms": "60000"},
            timeout=self._timeout + 60,
        )
        if answer.status_code != 200:
            raise EndpointError(f"{model}: {rows.num_rows} rows refused with {answer.status_code}: {answer.text[:500]}")
        with pa.ipc.open_stream(answer.content) as reader:
            table = reader.read_all()
        return np.array(table.column(0).to_pylist(), dtype=np.float64)

    def _look(self, path: str) -> requests.Response | None:
        """None where nobody answers."""
        try:
            return self._session.get(f"{self.url}{path}", timeout=self._timeout)
        except (requests.ConnectionError, requests.Timeout):
            return None
