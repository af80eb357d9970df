"""Contradictions between the fields of a declaration. Finds them all before anything runs; changes nothing."""

from collections.abc import Iterator

from mlops_assets.declaration.data import Every, FeedSpec, Kind
from mlops_assets.declaration.model import ModelSpec

METRICS = {
    Kind.BINARY: ("auc", "average_precision", "accuracy", "log_loss", "brier", "f1"),
    Kind.MULTICLASS: ("accuracy", "f1", "log_loss", "auc"),
    Kind.REGRESSION: ("r2", "mae", "rmse"),
}


class DeclarationError(ValueError):
    """A declaration that cannot mean anything, with all the reasons."""


def check(spec: ModelSpec) -> ModelSpec:
    """The spec itself, or an error that lists every problem."""
    problems = list(_problems(spec))
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise DeclarationError(f"The declaration of {spec.model} has {len(problems)} problem(s):\n{listed}")
    return spec


def _problems(spec: ModelSpec) -> Iterator[str]:
    yield from _source_problems(spec)
    yield from _time_problems(spec)
    yield from _target_problems(spec)
    yield from _reference_problems(spec)


def _source_problems(spec: ModelSpec) -> Iterator[str]:
    source = spec.source
    known = ", ".join(sorted(source.feeds))
    if source.examples not in source.feeds:
        yield f"source.examples: name the feed that is predicted on, one of: {known}"
    for feed in source.feeds.values():
        yield from _feed_problems(feed, python=source.python is not None)
    if spec.target.feed and spec.target.feed not in source.feeds:
        yield f"target.feed: {spec.target.feed!r} is none of the feeds: {known}"
    label_elsewhere = spec.target.feed != source.examples and spec.target.feed in source.feeds
    if label_elsewhere and not source.feeds[spec.target.feed].key:
        yield f"source.feeds.{spec.target.feed}.key: needed to join the target to the examples"


def _feed_problems(feed: FeedSpec, *, python: bool) -> Iterator[str]:
    readers = [name for name in ("path", "query") if getattr(feed, name) is not None]
    where = f"source.feeds.{feed.name}"
    if python and readers:
        yield f"{where}: {readers[0]} and source.python exclude each other"
    if not python and len(readers) != 1:
        yield f"{where}: give either path or query (or source.python)"
    if feed.query is not None and feed.connection is None:
        yield f"{where}.connection: name the database that the query goes to"
    if feed.time and feed.order is not None:
        yield f"{where}: time and order exclude each other"
    if feed.separator == feed.decimal:
        yield f"{where}.separator: {feed.separator!r} is the decimal mark too; a CSV needs another, such as ;"
    if len(feed.time) > 2:
        yield f"{where}.time: at most a date column and an hour column"


def _time_problems(spec: ModelSpec) -> Iterator[str]:
    window, training = spec.partitions, spec.training
    examples = spec.source.feeds.get(spec.source.examples)
    if window.every is not Every.NONE:
        if window.start is None:
            yield "partitions.start: where does the first partition begin?"
        if examples is not None and not examples.time:
            yield f"partitions.every: feed {examples.name} has no time to cut it by; use none"
        if window.start and window.end and window.end <= window.start:
            yield f"partitions.end: {window.end} does not lie after the start, {window.start}"
    if training.validation + training.test >= 1:
        yield f"training: validation {training.validation} and test {training.test} leave no rows to train on"
    if training.gap < spec.target.known_after:
        yield f"training.gap: {training.gap} is shorter than the time a label takes, {spec.target.known_after}"


def _target_problems(spec: ModelSpec) -> Iterator[str]:
    kind, target = spec.target.kind, spec.target
    if kind is Kind.BINARY and target.positive is None:
        yield "target.positive: which value counts as 1?"
    if kind is not Kind.BINARY and target.positive is not None:
        yield f"target.positive: means nothing for {kind}"
    if target.transform != "none" and kind is not Kind.REGRESSION:
        yield f"target.transform: {target.transform} means nothing for {kind}"
    if spec.gates.metric not in METRICS[kind]:
        yield f"gates.metric: {spec.gates.metric!r} does not fit {kind}; use one of {', '.join(METRICS[kind])}"
    if spec.training.class_weights and kind is Kind.REGRESSION:
        yield "training.class_weights: a regression has no classes"


def _reference_problems(spec: ModelSpec) -> Iterator[str]:
    features = spec.features
    if features.service is not None and (features.columns or features.exclude):
        yield "features: a service already says which columns; drop columns and exclude"
    both = sorted(set(features.columns) & set(features.exclude))
    if both:
        yield f"features: both used and excluded: {', '.join(both)}"
    if spec.target.column in features.columns:
        yield f"features.columns: {spec.target.column} is the target"
    for expectation in spec.validation.expectations:
        if expectation.feed not in spec.source.feeds:
            yield f"validation.expectations: {expectation.feed!r} is no feed"
        if not expectation.columns:
            yield "validation.expectations: an expectation needs column or columns"
    if spec.gates.anchor != "first" and not spec.gates.anchor.isdigit():
        yield f"gates.anchor: {spec.gates.anchor!r} is neither first nor a version number"
