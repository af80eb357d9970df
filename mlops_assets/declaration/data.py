"""What a model's data is: its feeds, how they are cut in time, the target, and what every row must satisfy."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Kind(StrEnum):
    """What the target is."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"


class Every(StrEnum):
    """How often a partition begins; `NONE` is one snapshot of everything."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"
    NONE = "none"


@dataclass(frozen=True)
class FeedSpec:
    """One table of the source: where its rows come from and what its columns mean in time."""

    name: str
    path: str | None  # file, folder, glob or fsspec URL of Parquet or CSV
    separator: str
    decimal: str  # mark in the numbers of a CSV
    query: str | None  # SQL; `connection` names the database it goes to
    connection: str | None
    time: tuple[str, ...]  # the event's time: one column, or a date column and an hour column
    order: str | None  # a column (or "row", the position) that stands in for time
    arrived: str | None  # the column that says when the row became known; none: at its event time
    timezone: str  # of times written without one
    key: tuple[str, ...]  # the columns that identify a row; empty: none do
    missing: tuple[str, ...]  # texts that mean "no value"

    @property
    def static(self) -> bool:
        """True where rows have neither clock nor order: one snapshot."""
        return not self.time and self.order is None


@dataclass(frozen=True)
class SourceSpec:
    python: str | None  # dotted name of a class that reads the feeds; none: built-in readers
    examples: str  # the feed whose rows are predicted on
    feeds: Mapping[str, FeedSpec]


@dataclass(frozen=True)
class PartitionSpec:
    every: Every
    start: datetime | None
    end: datetime | None


@dataclass(frozen=True)
class TargetSpec:
    column: str
    kind: Kind
    feed: str  # the feed that brings it
    positive: str | None  # binary: the value that counts as 1 (as text)
    known_after: timedelta  # after the event's time, where the label's feed has no arrival time of its own
    transform: str  # regression: "none" or "log1p"


@dataclass(frozen=True)
class ExpectationSpec:
    """What one column (or key) of a feed has to be. A row that breaks it goes to quarantine."""

    feed: str
    columns: tuple[str, ...]
    type: str | None  # number, integer, text, boolean, time
    nulls: float | None  # largest share of nulls in a partition
    between: tuple[float | None, float | None] | None
    among: tuple[str, ...] | None
    matches: str | None
    unique: bool
    drift: float | None  # largest PSI of a partition against the reference window
    severity: str  # "error" quarantines and counts; "warning" only counts


@dataclass(frozen=True)
class ValidationSpec:
    expectations: tuple[ExpectationSpec, ...]
    quarantine_at_most: float  # share of rows of a partition
    volume: tuple[float, float]  # rows as a multiple of the median of recent partitions
    recent: int  # how many partitions "recent" is
    freshness: timedelta | None
    future: timedelta  # how far after "now" an event may lie
