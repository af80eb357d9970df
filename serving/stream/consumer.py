"""Answers the messages of a stream: each at least once, published once, logged before it is acknowledged.

One batch is in hand at a time. What fails for a passing reason is tried again, later and later, while no new message
is read; what can never succeed goes to the dead-letter stream with its reason. A message whose reader died is taken
over by whoever lives.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from redis.exceptions import RedisError

from serving.doors.named_rows import write_named_rows
from serving.engine.engine import Engine
from serving.problems import RequestRefused
from serving.settings.streams import StreamSettings
from serving.stream.broker import Broker
from serving.stream.messages import Fate, StreamMessage, StreamReply, dead, name_of, read_request, refused

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds; doubles
_FULL_LOG = "the prediction log cannot take its rows"
_log = logging.getLogger("serving.stream")


class Writes(Protocol):
    def write_down(self) -> bool:
        """Put the log on disk; False where rows of it were lost."""
        ...


class Consumer:
    """Runs until it is stopped; waits for a broker that does not answer."""

    def __init__(
        self,
        model: str,
        settings: StreamSettings,
        engine: Engine,
        log: Writes,
        *,
        most_bytes: int,
        draining: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model, self._settings, self._engine, self._log = model, settings, engine, log
        self._most_bytes, self._draining, self._clock = most_bytes, draining, clock
        self._broker = Broker(settings)
        self._stopping = asyncio.Event()
        self._swept = -settings.claim
        self.connected = False

    async def run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._ended:
            try:
                await self._broker.prepare()
                self.connected, pause = True, _FIRST_PAUSE
                await self._consume()
            except (RedisError, OSError) as err:
                if self.connected or pause == _FIRST_PAUSE:
                    _log.error("the broker fails (%s: %s); it is asked again until it answers", type(err).__name__, err)
                self.connected = False
                pause = await self._rest(pause)
            except Exception:  # noqa: BLE001 - the process border: messages in hand stay pending and come again
                _log.exception("the consumer failed; it goes on")
                pause = await self._rest(pause)
        await self._leave()

    def stop(self) -> None:
        """Finish what is in hand, read nothing new."""
        self._stopping.set()

    @property
    def _ended(self) -> bool:
        return self._stopping.is_set() or self._draining()

    async def _consume(self) -> None:
        while not self._ended:
            if self._clock() - self._swept >= self._settings.claim / 2:
                await self._take_over()
                self._swept = self._clock()
            await self._work(await self._broker.read())

    async def _take_over(self) -> None:
        async for message in self._broker.left_behind():
            self._count("taken_over")
            if message.delivered > self._settings.attempts + 1:
                reason = f"was delivered {message.delivered - 1} times, and each reader died or gave no answer"
                await self._settle([dead(message, "crash", reason)])
            else:
                await self._work([message])
            if self._ended:
                return

    async def _work(self, messages: Sequence[StreamMessage]) -> None:
        """Answer them all, or leave the rest pending where the consumer is to end."""
        waiting, attempts, pause = list(messages), 0, _FIRST_PAUSE
        while waiting:
            attempts += 1
            replies = await asyncio.gather(*(self._reply(message, attempts) for message in waiting))
            settled = [reply for reply in replies if reply.fate is not Fate.AGAIN]
            waiting = [reply.message for reply in replies if reply.fate is Fate.AGAIN]
            if not await asyncio.to_thread(self._log.write_down):
                _log.error("%s; the messages in hand are answered again", _FULL_LOG)
                settled, waiting = [], [reply.message for reply in replies]
            await self._settle(settled)
            if waiting:
                if self._ended:
                    return
                self._warn(replies, attempts)
                await self._broker.keep(waiting)
                pause = await self._rest(pause)

    async def _reply(self, message: StreamMessage, attempts: int) -> StreamReply:
        try:
            given, key = read_request(message, self._most_bytes)
            answer = await self._engine.infer(self._model, given, key=key, name=name_of(self._settings.source, message))
            return StreamReply(message, Fate.ANSWERED, data=write_named_rows(answer))
        except RequestRefused as err:
            self._engine.note_refusal(self._model, err)
            return refused(message, err, attempts, self._settings.attempts)
        except Exception as err:  # noqa: BLE001 - a bug on this message must not stop the others
            _log.exception("%s: message %s failed", self._model, message.id)
            internal = RequestRefused(f"an error inside the endpoint: {type(err).__name__}", kind="internal")
            return refused(message, internal, attempts, self._settings.attempts)

    async def _settle(self, replies: Sequence[StreamReply]) -> None:
        if not replies:
            return
        for reply, done in zip(replies, await self._broker.settle(replies), strict=True):
            self._count(str(reply.fate) if done else "settled_before")
            if done and reply.fate is Fate.DEAD:
                _log.warning("%s: message %s is dead: %s", self._model, reply.message.id, reply.reason[:300])

    def _warn(self, replies: Sequence[StreamReply], attempts: int) -> None:
        again = [reply for reply in replies if reply.fate is Fate.AGAIN]
        self._count("again", by=len(again))
        if again and attempts & (attempts - 1) == 0:  # each time that the attempts have doubled
            _log.warning("%s: %s messages wait: %s", self._model, len(again), again[0].reason[:300])

    async def _rest(self, pause: float) -> float:
        """Wait, or less where the consumer is to end; the next pause."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), pause)
        return min(pause * 2, _LONGEST_PAUSE)

    async def _leave(self) -> None:
        try:
            await self._broker.leave()
        except (RedisError, OSError) as err:
            _log.warning("the consumer could not leave its group: %s", err)

    def _count(self, what: str, by: int = 1) -> None:
        self._engine.meters.of(self._model, "", "").count("stream", what, by)
