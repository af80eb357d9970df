"""Feature rows of a model that only lists columns: the feed's own columns, at the time of the row."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pandas as pd

from feature_repo.transforms.view import STATIC_SINCE, Feeds, ViewTransform


def column_view(
    feed: str, *, keys: Sequence[str], columns: Sequence[str], time: str | None, arrived: str | None
) -> ViewTransform:
    """The view of a feed's columns. Without a time column it is one snapshot, known all along."""

    def rows(feeds: Feeds, start: datetime, end: datetime) -> pd.DataFrame:
        return _rows(feeds[feed], [*keys], [*columns], time=time, arrived=arrived, start=start, end=end)

    return ViewTransform(rows, (feed,), None if time is None else timedelta())


def _rows(
    frame: pd.DataFrame,
    keys: list[str],
    columns: list[str],
    *,
    time: str | None,
    arrived: str | None,
    start: datetime,
    end: datetime,
) -> pd.DataFrame:
    missing = [name for name in (*keys, *columns, time, arrived) if name and name not in frame]
    if missing:
        raise KeyError(f"the feed has no column {', '.join(missing)}; it has {', '.join(map(str, frame))}")
    if time is None:
        since = pd.Series(pd.Timestamp(STATIC_SINCE), index=frame.index).astype("datetime64[us, UTC]")
        return frame[keys + columns].assign(event_timestamp=since, created_timestamp=since)
    inside = frame.loc[(frame[time] >= start) & (frame[time] < end)]
    event = inside[time].astype("datetime64[us, UTC]")
    created = event if arrived is None else inside[arrived].astype("datetime64[us, UTC]").fillna(event)
    rows = inside[keys + columns].assign(event_timestamp=event, created_timestamp=created)
    return rows.sort_values("event_timestamp", kind="stable", ignore_index=True)
