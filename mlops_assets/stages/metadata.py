"""What a data stage reports of a run: a summary, the counts of each partition, and a version of the data."""

import hashlib
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

from mlops_assets.domain import markdown
from mlops_assets.domain.partitions import Window
from mlops_assets.domain.records import Snapshot

_REPORTED_APART = 1000  # partitions of one run; Dagster takes quadratic time, and the manifests hold the same numbers


def report_partitions(
    context: dg.AssetExecutionContext,
    windows: Sequence[Window],
    whole: Mapping[str, Any],
    by_partition: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Report each partition's own metadata; returns what belongs into the result itself.

    Dagster copies a result's metadata to every partition of a range, so the summary of a range goes to its last one.
    """
    if windows[0].start is None:
        return {**whole, **by_partition[windows[0].partition]}
    for name, metadata in by_partition.items() if len(windows) <= _REPORTED_APART else ():
        context.add_asset_metadata(metadata, partition_key=name)
    context.add_asset_metadata(whole, partition_key=windows[-1].partition)
    return {}


def counts(after: Mapping[str, Mapping[str, Snapshot]], partition: str) -> dict[str, Any]:
    """Rows and digest of each feed in one partition. `after`: feed → partition → snapshot."""
    present = {feed: snapshots[partition] for feed, snapshots in after.items() if partition in snapshots}
    rows = {f"rows/{feed}": snapshot.rows for feed, snapshot in present.items()}
    digests = {f"digest/{feed}": snapshot.digest for feed, snapshot in present.items()}
    return {"dagster/partition_row_count": sum(rows.values()), **rows, **digests}


def data_version(snapshots: Iterable[Mapping[str, Snapshot]]) -> dg.DataVersion:
    """Digest over the snapshots: same rows, same version. Of a range it is one for all partitions."""
    digests = [f"{name}:{snapshot.digest}" for each in snapshots for name, snapshot in sorted(each.items())]
    return dg.DataVersion(hashlib.sha256("\n".join(digests).encode()).hexdigest()[:16])


def picture(png: bytes, title: str) -> dg.MarkdownMetadataValue:
    """A plot that the UI shows without fetching anything."""
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{b64encode(png).decode()})")


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> dg.MarkdownMetadataValue:
    """A table of values that come from outside: none of them can break it."""
    return dg.MetadataValue.md(markdown.table(head, rows))
