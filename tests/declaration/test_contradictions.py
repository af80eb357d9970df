"""Contradictions in a declaration, one line each."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mlops_assets.declaration.contradictions import METRICS, DeclarationError, check
from mlops_assets.declaration.data import Every, Kind, PartitionSpec
from tests.kit.specs import START, expectation, feed_spec, model_spec, source_spec, validation_spec

SPEC = model_spec()


def part(name: str, **changes: Any) -> dict[str, Any]:
    return {name: replace(getattr(SPEC, name), **changes)}


def feed(**changes: Any) -> dict[str, Any]:
    return {"source": source_spec(feed_spec(**changes))}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"source": replace(source_spec(), examples="nothing")}, "source.examples: name the feed that is predicted on"),
        (feed(path=None), "source.feeds.events: give either path or query (or source.python)"),
        (feed(query="select 1", connection="db"), "source.feeds.events: give either path or query"),
        (feed(path=None, query="select 1"), "source.feeds.events.connection: name the database"),
        ({"source": source_spec(python="a.B")}, "source.feeds.events: path and source.python exclude each other"),
        (feed(order="n"), "source.feeds.events: time and order exclude each other"),
        (feed(time=("a", "b", "c")), "source.feeds.events.time: at most a date column and an hour column"),
        (part("target", feed="other"), "target.feed: 'other' is none of the feeds: events"),
        (
            {**part("target", feed="late"), "source": source_spec(feed_spec(), feed_spec("late", key=()))},
            "source.feeds.late.key: needed to join the target",
        ),
        ({"partitions": PartitionSpec(Every.DAY, None, None)}, "partitions.start: where does the first"),
        ({"partitions": PartitionSpec(Every.DAY, START, START)}, "partitions.end: "),
        (feed(time=()), "partitions.every: feed events has no time to cut it by; use none"),
        (part("training", validation=0.5, test=0.5), "leave no rows to train on"),
        (
            part("target", known_after=timedelta(hours=1)),
            "training.gap: 0:00:00 is shorter than the time a label takes",
        ),
        (part("target", positive=None), "target.positive: which value counts as 1?"),
        (part("target", kind=Kind.MULTICLASS), "target.positive: means nothing for multiclass"),
        (part("target", transform="log1p"), "target.transform: log1p means nothing for binary"),
        (part("gates", metric="r2"), "gates.metric: 'r2' does not fit binary; use one of auc, "),
        (part("features", service="s"), "features: a service already says which columns"),
        (part("features", exclude=("x",)), "features: both used and excluded: x"),
        (part("features", columns=("label",)), "features.columns: label is the target"),
        ({"validation": validation_spec(expectation("x", feed="fax"))}, "validation.expectations: 'fax' is no feed"),
        ({"validation": validation_spec(expectation(()))}, "an expectation needs column or columns"),
        (part("gates", anchor="latest"), "gates.anchor: 'latest' is neither first nor a version number"),
    ],
)
def test_each_contradiction_is_told(changes, problem):
    with pytest.raises(DeclarationError) as told:
        check(replace(SPEC, **changes))
    assert problem in str(told.value)


def test_what_is_sound_passes_unchanged():
    assert check(SPEC) is SPEC
    static = model_spec(**feed(time=()), partitions=PartitionSpec(Every.NONE, None, None))
    assert check(static) is static


def test_all_of_them_are_told_at_once():
    wrong = replace(SPEC, **part("gates", metric="r2", anchor="x"), **part("target", positive=None))
    with pytest.raises(DeclarationError, match=r"The declaration of tiny has 3 problem\(s\):\n  - "):
        check(wrong)


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_metrics_that_are_measured(kind):
    from mlops_assets.domain.evaluation.metrics import metric_named

    assert [metric_named(name, kind).name for name in METRICS[kind]] == list(METRICS[kind])


def test_class_weights_need_classes():
    target = replace(SPEC.target, kind=Kind.REGRESSION, positive=None)
    wrong = replace(SPEC, target=target, **part("gates", metric="r2"), **part("training", class_weights=True))
    with pytest.raises(DeclarationError, match=r"training\.class_weights: a regression has no classes"):
        check(wrong)
