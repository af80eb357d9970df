"""Writes every view of a model's features, brings the online store to the same moment, and says what became of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.transforms.view import view_transforms
from mlops_assets.domain.data.checks import ONLINE
from mlops_assets.domain.names import EVENT_TIME, Layer
from mlops_assets.domain.partitions import EPOCH
from mlops_assets.domain.records import Snapshot
from mlops_assets.domain.verdict import Outcome, Verdict
from mlops_assets.resources.features.store import FeatureStore
from mlops_assets.stages.features.build_rows import FeatureRun, write_view
from mlops_assets.stages.features.own_columns import declared_columns, write_own_columns
from mlops_assets.stages.metadata import table

_SAMPLE = 40  # rows compared between the stores


@dataclass(frozen=True)
class OfflineFeatures:
    """What the offline store has after a run."""

    service: str
    since: Mapping[str, datetime]  # view → from which moment on its rows may have changed
    views: Mapping[str, Mapping[str, Snapshot]]  # view → partition → snapshot


def write_features(run: FeatureRun, store: FeatureStore) -> OfflineFeatures:
    """Write the rows of every view for the run's partitions, and make the service known to Feast."""
    spec = run.spec
    if spec.features.service:
        transforms = view_transforms(spec.model)
        views = {view: write_view(run, view, transform) for view, transform in transforms.items()}
        since = {view: EPOCH if transform.static else run.start for view, transform in transforms.items()}
        return OfflineFeatures(store.apply(spec, {}, {}), since, views)
    columns, keys = declared_columns(spec, run.lake, store)
    service = store.apply(spec, columns, keys)
    views = {service: write_own_columns(run, service, {**keys, **columns})}
    return OfflineFeatures(service, {service: run.start}, views)


def bring_online(written: OfflineFeatures, store: FeatureStore, now: datetime) -> dict[str, datetime]:
    """Bring online values up to now; returns up to when each view was brought."""
    until: dict[str, datetime] = {}
    for moment in sorted(set(written.since.values())):
        names = [view for view, since in written.since.items() if since == moment]
        until |= store.materialize(written.service, moment, now, names)
    return until


def compare_stores(run: FeatureRun, written: OfflineFeatures, store: FeatureStore) -> Verdict:
    """Offline against online for the latest examples, value by value."""
    if offline := [view.name for view in store.views(written.service) if not view.online]:
        reason = (
            f"Not applicable: {', '.join(offline)} has no online values (online=False), so nothing can be compared."
        )
        return Verdict(ONLINE, Outcome.INCONCLUSIVE, reason, {})
    rows = run.lake.table(run.spec.model, Layer.VALIDATED, run.spec.source.examples).read()
    rows = rows.filter(pc.less_equal(rows[EVENT_TIME], pa.scalar(run.now, rows[EVENT_TIME].type)))
    wanted = [column for column in store.lookup_fields(written.service) if column in rows.column_names]
    latest = rows.take(pc.sort_indices(rows[EVENT_TIME])[-_SAMPLE:]).select(wanted).drop_null()
    return store.compare_online(written.service, latest.to_pylist(), run.now)


def describe_views(written: OfflineFeatures, until: Mapping[str, datetime]) -> dict[str, Any]:
    """The service, and a line for each view."""
    head = ("view", "rows", "latest event", "online up to")
    lines = []
    for view, snapshots in written.views.items():
        rows = sum(snapshot.rows for snapshot in snapshots.values())
        lines.append((view, rows, _watermark(snapshots.values()), until.get(view, "not online")))
    return {"feature_service": written.service, "views": table(head, lines)}


def _watermark(snapshots: Iterable[Snapshot]) -> datetime | str:
    return max((each.watermark for each in snapshots if each.watermark is not None), default="none")
