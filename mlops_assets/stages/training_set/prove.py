"""Proves of joined rows that no feature knows the future, and asks which columns know the outcome too well."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from feature_repo.transforms.view import view_transforms
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import CREATED_TIME, SNAPSHOT, Layer
from mlops_assets.domain.partitions import EPOCH, window
from mlops_assets.domain.training_set.leakage import Feeds, Recipe, prove_no_leakage
from mlops_assets.domain.training_set.split import PARTS
from mlops_assets.domain.training_set.suspects import Telling, judge_suspects
from mlops_assets.domain.training_set.training_rows import Parts
from mlops_assets.domain.verdict import Verdict
from mlops_assets.resources.features.store import FeatureStore
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.stages.features.build_rows import feed_frames
from mlops_assets.stages.training_set.join import Joined


def prove_no_future(spec: ModelSpec, joined: Joined, lake: Lake, store: FeatureStore) -> Verdict:
    """Make features of training rows again from what had arrived by their moment. Only for looked-up features."""
    transforms = view_transforms(spec.model)
    views = {view.name: view for view in store.views(joined.service)}
    recipes = [
        Recipe(name, each.function, each.feeds, views[name].keys, views[name].features, views[name].ttl)
        for name, each in transforms.items()
        if name in views
    ]
    needed = sorted({feed for recipe in recipes for feed in recipe.feeds})
    lookback = max((each.lookback for each in transforms.values() if each.lookback), default=timedelta())

    def read(start: datetime, end: datetime) -> Feeds:
        return feed_frames(spec, needed, lake, start=start - lookback, end=end)

    arrived = {feed: None if spec.source.feeds[feed].static else CREATED_TIME for feed in needed}
    since = _made_since(spec, [name for name in views if name in transforms and not transforms[name].static], lake)
    return prove_no_leakage(recipes, read, arrived, joined.rows, since=since)


def _made_since(spec: ModelSpec, views: Sequence[str], lake: Lake) -> datetime:
    """The moment from which on every view has been made; before it a lookup finds nothing."""
    firsts = [min(lake.table(spec.model, Layer.FEATURES, view).snapshots(), default=SNAPSHOT) for view in views]
    starts = [window(spec.partitions.every, first).start for first in firsts if first != SNAPSHOT]
    return max((start for start in starts if start is not None), default=EPOCH)


def suspect_columns(spec: ModelSpec, joined: Joined, parts: Parts) -> tuple[list[Telling], Verdict]:
    """What each column tells of the outcome on rows later than those it was learnt from."""
    tables = [parts.tables[name] for name in PARTS]
    return judge_suspects(tables, joined.inputs, classes=len(joined.classes), known=spec.features.known)
