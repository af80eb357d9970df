"""Judges the columns that a feed brought against the declaration and against those before. Pure.

Works on names and types alone, so it is decided before a single row is read.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mlops_assets.declaration.data import FeedSpec
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.declaration.validation import ExpectationSpec
from mlops_assets.domain.data.checks import listed
from mlops_assets.domain.data.columns import ColumnKind, change, kind_of
from mlops_assets.domain.names import CREATED_TIME, EVENT_TIME, RAW_LABEL, REASONS, ROW_KEY
from mlops_assets.domain.times import POSITION
from mlops_assets.domain.verdict import Outcome, Verdict

_ADDED = (EVENT_TIME, CREATED_TIME, ROW_KEY)
_READABLE = {  # declared type → kinds it can be read from
    "number": {ColumnKind.NUMBER, ColumnKind.TEXT, ColumnKind.BOOLEAN, ColumnKind.EMPTY},
    "integer": {ColumnKind.NUMBER, ColumnKind.TEXT, ColumnKind.BOOLEAN, ColumnKind.EMPTY},
    "boolean": {ColumnKind.NUMBER, ColumnKind.TEXT, ColumnKind.BOOLEAN, ColumnKind.EMPTY},
    "time": {ColumnKind.NUMBER, ColumnKind.TEXT, ColumnKind.TIME, ColumnKind.EMPTY},
    "text": set(ColumnKind) - {ColumnKind.OTHER},
}


@dataclass(frozen=True)
class PartitionColumns:
    """The columns of one partition that has rows, and those that were known before it."""

    feed: str
    partition: str
    columns: Mapping[str, str]
    known: Mapping[str, str]  # of validated partitions; empty where this is the first


def judge_schema(spec: ModelSpec, partitions: Sequence[PartitionColumns], *, accept: bool) -> Verdict:
    """Fails on a missing column, a changed or unreadable type, a reserved name. New columns pass, named.

    `accept`: a person says that the change is meant; what is declared must be there all the same.
    """
    declared = [problem for each in partitions for problem in _against_declaration(spec, each)]
    changes = [(each, change(_comparable(spec, each), each.columns)) for each in partitions if each.known]
    broken = [f"{each.feed} {each.partition}: {found}" for each, found in changes if found.breaking]
    added = [f"{each.feed} {each.partition}: {found}" for each, found in changes if found and not found.breaking]
    numbers = {"partitions": float(len(partitions)), "problems": float(len(declared) + len(broken))}
    if declared or (broken and not accept):
        return Verdict("schema", Outcome.FAIL, _remedy(declared, broken), numbers)
    parts = ["every column is there with its type"]
    parts += [f"accepted by hand: {listed(broken)}"] if broken else []
    parts += [f"{listed(added)}"] if added else []
    return Verdict("schema", Outcome.PASS, "; ".join(parts), numbers)


def expectations_of(spec: ModelSpec, feed: str) -> list[ExpectationSpec]:
    """What is declared about one feed."""
    return [each for each in spec.validation.expectations if each.feed == feed]


def declared_types(spec: ModelSpec, feed: str) -> dict[str, str]:
    """Column → declared type."""
    return {name: each.type for each in expectations_of(spec, feed) if each.type for name in each.columns}


def needed_columns(spec: ModelSpec, feed: FeedSpec) -> dict[str, str]:
    """Columns that a feed cannot do without → what needs them."""
    needed = {name: "an expectation" for each in expectations_of(spec, feed.name) for name in each.columns}
    needed |= {spec.target.column: "the target"} if spec.target.feed == feed.name else {}
    needed |= dict.fromkeys(feed.key, "the key") | dict.fromkeys(feed.time, "the time")
    needed |= {feed.arrived: "the arrival time"} if feed.arrived else {}
    return needed | ({feed.order: "the order"} if feed.order not in (None, POSITION) else {})


def _against_declaration(spec: ModelSpec, partition: PartitionColumns) -> Iterable[str]:
    feed = spec.source.feeds[partition.feed]
    place = f"{partition.feed} {partition.partition}"
    for name, needed_by in needed_columns(spec, feed).items():
        if name not in partition.columns:
            yield f"{place}: no column {name!r}, which is {needed_by}"
    reserved = [EVENT_TIME, CREATED_TIME, RAW_LABEL, REASONS] + ([] if feed.key else [ROW_KEY])
    for name in reserved:
        if name in partition.columns and name not in (*feed.time, feed.arrived, feed.order):
            yield f"{place}: column {name!r} has a reserved name: rename it, or declare it as time or key"
    for name, declared in declared_types(spec, partition.feed).items():
        kind = kind_of(partition.columns.get(name, "null"))
        if kind not in _READABLE[declared]:
            yield f"{place}: {name} is {kind} ({partition.columns[name]}), which cannot be read as {declared}"
    yield from _misapplied(spec, partition, place)


def _misapplied(spec: ModelSpec, partition: PartitionColumns, place: str) -> Iterable[str]:
    """Limits on what is no number, patterns on what is no text."""
    types = declared_types(spec, partition.feed)
    for expectation in expectations_of(spec, partition.feed):
        for name in expectation.columns:
            kind = (
                ColumnKind.NUMBER
                if types.get(name) == "integer"
                else types.get(name) or kind_of(partition.columns.get(name, "null"))
            )
            if expectation.between is not None and kind not in (ColumnKind.NUMBER, ColumnKind.EMPTY):
                yield f"{place}: `between` is for numbers, {name} is {kind}: declare its type or correct it"
            if expectation.matches is not None and kind not in (ColumnKind.TEXT, ColumnKind.EMPTY):
                yield f"{place}: `matches` is for texts, {name} is {kind}: declare its type or correct it"


def _comparable(spec: ModelSpec, partition: PartitionColumns) -> dict[str, str]:
    """The known columns as raw ones. Of those with a declared type only the presence is compared."""
    feed = spec.source.feeds[partition.feed]
    declared = declared_types(spec, partition.feed)
    own = {*feed.time, *feed.key, feed.arrived, feed.order}
    kept = {name: kind for name, kind in partition.known.items() if name not in _ADDED or name in own}
    return {
        name: "null" if name in declared or (name in _ADDED and name in own) else kind for name, kind in kept.items()
    }


def _remedy(declared: Sequence[str], broken: Sequence[str]) -> str:
    remedies = []
    if declared:
        remedies.append(f"The source does not fit the declaration: {listed(declared)}. Correct one of the two.")
    if broken:
        remedies.append(
            f"The source changed: {listed(broken)}. Have it corrected; or, if this is meant, "
            "materialise validated_data with `accept_new_schema: true`."
        )
    return " ".join([*remedies, "Nothing of this run was written."])
