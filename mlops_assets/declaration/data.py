"""What a model's data is: its feeds, how they are cut in time, and the target."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    InstanceOf,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema

from mlops_assets.declaration.values import (
    LEFT_OUT,
    Choice,
    Completed,
    DeclaredPart,
    Duration,
    Items,
    Moment,
    Text,
    as_duration,
    duration,
    refusal,
    text_like,
)

ONLY_FEED = "rows"  # the name of a feed that is written without one


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


def _columns(value: Any) -> Any:
    return (value,) if isinstance(value, str) else () if value is None else value


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError) as err:
        raise ValueError(f"{name!r} is not a time zone; write one such as UTC or Europe/Paris.") from err
    return name


_Columns = Annotated[
    Items[str],
    Field(max_length=2),
    BeforeValidator(_columns),
    WithJsonSchema({"type": ["string", "array", "null"], "items": {"type": "string"}, "maxItems": 2}),
]


class FeedSpec(DeclaredPart):
    """One table of the source: where its rows come from, and what its columns mean in time."""

    name: SkipJsonSchema[str] = ONLY_FEED
    path: str | None = Field(
        default=None,
        description="A file, folder, glob or fsspec URL (such as s3://bucket/folder) of Parquet or CSV (.csv, "
        ".csv.gz); a relative path starts at the project's root.",
    )
    separator: str = Field(
        default=",", min_length=1, max_length=1, description="The character between the fields of a CSV."
    )
    decimal: Literal[".", ","] = Field(default=".", description="The decimal mark of the numbers in a CSV.")
    query: str | None = Field(default=None, description="A SQL SELECT that is read instead of a path.")
    connection: str | None = Field(
        default=None,
        description="The database that `query` is sent to; the environment variable MLOPS_SQL_<NAME> holds its URL.",
    )
    time: _Columns = Field(
        default=(),
        description="The column with the time of the event, or [date column, hour column]. Without it and without "
        "`order`, the feed is one snapshot.",
    )
    order: str | None = Field(
        default=None,
        description='The number column that orders rows where there is no clock, or "row" for their position.',
    )
    arrived: str | None = Field(
        default=None,
        description="The column with the time at which a row became known. Default: the time of the event.",
    )
    timezone: Annotated[str, AfterValidator(_time_zone)] = Field(
        default="UTC", description="The zone of times that are written without one, such as Europe/Paris."
    )
    key: Items[str] = Field(default=(), description="The columns that identify a row; repeated keys are quarantined.")
    missing: Items[str] = Field(default=(), description='The texts that mean "no value", such as unknown or NA.')

    @property
    def static(self) -> bool:
        """True where rows have neither clock nor order: one snapshot."""
        return not self.time and self.order is None


class SourceSpec(DeclaredPart):
    """Where data comes from: several feeds by name, or the fields of a single feed."""

    python: Annotated[str, text_like(r"^[A-Za-z_][\w.]*\.[A-Za-z_]\w*$", "the dotted name of a class")] | None = Field(
        default=None,
        description="The dotted name of a class with read(feed, start, end, as_of), for data that neither a path nor "
        "a query reaches.",
    )
    examples: Completed[str] = Field(
        default=LEFT_OUT,
        description="The feed whose rows the model predicts on; it must be named where there are several feeds.",
    )
    feeds: Mapping[str, FeedSpec] = Field(
        default={}, description="Several feeds by name; they replace the fields of a single feed."
    )

    @model_validator(mode="before")
    @classmethod
    def _name_feeds(cls, values: Any) -> Any:
        """Gives every feed its name; the fields of a single feed become the feed `rows`."""
        if not isinstance(values, Mapping):
            return values
        single = {name: value for name, value in values.items() if name in FeedSpec.model_fields}
        rest = {name: value for name, value in values.items() if name not in single}
        feeds = rest.get("feeds") or {}
        if feeds and single:
            remedy = "There are several feeds: write this under source.feeds.<name>."
            raise refusal(dict.fromkeys(single, remedy), values)
        feeds = feeds or {ONLY_FEED: single}
        if isinstance(feeds, Mapping):
            only = next(iter(feeds)) if len(feeds) == 1 else None
            rest["examples"] = only if rest.get("examples") is None else rest["examples"]
            rest["feeds"] = {name: _with_name(name, feed) for name, feed in feeds.items()}
        return rest

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler.resolve_ref_schema(handler(core_schema))
        feed = handler.resolve_ref_schema(handler(FeedSpec.__pydantic_core_schema__))
        schema["properties"] = {**feed["properties"], **schema["properties"]}
        return schema

    def with_root(self, root: str) -> "SourceSpec":
        """The same source, its relative paths starting at `root`."""
        feeds = {name: feed.with_changes(path=_from_root(root, feed.path)) for name, feed in self.feeds.items()}
        return self.with_changes(feeds=feeds)


def _with_name(name: str, feed: Any) -> Any:
    return {"name": name, **feed} if isinstance(feed, Mapping) else feed


def _from_root(root: str, path: str | None) -> str | None:
    return path if path is None or "://" in path or path.startswith("/") else f"{root}/{path}"


class PartitionSpec(DeclaredPart):
    """How the data stages are cut in time."""

    every: Choice[Every] = Field(
        default=Every.DAY, description="How often a partition begins, or none for one snapshot."
    )
    start: Moment | None = Field(default=None, description="The moment at which the first partition begins.")
    end: Moment | None = Field(
        default=None, description="The moment at which the last partition ends. Default: they go on."
    )


NEGATIVE = "negative"  # how a declaration writes the class of a binary target that is not the positive one
_ABSENT = r"^(.+) after (\d+(?:\.\d+)?[smhdw])$"


@dataclass(frozen=True)
class AbsentOutcome:
    """What it means that no outcome has come, and when that is sure."""

    value: str
    after: timedelta

    def __str__(self) -> str:
        return f"{self.value} after {as_duration(self.after)}"


def _absent(value: Any) -> Any:
    if isinstance(value, AbsentOutcome):
        return value
    found = re.match(_ABSENT, value) if isinstance(value, str) else None
    if found is None or not duration(found[2]):
        raise ValueError(f"{value!r} does not say what a missing outcome means; write for example negative after 30d.")
    return AbsentOutcome(found[1], duration(found[2]))


Absent = Annotated[
    InstanceOf[AbsentOutcome],
    BeforeValidator(_absent),
    PlainSerializer(str, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": _ABSENT, "$comment": "a class and a time: negative after 30d"}),
]


class TargetSpec(DeclaredPart):
    """What the model predicts."""

    column: str = Field(description="The column with the outcome.")
    kind: Choice[Kind] = Field(description="The kind of outcome: binary, multiclass or regression.")
    feed: Completed[str] = Field(
        default=LEFT_OUT, description="The feed that brings the outcome. Default: the examples' feed."
    )
    positive: Text | None = Field(default=None, description="The value of a binary outcome that counts as 1.")
    known_after: Duration = Field(
        default=timedelta(0),
        description="How long after the event the outcome is known, where no `arrived` column says it. No live outcome "
        "counts earlier.",
    )
    absent: Absent | None = Field(
        default=None,
        description="What it means that no outcome has come, for sources that record only events: negative after 30d, "
        "or a class after a time. Default: it means nothing.",
    )
    transform: Literal["none", "log1p"] = Field(
        default="none",
        description="With log1p, a regression fits the logarithm of 1 + target and answers in the target's own unit.",
    )

    @property
    def ripe_after(self) -> timedelta:
        """The age from which outcomes count, whatever they are."""
        return max(self.known_after, self.absent.after) if self.absent else self.known_after
