"""Features from the online store, through Feast: with `feature_read`, the only file of `serving` that imports it.

Requests that arrive in one turn of the event loop share one lookup for each feature service. Values older than
their view's TTL count as missing (Feast does not look). While the store is down, the values last seen stand in
as long as their TTL allows, and the answer says so; without any there is none.
"""

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import feast
from feast.repo_config import RepoConfig

from serving.features.clock import Now
from serving.features.lookup import SECOND, Lookup
from serving.features.plan import Plan, PlannedView, read_plan
from serving.models.breaker import Breaker
from serving.models.loaded_model import LoadedModel
from serving.problems import InvalidInput, Problem, Unavailable
from serving.rows.row_shapes import NamedRows, RequestRows
from serving.telemetry.meter import Meters

_REMEMBERED = 200_000  # values of views by key that stand in while the store is down
_SHARE, _PAUSE = 0.5, 0.5  # of the breaker
_REDIS = ",socket_connect_timeout=0.5,socket_timeout=0.5,retry=null"

Row = Mapping[str, Any]


def open_features(registry: str, online_store: Mapping[str, Any], meters: Meters, now: Now) -> "OnlineFeatures":
    """`registry`: SQL URL of Feast's registry; `online_store`: Feast's settings; `now`: a model's clock."""

    def opened() -> feast.FeatureStore:
        config = RepoConfig(
            project="mlops_assets",
            provider="local",
            registry={"registry_type": "sql", "path": registry},  # type: ignore[arg-type]
            online_store=_impatient(online_store),
            offline_store={"type": "file"},
            entity_key_serialization_version=3,
        )
        return feast.FeatureStore(config=config)

    path = online_store.get("path")
    return OnlineFeatures(opened, Path(path) if path else None, meters, now)


def _impatient(online_store: Mapping[str, Any]) -> dict[str, Any]:
    """A Redis that hangs would be waited for for ever, one that is down for seconds; last known values stand in."""
    settings = dict(online_store)
    if settings["type"] == "redis":
        settings["connection_string"] += _REDIS
    return settings


class OnlineFeatures:
    """Completes rows that bring keys instead of features."""

    def __init__(self, opened: Callable[[], feast.FeatureStore], file: Path | None, meters: Meters, now: Now) -> None:
        self._opened, self._file, self._meters, self._now = opened, file, meters, now
        self._store: feast.FeatureStore | None = None
        self._inode: int | None = None
        self._plans: dict[str, Plan] = {}
        self._lookups: dict[str, Lookup] = {}  # of the open store
        self._known: OrderedDict[tuple[str, ...], tuple[dict[str, Any], float]] = OrderedDict()
        self._breaker = Breaker(share=_SHARE, pause=_PAUSE)
        self._waiting: dict[str, list[tuple[Sequence[Row], asyncio.Future[Any]]]] = {}
        self._running: set[str] = set()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="features")
        self.lookups = 0  # that the store answered

    async def complete(self, given: RequestRows, loaded: LoadedModel) -> tuple[RequestRows, tuple[str, ...]]:
        contract, rows = loaded.contract, given.as_rows()
        if not all(isinstance(row, dict) for row in rows):
            raise InvalidInput("a row is an object with a value for each field")
        service = contract.feature_service
        done: asyncio.Future[tuple[Plan, list[dict[str, Any]], list[float], tuple[str, ...]]]
        done = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(service, []).append((rows, done))
        if service not in self._running:
            self._running.add(service)
            asyncio.get_running_loop().call_soon(self._turn, service, contract.model)
        plan, found, ages, why = await done
        meter = self._meters.of(contract.model, "", "")
        for age in ages:
            meter.staleness.observe(age)
        spare = plan.asked.keys() - loaded.reader.fields.keys() - set(contract.entity)
        merged = [
            {**values, **{name: value for name, value in row.items() if name not in spare}}
            for row, values in zip(rows, found, strict=True)
        ]
        return NamedRows(merged), why

    def _turn(self, service: str, model: str) -> None:
        """One lookup for everybody who waits."""
        batch = self._waiting.pop(service, [])
        if not batch:
            self._running.discard(service)
            return
        loop = asyncio.get_running_loop()
        task = loop.run_in_executor(self._executor, self._answers, service, model, [rows for rows, _ in batch])
        task.add_done_callback(lambda ended: self._ended(service, model, batch, ended))

    def _ended(self, service: str, model: str, batch: list[Any], ended: "asyncio.Future[list[Any]]") -> None:
        failed = ended.exception()
        answers = [self._unavailable(failed)] * len(batch) if failed else ended.result()
        for (_, done), answer in zip(batch, answers, strict=True):
            if done.done():
                continue
            if isinstance(answer, Exception):
                done.set_exception(answer)
            else:
                done.set_result(answer)
        self._turn(service, model)

    def _answers(self, service: str, model: str, batch: Sequence[Sequence[Row]]) -> list[Any]:
        """For each request its features, or what is wrong with it. Runs in the lookup thread."""
        now = self._now(model)
        try:
            plan = self._plan(service)
        except Exception as err:  # noqa: BLE001 - whatever a store that is down throws
            return [self._unavailable(err)] * len(batch)
        problems = [plan.problems(rows) for rows in batch]
        asked = [plan.request(row) for rows, wrong in zip(batch, problems, strict=True) if not wrong for row in rows]
        found, ages, why = self._found(plan, asked, now) if asked else ([], [], ())
        if isinstance(found, Exception):
            return [InvalidInput(wrong) if wrong else found for wrong in problems]
        answers, place = [], 0
        for rows, wrong in zip(batch, problems, strict=True):
            if wrong:
                answers.append(InvalidInput(wrong))
                continue
            end = place + len(rows)
            answers.append((plan, found[place:end], ages[place:end], why))
            place = end
        return answers

    def _found(self, plan: Plan, asked: Sequence[Row], now: float) -> tuple[Any, list[float], tuple[str, ...]]:
        if self._breaker.allows(time.monotonic()):
            try:
                found, ages = self._looked_up(plan, asked, now)
                self._breaker.succeeded()
                return found, ages, ()
            except Exception as err:  # noqa: BLE001 - SQLite, Redis, the network: each throws its own
                self._breaker.failed(time.monotonic())
                self._store = None  # opened anew with the next lookup
                reason = f"features: the online store fails ({type(err).__name__}); last known values stand in"
        else:
            reason = "features: the online store is not asked, its circuit is open; last known values stand in"
        try:
            return *self._last_known(plan, asked, now), (reason,)
        except Unavailable as err:
            return err, [], ()

    def _looked_up(self, plan: Plan, asked: Sequence[Row], now: float) -> tuple[list[dict[str, Any]], list[float]]:
        found = self._lookup(plan.service)(plan.with_every_key(asked))
        self.lookups += 1
        rows: list[dict[str, Any]] = [{} for _ in asked]
        ages = [0.0] * len(asked)
        for name in plan.computed:
            for row, value in zip(rows, found[name], strict=True):
                row[name] = value
        for view in plan.views:
            columns = {name: found[name] for name in view.features}
            seconds = found[f"{view.features[0]}{SECOND}"]
            for index, (row, keys) in enumerate(zip(rows, asked, strict=True)):
                values = {name: column[index] for name, column in columns.items()}
                self._remember(view, keys, values, seconds[index])
                usable = view.usable(keys, seconds[index], now)
                row.update(values if usable else dict.fromkeys(view.features))
                if usable:
                    ages[index] = max(ages[index], now - seconds[index])
        return rows, ages

    def _last_known(self, plan: Plan, asked: Sequence[Row], now: float) -> tuple[list[dict[str, Any]], list[float]]:
        rows, ages, absent = [], [], []
        for index, keys in enumerate(asked):
            row, age = plan.compute(keys), 0.0
            for view in plan.views:
                values, second = self._known.get(view.key(keys), (None, 0.0))
                if values is None or not view.usable(keys, second, now):
                    absent.append(Problem(view.name, index, "the online store fails and no value is known"))
                    continue
                row.update(values)
                age = max(age, now - second)
            rows.append(row)
            ages.append(age)
        if absent:
            raise Unavailable(absent, kind="features", retry_after=1.0)
        return rows, ages

    def _remember(self, view: PlannedView, keys: Row, values: dict[str, Any], second: float) -> None:
        key = view.key(keys)
        self._known[key] = (values, second)
        self._known.move_to_end(key)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def _plan(self, service: str) -> Plan:
        if service not in self._plans:
            self._plans[service] = read_plan(self._reopened(), service)
        return self._plans[service]

    def _lookup(self, service: str) -> Lookup:
        store = self._reopened()
        if service not in self._lookups:
            self._lookups[service] = Lookup(store, service)
        return self._lookups[service]

    def _reopened(self) -> feast.FeatureStore:
        """The store; opened anew after a failure, and where its file is another one now."""
        if self._file:
            inode = os.stat(self._file).st_ino
            if inode != self._inode:
                self._store, self._inode = None, inode
        if self._store is None:
            self._store = self._opened()
            self._lookups = {}
        return self._store

    def _unavailable(self, err: BaseException) -> Unavailable:
        self._store = None
        return Unavailable(f"features: {type(err).__name__}: {err}"[:300], kind="features", retry_after=1.0)
