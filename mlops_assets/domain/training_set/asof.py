"""The point-in-time join: what was known of an entity at a moment. Pure; knows no store.

For an entity row (keys, t) and a view it picks the row with the latest event time among those with

- event time <= t (a row about the future does not exist yet),
- created time <= t (a row that arrived later was not known; an older one that was known wins),
- event time >= t - ttl (inclusive, as Feast has it; no ttl or a ttl of zero: no bound).

Equal event times: the row created last wins, then the one that stands last. A row without a created time is
known from its event time on. A null in a key matches nothing, and neither does a row without an event time.
Entity rows are never dropped, repeated or moved. Times count to the microsecond.

How: view rows are sorted by (key, moment they became available) and beside each stands the best row of its
key so far. One sorted search for (key, t) then answers everything but the ttl.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.domain.training_set.asof_keys import KeyCodes, single_array

ROWS_AT_ONCE = 1 << 19  # entity rows joined in one go: bounds what is held besides the result
_LARGEST = np.iinfo(np.int64).max
_MICROSECONDS = pa.timestamp("us", "UTC")


@dataclass(frozen=True)
class AsOfView:
    """Feature rows: which entity they are about, when they were true and when they became known."""

    rows: pa.Table
    keys: tuple[str, ...]  # columns of `rows`, in the order of the entity's key columns
    event: str
    created: str | None
    ttl: timedelta | None


class AsOf:
    """A view made ready for lookups: sorted once, asked in any order."""

    def __init__(self, view: AsOfView) -> None:
        event = view.rows[view.event]
        self._codes = KeyCodes([view.rows[name] for name in view.keys], len(view.rows))
        usable = np.flatnonzero((self._codes.of_rows >= 0) & _present(event))
        whole = len(usable) == len(event)
        self._codes_of = self._codes.of_rows if whole else self._codes.of_rows[usable]
        self._event = microseconds(event) if whole else microseconds(event)[usable]
        self._created = None if view.created is None else _created(view, usable)
        self._ttl = (view.ttl or timedelta()) // timedelta(microseconds=1)
        self._usable = usable
        self._sort()

    def positions(self, keys: Sequence[pa.ChunkedArray], times: pa.ChunkedArray) -> np.ndarray:
        """For each entity row the position of its view row, or -1."""
        found = np.full(len(times), -1, dtype=np.int64)
        codes = self._codes.of(keys, len(times))
        if not len(self._usable):
            return found
        asked = np.flatnonzero((codes >= 0) & _present(times))
        moments = microseconds(times)[asked]
        starts = codes[asked] * self._span
        at = _search(self._sorted, starts + self._clock.at_or_before(moments) + 1)
        known = (at >= 0) & (self._sorted[np.maximum(at, 0)] > starts)
        best = self._best[at[known]]
        if self._ttl:
            fresh = self._event[best] >= moments[known] - self._ttl
            known[known] = fresh
            best = best[fresh]
        found[asked[known]] = self._usable[best]
        return found

    def latest(self) -> np.ndarray:
        """The position of the best row of every key, whatever the time, in order of their keys."""
        codes = self._codes_of[self._by_event]
        last = np.append(codes[1:] != codes[:-1], True)[: len(codes)]
        return self._usable[self._by_event[last]]

    def _sort(self) -> None:
        available = self._event if self._created is None else np.maximum(self._event, self._created)
        self._clock = _Clock(self._event, available, keys=self._codes.count)
        self._span = self._clock.span
        places = self._places(self._event)
        self._by_event = _order(places, self._created)
        if self._created is None or np.array_equal(available, self._event):
            self._sorted, self._best = places[self._by_event], self._by_event
            return
        rank = np.empty(len(places), dtype=np.int64)
        rank[self._by_event] = np.arange(len(places))
        places = self._places(available)
        by_available = np.argsort(places)
        # Ranks rise with the key, so the running best of one key can never be a row of another.
        self._sorted = places[by_available]
        self._best = self._by_event[np.maximum.accumulate(rank[by_available])]

    def _places(self, moments: np.ndarray) -> np.ndarray:
        """(key, moment) as one number, above `key * span`."""
        places = self._codes_of * self._span
        places += self._clock.at_or_before(moments)
        places += 1
        return places


@dataclass(frozen=True)
class Beside:
    """What to put beside the entity rows: columns of a view, looked up by columns of the entity rows."""

    view: AsOfView
    on: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]  # (name in the view, name in the result)


def asof_join(entities: pa.Table, time: str, views: Iterable[Beside], *, rows_at_once: int = ROWS_AT_ONCE) -> pa.Table:
    """The entity rows with the columns of each view beside them; null where nothing was known.

    Views are taken from the iterator one after the other, and a view's column is let go when it has been used: where
    nobody else holds them, no more than one view is in memory, and it shrinks as the result grows.
    """
    joined = entities
    with ThreadPoolExecutor() as pool:
        for beside in views:
            at = _all_positions(beside, entities, time, rows_at_once)
            names = [result for _, result in beside.columns]
            columns = [beside.view.rows[name] for name, _ in beside.columns]
            del beside
            released = (columns.pop(0) for _ in names)
            taken = pool.map(lambda column, at=at: single_array(column).take(at), released)
            for name, values in zip(names, taken, strict=True):
                joined = joined.append_column(name, values)
    return joined


def asof_parts(entities: pa.Table, time: str, views: Iterable[Beside], *, rows_at_once: int) -> Iterator[pa.Table]:
    """The same in consecutive parts, at least one, with all views in memory and one part of the result."""
    ready = [(beside, AsOf(beside.view), _sources(beside)) for beside in views]
    with ThreadPoolExecutor() as pool:
        for part in _parts(entities, rows_at_once):
            for beside, index, sources in ready:
                at = _nullable(index.positions([part[name] for name in beside.on], part[time]))
                taken = pool.map(lambda source, at=at: source.take(at), sources)
                for (_, name), values in zip(beside.columns, taken, strict=True):
                    part = part.append_column(name, values)
            yield part


def microseconds(times: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """Times as whole microseconds since 1970 in UTC; what has no zone is UTC; nulls become some number."""
    array = single_array(times)
    if pa.types.is_timestamp(array.type) and array.type.tz is None:
        array = array.cast(pa.timestamp("us"), safe=False)
    else:
        array = array.cast(_MICROSECONDS, safe=False)
    return pc.fill_null(array.view(pa.int64()), 0).to_numpy(zero_copy_only=False)


def _all_positions(beside: Beside, entities: pa.Table, time: str, rows_at_once: int) -> pa.Array:
    """The position of every entity row's view row. The index lives no longer than this."""
    index = AsOf(beside.view)
    found = [index.positions([part[name] for name in beside.on], part[time]) for part in _parts(entities, rows_at_once)]
    return _nullable(np.concatenate(found))


def _parts(entities: pa.Table, rows_at_once: int) -> Iterator[pa.Table]:
    return (entities.slice(start, rows_at_once) for start in range(0, max(len(entities), 1), rows_at_once))


def _sources(beside: Beside) -> list[pa.Array]:
    return [single_array(beside.view.rows[name]) for name, _ in beside.columns]


class _Clock:
    """Moments as small whole numbers, so that (key, moment) fits into one 64-bit number.

    The distance from the first moment where that fits, else the rank among the moments there are.
    """

    def __init__(self, event: np.ndarray, available: np.ndarray, *, keys: int) -> None:
        self._first = int(event.min()) if len(event) else 0
        self._reach = int(available.max()) - self._first if len(event) else 0
        self._ranked: np.ndarray | None = None
        if (self._reach + 2) * (keys + 1) > _LARGEST:
            self._ranked = np.union1d(event, available)
            self._reach = len(self._ranked) - 1
        self.span = self._reach + 2  # room for "before the first moment"

    def at_or_before(self, moments: np.ndarray) -> np.ndarray:
        """The number of the last moment at or before each one; -1 before the first."""
        if self._ranked is not None:
            return np.searchsorted(self._ranked, moments, "right") - 1
        numbers = np.clip(moments, self._first - 1, self._first + self._reach)
        numbers -= self._first
        return numbers


def _created(view: AsOfView, usable: np.ndarray) -> np.ndarray:
    assert view.created is not None
    created = view.rows[view.created]
    values = microseconds(created)[usable]
    missing = ~_present(created)[usable]
    return np.where(missing, microseconds(view.rows[view.event])[usable], values)


def _order(places: np.ndarray, created: np.ndarray | None) -> np.ndarray:
    """Rows by (key, event), ties by created time and position."""
    order = np.argsort(places)
    ordered = places[order]
    if not (ordered[1:] == ordered[:-1]).any():
        return order
    # Slower, and stable.
    return np.argsort(places, kind="stable") if created is None else np.lexsort((created, places))


def _search(places: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The last place at or before each one asked for. Asking in order is four times as fast."""
    order = np.argsort(asked)
    found = np.empty(len(asked), dtype=np.int64)
    found[order] = np.searchsorted(places, asked[order], "right") - 1
    return found


def _present(column: pa.ChunkedArray) -> np.ndarray:
    if not column.null_count:
        return np.ones(len(column), dtype=bool)
    return pc.is_valid(single_array(column)).to_numpy(zero_copy_only=False)


def _nullable(positions: np.ndarray) -> pa.Array:
    return pa.array(positions, mask=positions < 0) if (positions < 0).any() else pa.array(positions)
