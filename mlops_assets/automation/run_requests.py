"""How sensors request runs: one run key and one tag for a cause, a few more tries after a failure, ranges of days."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import dagster as dg

from mlops_assets.domain.names import CAUSE_TAG, MODEL_TAG
from mlops_assets.resources.registry.ledger import LedgerBrokenError

UNREADABLE = (OSError, LedgerBrokenError, ValueError, LookupError)  # stores that a sensor cannot read: it skips
_TRIES = 3  # runs for one cause
_RANGE_TAGS = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


def skip_unreadable(what: str, err: Exception) -> dg.SkipReason:
    """`what`: the thing that cannot be judged, as the start of a sentence."""
    return dg.SkipReason(f"{what}: {type(err).__name__}: {err}")


def request_run(
    model: str, cause: str, config: Mapping[str, Any] | None = None, tags: Mapping[str, str] = MappingProxyType({})
) -> dg.RunRequest:
    """The one run for a cause of a model."""
    return dg.RunRequest(run_key=cause, run_config=config, tags={**tags, MODEL_TAG: model, CAUSE_TAG: cause})


def op_config(op: str, **config: Any) -> dict[str, Any]:
    """Run configuration of a job's one op."""
    return {"ops": {op: {"config": config}}}


def retry_failed(request: dg.RunRequest, instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    """The request again, a few times, where its run failed: a version that must go has to go."""
    cause = str(request.run_key)
    filters = dg.RunsFilter(tags={CAUSE_TAG: cause}, statuses=[dg.DagsterRunStatus.FAILURE])
    failures = instance.get_runs_count(filters)
    if failures >= _TRIES:
        return dg.SkipReason(
            f"{cause} is due, but its run failed {failures} times: find the cause in the run, then launch it by hand."
        )
    return request._replace(run_key=f"{cause}:again:{failures}") if failures else request


def range_tags(first: str, last: str) -> dict[str, str]:
    """The tags by which Dagster runs a range of partitions."""
    return dict(zip(_RANGE_TAGS, (first, last), strict=True))


def unbroken_ranges(keys: Sequence[str], chosen: Collection[str]) -> Iterator[tuple[str, str]]:
    """The unbroken runs of chosen keys, as first and last."""
    first = last = None
    for key in keys:
        if key in chosen:
            first, last = first or key, key
        elif first is not None and last is not None:
            yield first, last
            first = last = None
    if first is not None and last is not None:
        yield first, last
