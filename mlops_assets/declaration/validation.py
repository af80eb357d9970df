"""What the rows of a feed must satisfy, and when a partition is good enough to go on."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from mlops_assets.declaration.values import (
    LEFT_OUT,
    Completed,
    Count,
    DeclaredPart,
    Duration,
    Items,
    Positive,
    Share,
    Text,
)


def _regular_expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as err:
        raise ValueError(f"{text!r} is not a regular expression: {err}.") from err
    return text


class ExpectationSpec(DeclaredPart):
    """What columns of a feed have to be. A row that breaks an expectation is quarantined with the reason."""

    feed: Completed[str] = Field(
        default=LEFT_OUT, description="The feed of the columns. Default: that of the examples."
    )
    column: str | None = Field(default=None, description="The column that the expectation is about.")
    columns: Items[str] = Field(
        default=(),
        description="Several columns: each one has to satisfy the expectation, or all together where it is `unique`.",
    )
    type: Literal["number", "integer", "text", "boolean", "time"] | None = Field(
        default=None, description="The type that every value must have."
    )
    nulls: Share | None = Field(default=None, description="The largest share of nulls in a partition; 0 allows none.")
    between: Annotated[tuple[float | None, float | None], Field(strict=False)] | None = Field(
        default=None, description="The [lowest, highest] value; null leaves that side open."
    )
    among: Items[Text] | None = Field(default=None, description="The allowed values.")
    matches: Annotated[str, AfterValidator(_regular_expression)] | None = Field(
        default=None, description="A regular expression that the whole text has to match."
    )
    unique: bool = Field(default=False, description="With true, no two rows of a partition may have the same values.")
    drift: Positive | None = Field(
        default=None,
        description="The largest population stability index against earlier partitions; above it there is a warning.",
    )
    severity: Literal["error", "warning"] = Field(
        default="error", description="With error, a row that fails is quarantined; with warning, it is only counted."
    )

    @model_validator(mode="before")
    @classmethod
    def _gather_columns(cls, values: Any) -> Any:
        """Puts `column` among `columns`, so that readers look at one field."""
        if not isinstance(values, Mapping) or not isinstance(column := values.get("column"), str):
            return values
        columns = values.get("columns") or ()
        return values if column in columns else {**values, "columns": (column, *columns)}


class ValidationSpec(DeclaredPart):
    """When a partition as a whole is good enough to go on."""

    expectations: Items[ExpectationSpec] = Field(
        default=(), description="What the rows of a feed have to satisfy, column by column."
    )
    quarantine_at_most: Share = Field(default=0.05, description="The largest share of rows that may be quarantined.")
    volume: Annotated[tuple[float, float], Field(strict=False)] = Field(
        default=(0.2, 5.0),
        description="The [fewest, most] rows of a partition, as multiples of the median of recent partitions.",
    )
    recent: Count = Field(default=14, description="How many earlier partitions count as recent.")
    freshness: Duration | None = Field(
        default=None, description="How long before the end of the newest partition its newest event may be."
    )
    future: Duration = Field(
        default=timedelta(hours=1), description="How far in the future the time of an event may be."
    )
