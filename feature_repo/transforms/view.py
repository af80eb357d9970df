"""How a feature view's rows are made from feeds. Pure: frames in, rows out; the same offline and online.

A model's module in this package has `VIEWS: Mapping[str, ViewTransform]`, one entry for each view it makes.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pandas as pd

STATIC_SINCE = datetime(1970, 1, 1, tzinfo=UTC)  # event time of rows that do not change with time

Feeds = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class ViewTransform:
    """One view: its function and what the function needs.

    `function(feeds, start, end)` returns the rows with start <= event_timestamp < end, each with its keys,
    features, event_timestamp and created_timestamp (when it became known). It may use feed rows from
    start - lookback on, and gives the same rows however time is cut into ranges.
    """

    function: Callable[[Feeds, datetime, datetime], pd.DataFrame]
    feeds: tuple[str, ...]
    lookback: timedelta | None  # None: the feeds do not change with time; the view is one snapshot

    @property
    def static(self) -> bool:
        return self.lookback is None


def view_transforms(model: str) -> Mapping[str, ViewTransform]:
    """The views of a model with hand-written features."""
    name = f"feature_repo.transforms.{model}"
    try:
        return importlib.import_module(name).VIEWS
    except ModuleNotFoundError as err:
        if err.name != name:
            raise
        raise ModuleNotFoundError(
            f"features.service is set for {model!r}, so its transforms have to be in "
            f"feature_repo/transforms/{model}.py with a mapping VIEWS; there is no such file.",
            name=name,
        ) from err
