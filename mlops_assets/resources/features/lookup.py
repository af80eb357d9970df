"""What Feast's online lookup leaves undone: rows with a missing key, and values that are too old."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any


def with_every_key(rows: Sequence[Mapping[str, Any]], types: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rows with something in place of a missing key, on which Feast fails; see `usable`."""
    stand_ins = {key: 0 if kind.startswith("Int") else "" for key, kind in types.items()}
    return [
        {name: stand_ins[name] if value is None and name in stand_ins else value for name, value in row.items()}
        for row in rows
    ]


def usable(
    values: Sequence[Any],
    seconds: Sequence[int],
    rows: Sequence[Mapping[str, Any]],
    *,
    keys: Sequence[str],
    ttl: timedelta | None,
    as_of: datetime,
) -> list[Any]:
    """One feature's values: None where a key of its view is missing or the value is older than the ttl.

    Online stores keep the event time in whole seconds, so a value counts as fresh to the second.
    """
    oldest = None if ttl is None else int((as_of - ttl).astimezone(UTC).timestamp())
    return [
        value if _complete(row, keys) and (oldest is None or second >= oldest) else None
        for value, second, row in zip(values, seconds, rows, strict=True)
    ]


def _complete(row: Mapping[str, Any], keys: Sequence[str]) -> bool:
    return all(row.get(key) is not None for key in keys)
