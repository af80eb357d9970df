"""Redis streams as the consumer sees them: read, take over, settle. The only file of `serving` that talks to Redis.

A message is settled in one step of the server: its answer is added and it is acknowledged, or, where another consumer
has settled it, neither. So an answer is published once though a message be delivered twice.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from serving.settings.streams import StreamSettings
from serving.stream.messages import Fate, StreamMessage, StreamReply

_WAIT = 500  # milliseconds that one read waits for messages
# The entry is added before the message is acknowledged: a server without memory refuses the first and does neither.
_SETTLE = """
if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1) == 0 then return 0 end
local entry = {'XADD', KEYS[2]}
if ARGV[3] ~= '0' then for _, word in ipairs({'MAXLEN', '~', ARGV[3]}) do table.insert(entry, word) end end
table.insert(entry, '*')
for place = 4, #ARGV do table.insert(entry, ARGV[place]) end
redis.call(unpack(entry))
return redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
"""


class Broker:
    """One consumer of one group of one stream."""

    def __init__(self, settings: StreamSettings) -> None:
        self._settings = settings
        self._redis: Redis = Redis.from_url(
            settings.url, socket_connect_timeout=5.0, socket_timeout=10.0, health_check_interval=10
        )
        self._settle = self._redis.register_script(_SETTLE)

    async def prepare(self) -> None:
        """The group, from the first message of the stream on; the stream itself where there is none yet."""
        try:
            await self._redis.xgroup_create(self._settings.source, self._settings.group, id="0", mkstream=True)
        except ResponseError as err:
            if "BUSYGROUP" not in str(err):
                raise

    async def read(self) -> list[StreamMessage]:
        """Messages that nobody has had, up to a batch; none after a short wait."""
        settings = self._settings
        found: Any = await self._redis.xreadgroup(
            settings.group, settings.consumer, {settings.source: ">"}, count=settings.batch, block=_WAIT
        )
        return [_message(entry, 1) for _, entries in found or () for entry in entries]

    async def left_behind(self) -> AsyncIterator[StreamMessage]:
        """Messages of consumers that went silent, one at a time: one that kills its reader takes no others along."""
        settings = self._settings
        cursor: Any = b"0-0"
        while True:
            cursor, entries, *_ = await self._redis.xautoclaim(
                settings.source, settings.group, settings.consumer,
                min_idle_time=int(settings.claim * 1_000), start_id=cursor, count=1,
            )  # fmt: skip
            for entry in entries:
                yield _message(entry, await self._delivered(entry[0]))
            if cursor == b"0-0":
                return

    async def keep(self, messages: Sequence[StreamMessage]) -> None:
        """Say that these are being worked on, so that nobody takes them over."""
        settings = self._settings
        ids: list[Any] = [message.id for message in messages]
        await self._redis.xclaim(settings.source, settings.group, settings.consumer, 0, ids, justid=True)

    async def settle(self, replies: Sequence[StreamReply]) -> list[bool]:
        """Publish and acknowledge; False for a message that was settled before."""
        settings = self._settings
        pipe = self._redis.pipeline(transaction=False)
        for reply in replies:
            entry: list[Any] = ["id", reply.message.id, "data", reply.data]
            target = settings.answers
            if reply.fate is Fate.DEAD:
                entry += ["reason", reply.reason, "kind", reply.kind]
                target = settings.dead
            await self._settle(
                keys=[settings.source, target],
                args=[settings.group, reply.message.id, settings.kept, *entry],
                client=pipe,
            )
        return [bool(done) for done in await pipe.execute()]

    async def leave(self) -> None:
        """Take this consumer's name off the group, where nothing is left in its hands."""
        settings = self._settings
        try:
            pending = await self._redis.xpending_range(
                settings.source, settings.group, "-", "+", 1, consumername=settings.consumer
            )
            if not pending:
                await self._redis.xgroup_delconsumer(settings.source, settings.group, settings.consumer)
        finally:
            await self._redis.aclose()

    async def _delivered(self, id: bytes) -> int:
        found = await self._redis.xpending_range(self._settings.source, self._settings.group, id, id, 1)
        return int(found[0]["times_delivered"]) if found else 1


def _message(entry: Any, delivered: int) -> StreamMessage:
    return StreamMessage(entry[0].decode(), dict(entry[1] or {}), delivered)
