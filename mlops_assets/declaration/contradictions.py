"""Contradictions between the fields of a declaration. Finds them all before anything runs; changes nothing."""

from collections.abc import Iterator

from mlops_assets.declaration.data import NEGATIVE, Every, FeedSpec, Kind, SourceSpec
from mlops_assets.declaration.evaluation import METRICS, METRICS_IN_UNITS
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.declaration.values import FieldPath, FieldProblem

Found = Iterator[tuple[str, str]]  # the dotted path of a field, and what is wrong with it


def contradictions(spec: ModelSpec) -> list[FieldProblem]:
    """All contradictions of a declaration whose single fields are valid."""
    finders = (_in_source, _in_label, _in_times, _in_target, _in_gates, _in_features, _in_expectations, _in_policies)
    return [FieldProblem(_path(field), message) for find in finders for field, message in find(spec)]


def _path(field: str) -> FieldPath:
    return tuple(int(part) if part.isdigit() else part for part in field.split("."))


def _in_source(spec: ModelSpec) -> Found:
    source = spec.source
    if source.examples not in source.feeds:
        yield "source.examples", f"{source.examples!r} is no feed; name the feed that is predicted on: {_known(source)}"
    for feed in source.feeds.values():
        for field, message in _in_feed(feed, python=source.python is not None):
            yield f"source.feeds.{feed.name}{field}", message


def _in_feed(feed: FeedSpec, *, python: bool) -> Found:
    readers = [name for name, value in (("path", feed.path), ("query", feed.query)) if value is not None]
    if python and readers:
        yield "", f"{readers[0]} and source.python exclude each other"
    if not python and len(readers) != 1:
        yield "", "write either path or query (or source.python)"
    if feed.query is not None and feed.connection is None:
        yield ".connection", "name the database that the query is sent to"
    if feed.time and feed.order is not None:
        yield "", "time and order exclude each other"
    if feed.separator == feed.decimal:
        yield ".separator", f"{feed.separator!r} is the decimal mark too; a CSV needs another, such as ;"


def _in_label(spec: ModelSpec) -> Found:
    source, feed = spec.source, spec.target.feed
    if feed and feed not in source.feeds:
        yield "target.feed", f"{feed!r} is none of the feeds: {_known(source)}"
    elif feed != source.examples and not source.feeds[feed].key:
        yield f"source.feeds.{feed}.key", "the key is needed to join the target to the examples"


def _in_times(spec: ModelSpec) -> Found:
    window, training = spec.partitions, spec.training
    examples = spec.source.feeds.get(spec.source.examples)
    if window.every is not Every.NONE:
        if window.start is None:
            yield "partitions.start", "the moment at which the first partition begins is missing"
        if examples is not None and not examples.time:
            yield "partitions.every", f"feed {examples.name} has no time to cut it by; use none"
        if window.start and window.end and window.end <= window.start:
            yield "partitions.end", f"{window.end} is not after the start, {window.start}"
    if training.gap < spec.target.ripe_after:
        label = spec.target.ripe_after
        yield (
            "training.gap",
            f"{training.gap} is shorter than target.known_after or target.absent, the time a label takes: {label}",
        )


def _in_target(spec: ModelSpec) -> Found:
    kind, target = spec.target.kind, spec.target
    if kind is Kind.BINARY and target.positive is None:
        yield "target.positive", "write the value that counts as 1"
    if kind is not Kind.BINARY and target.positive is not None:
        yield "target.positive", f"{target.positive!r} means nothing for {kind}; leave it out"
    if target.absent and kind is Kind.REGRESSION:
        yield "target.absent", "an absent outcome is no number; leave it out"
    if target.absent and kind is Kind.BINARY and target.absent.value != NEGATIVE:
        yield "target.absent", f"{target.absent.value!r} is not understood for binary; write {NEGATIVE} after a time"
    if target.transform != "none" and kind is not Kind.REGRESSION:
        yield "target.transform", f"{target.transform} means nothing for {kind}; leave it out"
    if spec.training.class_weights and kind is Kind.REGRESSION:
        yield "training.class_weights", "a regression has no classes; leave it out"


def _in_gates(spec: ModelSpec) -> Found:
    kind, gates = spec.target.kind, spec.gates
    if gates.metric not in METRICS[kind]:
        yield "gates.metric", f"{gates.metric!r} does not fit {kind}; use one of {', '.join(METRICS[kind])}"
    if gates.metric in METRICS_IN_UNITS:
        for name, value in (("guard_loss", gates.guard_loss), ("anchor_loss", gates.anchor_loss)):
            if value is None:
                yield f"gates.{name}", f"{gates.metric} is in the target's own unit; write the loss that is tolerable"


def _in_features(spec: ModelSpec) -> Found:
    features = spec.features
    if features.service is not None and (features.columns or features.exclude):
        yield "features", "a service already defines the columns; drop columns and exclude"
    if both := sorted(set(features.columns) & set(features.exclude)):
        yield "features", f"both used and excluded: {', '.join(both)}"
    if spec.target.column in features.columns:
        yield "features.columns", f"{spec.target.column} is the target"


def _in_expectations(spec: ModelSpec) -> Found:
    for number, expectation in enumerate(spec.validation.expectations):
        where = f"validation.expectations.{number}"
        if expectation.feed not in spec.source.feeds:
            yield f"{where}.feed", f"{expectation.feed!r} is no feed; the feeds are {_known(spec.source)}"
        if not expectation.columns:
            yield where, "an expectation needs column or columns"


def _in_policies(spec: ModelSpec) -> Found:
    drift, retraining = spec.monitoring.drift, spec.retraining
    if drift.needed > drift.of_last:
        yield "monitoring.drift.needed", f"{drift.needed} cannot be more than of_last {drift.of_last}"
    if retraining.least_rows > retraining.new_rows:
        yield "retraining.least_rows", f"{retraining.least_rows} cannot be more than new_rows {retraining.new_rows}"
    if retraining.age_warning > retraining.age_critical:
        ages = f"{retraining.age_warning} has to be at most age_critical {retraining.age_critical}"
        yield "retraining.age_warning", ages


def _known(source: SourceSpec) -> str:
    return ", ".join(sorted(source.feeds))
