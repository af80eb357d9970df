"""The rules that keep a worker within its bounds, each alone and on a clock of its own."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from serving.doors.pressure import Pressure
from serving.engine.batching import Batcher
from serving.http.connections import Sweep
from serving.problems import Overloaded
from serving.rows.reader import Packed


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_deadlines_count_from_arrival():
    async def ask() -> None:
        clock = Clock()
        pressure = Pressure(1.0, clock)
        assert pressure.arrived(500.0) == 500.0  # nothing beats yet
        pressure.beat(asyncio.get_running_loop())
        assert pressure.arrived(100.01) == 100.01  # as it should be
        assert pressure.arrived(100.5) == 100.0  # it was there when the turn began
        with pytest.raises(Overloaded) as err:
            pressure.arrived(101.5)
        assert err.value.retry_after
        clock.now = 101.5
        pressure.beat(asyncio.get_running_loop())
        assert pressure.arrived(101.51) == 101.51

    asyncio.run(ask())


def connection(*, request: Any = None, complete: bool = True, keeps: bool = False, unread: int = 0) -> Any:
    closed: list[bool] = []
    return SimpleNamespaceById(
        cycle=None if request is None else SimpleNamespace(name=request, response_complete=complete),
        timeout_keep_alive_task=object() if keeps else None,
        transport=SimpleNamespace(get_write_buffer_size=lambda: unread, abort=lambda: closed.append(True)),
        closed=closed,
    )


class SimpleNamespaceById(SimpleNamespace):
    """As a connection: equal to itself only."""

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


def test_only_connections_that_stand_still_are_closed():
    silent, unread = connection(), connection(request=1, unread=10)
    running, idle = connection(request=2, complete=False), connection(request=3, keeps=True)
    moving = connection(request=4)
    sweep, everybody = Sweep(20), [silent, unread, running, idle, moving]
    for now in range(0, 20, 5):
        assert sweep(float(now), everybody) == 0
        moving.cycle = SimpleNamespace(response_complete=True)  # another request each time
    assert sweep(20.0, everybody) == 2
    assert [bool(each.closed) for each in everybody] == [True, True, False, False, False]


def test_rows_that_cannot_be_scored_in_time_are_refused_at_once():
    clock = Clock()

    def score(packed: Packed) -> np.ndarray:
        clock.now += len(packed.numbers)  # a second for each row
        return np.zeros(len(packed.numbers))

    rows = Packed(np.zeros((4, 1)), np.zeros((4, 0), dtype=object), ())

    async def ask() -> None:
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(
                score, seconds=float, most_rows=4, executor=executor, observe=lambda rows: None, clock=clock
            )
            await batcher.submit(rows, clock.now + 100)
            waiting = [batcher.submit(rows, clock.now + 100) for _ in range(2)]
            with pytest.raises(Overloaded, match="8 rows wait"):
                batcher.submit(rows, clock.now + 7)
            await asyncio.gather(*waiting)
            await batcher.submit(rows, clock.now + 7)  # nobody is in front any more

    asyncio.run(ask())
