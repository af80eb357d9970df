"""Those who ask the endpoint over HTTP and tell it later what came of it. Knows no Dagster and no clock."""

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
class Answer:
    """What one flight's caller heard. `refusal` instead of a score where there was none."""

    flight: Flight
    request_id: str
    version: str
    degraded: bool
    score: float | None
    refusal: str


@dataclass(frozen=True)
class Landed:
    """An answer and what came of it."""

    answer: Answer
    late: bool


@dataclass(order=True, frozen=True)
class _Waiting:
    until: datetime
    request_id: str
    landed: Landed = field(compare=False)


class Callers:
    """Ask about flights; report outcomes once they are there."""

    def __init__(self, endpoint: str, model: str) -> None:
        self._address, self._model = urlsplit(endpoint), model
        self._own, self._all = threading.local(), list[HTTPConnection]()
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="caller")
        self._waiting: list[_Waiting] = []

    def ask(self, flights: Sequence[Flight], rows: Sequence[Mapping[str, Any]]) -> list[Answer]:
        """One request for each flight, under its id."""
        answers = list(self._pool.map(self._ask, flights, rows))
        for answer in answers:
            landed_at, late = answer.flight.landed_at, answer.flight.late
            if answer.score is not None and landed_at is not None and late is not None:
                heappush(self._waiting, _Waiting(landed_at, answer.request_id, Landed(answer, late)))
        return answers

    def report(self, now: datetime) -> list[Landed]:
        """Tell the endpoint of every flight that has landed by `now`; returns them."""
        landed = self.landed(now)
        for start in range(0, len(landed), _TOGETHER):
            told = [{"request_id": each.answer.request_id, "outcome": each.late} for each in landed[start:][:_TOGETHER]]
            status, body = self._post("feedback", told)
            if status != 202:
                raise ConnectionError(f"the endpoint did not take outcomes ({status}): {body}")
        return landed

    def landed(self, now: datetime) -> list[Landed]:
        """Those that have landed by `now`, once each, without telling anybody."""
        found = []
        while self._waiting and self._waiting[0].until <= now:
            found.append(heappop(self._waiting).landed)
        return found

    def close(self) -> None:
        self._pool.shutdown()
        for connection in self._all:
            connection.close()

    def _ask(self, flight: Flight, row: Mapping[str, Any]) -> Answer:
        try:
            status, body = self._post("predict", {"rows": [row], "key": flight.id})
        except (OSError, HTTPException) as err:
            return Answer(flight, "", "", False, None, f"{type(err).__name__}: {err}")
        if status != 200:
            return Answer(flight, "", "", False, None, f"{status}: {json.dumps(body)[:200]}")
        score = body["predictions"][0].get("probability")
        return Answer(flight, body["request_id"], body["version"], body["degraded"], score, "")

    def _post(self, door: str, content: Any) -> tuple[int, Any]:
        try:
            return self._sent(door, content)
        except (OSError, HTTPException):
            return self._sent(door, content)  # the endpoint closes connections that were idle for a while

    def _sent(self, door: str, content: Any) -> tuple[int, Any]:
        connection = self._connection()
        try:
            connection.request("POST", f"/v1/models/{self._model}/{door}", json.dumps(content), _JSON)
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
