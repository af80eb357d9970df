"""Partitions as windows of time: names, bounds and ordinals, all UTC. Knows nothing of Dagster."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mlops_assets.declaration.data import Every
from mlops_assets.domain.names import SNAPSHOT

FORMATS = {Every.HOUR: "%Y-%m-%d-%H:%M", Every.DAY: "%Y-%m-%d", Every.MONTH: "%Y-%m"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_LENGTH = {Every.HOUR: timedelta(hours=1), Every.DAY: timedelta(days=1)}


@dataclass(frozen=True)
class Window:
    """One partition and the times it holds: start <= event < end. The one snapshot holds everything."""

    partition: str
    start: datetime | None
    end: datetime | None
    ordinal: int  # counted from the epoch, not from the first partition, so that it never changes


def window(every: Every, partition: str) -> Window:
    """The window that a partition's name stands for."""
    if partition == SNAPSHOT:
        return Window(SNAPSHOT, None, None, 0)
    if every is Every.NONE:
        raise ValueError(f"partition {partition!r}: this model has one snapshot, {SNAPSHOT!r}, and no partitions")
    start = datetime.strptime(partition, FORMATS[every]).replace(tzinfo=UTC)
    return Window(partition, start, _shifted(every, start, 1), _ordinal(every, start))


def windows(every: Every, partitions: Iterable[str]) -> list[Window]:
    """The windows of several partitions, in order of time."""
    return sorted((window(every, name) for name in partitions), key=lambda each: each.ordinal)


def partition_of(every: Every, moment: datetime) -> str:
    """The name of the partition that an event falls into."""
    return SNAPSHOT if every is Every.NONE else moment.astimezone(UTC).strftime(FORMATS[every])


def earlier(every: Every, partition: str, count: int) -> list[str]:
    """The names of the `count` partitions before this one, oldest first."""
    if partition == SNAPSHOT:
        return []
    start = window(every, partition).start
    assert start is not None
    return [_shifted(every, start, -back).strftime(FORMATS[every]) for back in range(count, 0, -1)]


def _shifted(every: Every, start: datetime, steps: int) -> datetime:
    if every is Every.MONTH:
        months = start.year * 12 + start.month - 1 + steps
        return start.replace(year=months // 12, month=months % 12 + 1)
    return start + steps * _LENGTH[every]


def _ordinal(every: Every, start: datetime) -> int:
    if every is Every.MONTH:
        return (start.year - EPOCH.year) * 12 + start.month - 1
    return (start - EPOCH) // _LENGTH[every]
