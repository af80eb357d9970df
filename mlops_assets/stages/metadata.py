"""How data stages tell what they did: the whole once, each partition's counts, a version of the data."""

import hashlib
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

from mlops_assets.domain.partitions import Window
from mlops_assets.domain.records import Snapshot

_TOLD_APART = 1000  # partitions of one run; Dagster's time for it is quadratic, and the manifests hold the same


def told(
    context: dg.AssetExecutionContext,
    asked: Sequence[Window],
    whole: Mapping[str, Any],
    each: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """What belongs into the result. Dagster copies that to every partition: a range is told at its last."""
    if asked[0].start is None:
        return {**whole, **each[asked[0].partition]}
    for name, metadata in each.items() if len(asked) <= _TOLD_APART else ():
        context.add_asset_metadata(metadata, partition_key=name)
    context.add_asset_metadata(whole, partition_key=asked[-1].partition)
    return {}


def counts(after: Mapping[str, Mapping[str, Snapshot]], partition: str) -> dict[str, Any]:
    """Rows and digest of each feed in one partition. `after`: feed → partition → snapshot."""
    held = {feed: snapshots[partition] for feed, snapshots in after.items() if partition in snapshots}
    rows = {f"rows/{feed}": snapshot.rows for feed, snapshot in held.items()}
    digests = {f"digest/{feed}": snapshot.digest for feed, snapshot in held.items()}
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
    from mlops_assets.domain.evaluation.report_text import table as markdown_table

    return dg.MetadataValue.md(markdown_table(head, rows))
