"""What a service takes from a request, and what Feast's online lookup leaves undone: missing keys, values too old."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

INPUTS = "inputs"  # tag of a service: columns of a request that the model sees as they stand


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


def inputs_as_they_stand(tags: Mapping[str, str]) -> tuple[str, ...]:
    """The columns of a request that are model inputs without any feature view."""
    return tuple(name for name in (part.strip() for part in tags.get(INPUTS, "").split(",")) if name)


def is_on_demand(view: Any) -> bool:
    return hasattr(view, "source_request_sources")


def request_fields(view: Any) -> dict[str, str]:
    """What an on-demand view takes from the request, with types."""
    return {f.name: str(f.dtype) for source in view.source_request_sources.values() for f in source.schema}


def _complete(row: Mapping[str, Any], keys: Sequence[str]) -> bool:
    return all(row.get(key) is not None for key in keys)
