"""Completes rows that lack features: for a request on the event loop, and for the shadows' own thread."""

import asyncio
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Protocol

from serving.engine.fallback import QueuePlaces
from serving.models.loaded_model import LoadedModel
from serving.problems import TooLate
from serving.rows.row_shapes import RequestRows


class Features(Protocol):
    """The online store as the engine sees it."""

    async def complete(self, given: RequestRows, loaded: LoadedModel) -> tuple[RequestRows, tuple[str, ...]]:
        """The rows with looked-up features, and why they are not what they should be; Unavailable if there are none."""
        ...


class RowCompletion:
    """Looks features up for rows that come without them. `features` is none where rows bring theirs."""

    def __init__(self, *, places: QueuePlaces, deadline: float, clock: Callable[[], float]) -> None:
        self.features: Features | None = None
        self._places, self._deadline, self._clock = places, deadline, clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: Future[RequestRows] | None = None  # of the shadows' thread
        self._closing = False

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def close(self) -> None:
        self._closing = True
        if self._waiting:
            self._waiting.cancel()

    def is_needed(self, rows: RequestRows, loaded: LoadedModel) -> bool:
        """Whether the store has to bring some of the fields."""
        return bool(loaded.contract.entity and self.features and rows.lacks_any(loaded.reader.fields.keys()))

    async def look_up(
        self, rows: RequestRows, loaded: LoadedModel, until: float
    ) -> tuple[RequestRows, tuple[str, ...]]:
        """The rows with their features, and why those are not what they should be."""
        assert self.features is not None
        try:
            with self._places:
                async with asyncio.timeout(max(until - self._clock(), 0)):
                    return await self.features.complete(rows, loaded)
        except TimeoutError as err:
            raise TooLate("the deadline passed while features were looked up") from err

    async def complete(self, rows: RequestRows, loaded: LoadedModel) -> RequestRows:
        """The rows with what the store adds to them."""
        if not self.is_needed(rows, loaded):
            return rows
        return (await self.look_up(rows, loaded, self._clock() + self._deadline))[0]

    def complete_from_thread(self, rows: RequestRows, loaded: LoadedModel) -> RequestRows:
        """`complete` for the shadows' thread; CancelledError once the engine closes, as its loop may wait for it."""
        if self._loop is None or not rows.lacks_any(loaded.reader.fields.keys()):
            return rows
        if self._closing:
            raise CancelledError
        self._waiting = asyncio.run_coroutine_threadsafe(self.complete(rows, loaded), self._loop)
        return self._waiting.result()
