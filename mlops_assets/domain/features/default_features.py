"""Which columns are the features of a model that has no feature service of its own. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import CREATED_TIME, EVENT_TIME, LABEL, ROW_KEY

_FIT = (
    "int",
    "uint",
    "float",
    "double",
    "half",
    "decimal",
    "string",
    "large_string",
    "bool",
    "dictionary",
    "null",
)


class FeatureError(ValueError):
    """Features that are declared and not there."""


def feature_columns(spec: ModelSpec, types: Mapping[str, str]) -> tuple[str, ...]:
    """The declared columns, or every one that can be a feature and says nothing of key, time or outcome."""
    examples, declared = spec.source.examples, spec.features.columns
    if not types:
        raise FeatureError(f"features: {examples} has no rows yet, so its columns are not known: bring data first")
    if problems := list(_problems(declared, spec.features.exclude, types)):
        raise FeatureError(f"features: {'; '.join(problems)}. The columns of {examples}: {', '.join(types)}")
    excluded = {*spec.features.exclude, *_special(spec)}
    fit = declared or tuple(name for name, kind in types.items() if name not in excluded and kind.startswith(_FIT))
    if LABEL in fit:  # the training set's own name for the target
        raise FeatureError(f"features: a column called {LABEL!r} cannot be one: put it under `exclude`, or rename it")
    if not fit:
        raise FeatureError(f"features: no column of {examples} is left to be one; they are {', '.join(types)}")
    return fit


def _problems(declared: Sequence[str], excluded: Sequence[str], types: Mapping[str, str]) -> Iterator[str]:
    if missing := [name for name in (*declared, *excluded) if name not in types]:
        yield f"{', '.join(missing)} not among the columns"
    for name in declared:
        if not types.get(name, _FIT[0]).startswith(_FIT):
            yield f"{name} is {types[name]}, which no model takes: make a number or text of it at the source"


def feature_keys(spec: ModelSpec) -> tuple[str, ...]:
    """The columns that find a feature row: the declared entity, the feed's key, or the row itself."""
    return spec.features.entity or spec.source.feeds[spec.source.examples].key or (ROW_KEY,)


def _special(spec: ModelSpec) -> set[str]:
    """Key, times and target. An hour beside a date stays: it says when in the day, not when."""
    feed = spec.source.feeds[spec.source.examples]
    columns = {
        *feed.key,
        *feature_keys(spec),
        *feed.time[:1],
        feed.order,
        feed.arrived,
        EVENT_TIME,
        CREATED_TIME,
        ROW_KEY,
    }
    target = {spec.target.column} if spec.target.feed == spec.source.examples else set()
    return {name for name in columns | target if name is not None}
