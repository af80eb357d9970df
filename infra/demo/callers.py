"""The callers of the endpoint: they request predictions over HTTP and report outcomes later.

Knows no Dagster and no clock.
"""

import json
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from heapq import heappop, heappush
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from infra.demo.world import Flight

_TOGETHER = 500  # outcomes in one request
_AT_ONCE = 4  # callers
_TIMEOUT = 30.0
_JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class FlightAnswer:
    """The endpoint's answer about one flight. `refusal` instead of a score where there was none."""

    flight: Flight
    request_id: str
    version: str
    degraded: bool
    score: float | None
    refusal: str


@dataclass(frozen=True)
class LandedFlight:
    """An answer and what came of it."""

    answer: FlightAnswer
    late: bool


@dataclass(order=True, frozen=True)
class _PendingOutcome:
    until: datetime
    request_id: str
    landed: LandedFlight = field(compare=False)


class Callers:
    """Ask about flights; report outcomes once they are there."""

    def __init__(self, endpoint: str, model: str) -> None:
        self._address, self._model = urlsplit(endpoint), model
        self._own, self._all = threading.local(), list[HTTPConnection]()
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="caller")
        self._waiting: list[_PendingOutcome] = []

    def predict(self, flights: Sequence[Flight], rows: Sequence[Mapping[str, Any]]) -> list[FlightAnswer]:
        """One request for each flight, under its id."""
        answers = list(self._pool.map(self._predict, flights, rows))
        for answer in answers:
            landed_at, late = answer.flight.landed_at, answer.flight.late
            if answer.score is not None and landed_at is not None and late is not None:
                heappush(self._waiting, _PendingOutcome(landed_at, answer.request_id, LandedFlight(answer, late)))
        return answers

    def report_outcomes(self, now: datetime) -> list[LandedFlight]:
        """Report every flight that has landed by `now` to the endpoint; return these flights."""
        landed = self.pop_landed(now)
        for start in range(0, len(landed), _TOGETHER):
            outcomes = [
                {"request_id": each.answer.request_id, "outcome": each.late} for each in landed[start:][:_TOGETHER]
            ]
            status, body = self._post("feedback", outcomes)
            if status != 202:
                raise ConnectionError(f"the endpoint did not take outcomes ({status}): {body}")
        return landed

    def pop_landed(self, now: datetime) -> list[LandedFlight]:
        """Return the flights that have landed by `now`, once each, without reporting them."""
        found = []
        while self._waiting and self._waiting[0].until <= now:
            found.append(heappop(self._waiting).landed)
        return found

    def close(self) -> None:
        self._pool.shutdown()
        for connection in self._all:
            connection.close()

    def _predict(self, flight: Flight, row: Mapping[str, Any]) -> FlightAnswer:
        try:
            status, body = self._post("predict", {"rows": [row], "key": flight.id})
        except (OSError, HTTPException) as err:
            return FlightAnswer(flight, "", "", False, None, f"{type(err).__name__}: {err}")
        if status != 200:
            return FlightAnswer(flight, "", "", False, None, f"{status}: {json.dumps(body)[:200]}")
        score = body["predictions"][0].get("probability")
        return FlightAnswer(flight, body["request_id"], body["version"], body["degraded"], score, "")

    def _post(self, route: str, content: Any) -> tuple[int, Any]:
        try:
            return self._send_once(route, content)
        except (OSError, HTTPException):
            return self._send_once(route, content)  # the endpoint closes connections that were idle for a while

    def _send_once(self, route: str, content: Any) -> tuple[int, Any]:
        connection = self._connection()
        try:
            connection.request("POST", f"/v1/models/{self._model}/{route}", json.dumps(content), _JSON)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        except (OSError, HTTPException):
            connection.close()
            raise

    def _connection(self) -> HTTPConnection:
        if not hasattr(self._own, "connection"):
            assert self._address.hostname is not None
            self._own.connection = HTTPConnection(self._address.hostname, self._address.port, timeout=_TIMEOUT)
            self._all.append(self._own.connection)
        return self._own.connection
