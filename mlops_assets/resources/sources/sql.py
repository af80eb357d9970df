"""Feeds that are SQL queries, through SQLAlchemy. Bounds are bound parameters; no password is shown.

Rows are ordered by time, key and the remaining columns, because a query by itself promises no order and
the same rows must give the same bytes. Without an arrival column the event's own time is the watermark:
late rows are then not noticed.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import Connection, Select, Subquery, exc

from mlops_assets.declaration.data import FeedSpec
from mlops_assets.domain.data.intake import known_after
from mlops_assets.domain.times import as_written
from mlops_assets.resources.sources.error import SourceError

_SLACK = timedelta(days=2)  # the column's own times may be in any zone; the exact cut comes after
_ISO_DATE = "____-__-__%"


class SqlReader:
    """Reads one feed by its query."""

    def __init__(self, feed: FeedSpec, url: str) -> None:
        self._feed = feed
        self._url = url

    def read(self, start: datetime | None, end: datetime | None, as_of: datetime) -> Iterable[pa.Table]:
        time = self._feed.time[0] if self._feed.time else None
        with self._connected() as connection:
            rows = self._rows(connection)
            return [_fetched(connection, self._between(connection, rows, time, start=start, end=end))]

    def arrived(self, since: datetime, as_of: datetime) -> Iterable[pa.Table]:
        watermark = self._feed.arrived or (self._feed.time[0] if self._feed.time else None)
        with self._connected() as connection:
            rows = self._rows(connection)
            late = _fetched(connection, self._between(connection, rows, watermark, start=since, end=None))
        return [known_after(late, self._feed, since)]

    def _rows(self, connection: Connection) -> Subquery:
        """The declared query as a table expression with its columns known."""
        query = (self._feed.query or "").strip().rstrip(";")
        empty = connection.execute(sa.text(f"SELECT * FROM ({query}) AS rows_of_feed WHERE 1 = 0"))
        return sa.text(query).columns(*(sa.column(name) for name in list(empty.keys()))).subquery("rows_of_feed")

    def _between(
        self,
        connection: Connection,
        rows: Subquery,
        column: str | None,
        *,
        start: datetime | None,
        end: datetime | None,
    ) -> Select[Any]:
        first = [name for name in (*self._feed.time, *self._feed.key) if name in rows.c]
        order = first + [name for name in list(rows.c.keys()) if name not in first]
        chosen = sa.select(rows).order_by(*(rows.c[name] for name in order))
        if column is None or column not in rows.c or (start is None and end is None):
            return chosen
        moment = rows.c[column]
        sample = connection.execute(sa.select(moment).where(moment.is_not(None)).limit(1)).scalar()
        bounds = [moment >= low for low in _written(start, -_SLACK, sample)]
        bounds += [moment <= high for high in _written(end, _SLACK, sample)]
        unreadable = sa.cast(moment, sa.String).not_like(_ISO_DATE) if isinstance(sample, str) else sa.false()
        return chosen.where(sa.or_(sa.and_(*bounds), moment.is_(None), unreadable)) if bounds else chosen

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        place = f"feed {self._feed.name}, database {self._feed.connection!r}"
        try:
            engine = sa.create_engine(self._url)
        except (exc.ArgumentError, ValueError, ImportError) as err:
            # The message of SQLAlchemy quotes the URL with its password.
            raise SourceError(
                f"{place}: its URL cannot be used ({type(err).__name__}); form: dialect://user:password@host/name"
            ) from None
        try:
            connection = engine.connect()
        except exc.SQLAlchemyError as err:
            raise ConnectionError(f"{place} cannot be reached: {self._safe(err)}") from None
        try:
            yield connection
        except exc.DBAPIError as err:
            kind = ConnectionError if err.connection_invalidated else SourceError
            raise kind(f"{place}: {self._safe(err)}. Query: {self._feed.query}") from None
        finally:
            connection.close()
            engine.dispose()

    def _safe(self, err: Exception) -> str:
        """What the database said, without the password."""
        text = str(getattr(err, "orig", None) or err)
        url = sa.make_url(self._url)
        for secret in (str(self._url), str(url.password or "")):
            text = text.replace(secret, "***") if secret else text
        return text


def _fetched(connection: Connection, query: Select[Any]) -> pa.Table:
    result = connection.execute(query)
    names = list(result.keys())
    columns = list(zip(*result.fetchall(), strict=True)) or [()] * len(names)
    return pa.table({name: _column(values) for name, values in zip(names, columns, strict=True)})


def _column(values: tuple[Any, ...]) -> pa.Array:
    """Decimals are numbers and mixed columns texts, so that a type does not depend on the window."""
    plain = [float(value) if isinstance(value, Decimal) else value for value in values]
    try:
        return pa.array(plain)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if value is None else str(value) for value in plain], pa.string())


def _written(moment: datetime | None, slack: timedelta, sample: object) -> list[Any]:
    """The bound as the column writes its times; nothing where the column cannot be compared with it."""
    bound = None if moment is None else as_written(moment + slack, sample)
    return [] if bound is None else [bound]
