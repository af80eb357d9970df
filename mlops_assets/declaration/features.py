"""What the model sees of its data."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class FeatureSpec:
    """Either a Feast feature service written by hand, or columns from which one is generated."""

    service: str | None
    version: int
    columns: tuple[str, ...]  # empty with no service: every column that is not key, time, target or excluded
    exclude: tuple[str, ...]
    categories: tuple[str, ...]  # number-typed columns that are categories all the same
    entity: tuple[str, ...]  # join keys of generated views; empty: the row itself
    ttl: timedelta | None
