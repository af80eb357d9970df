"""Reads what the judgement of a rollout's step stands on: logs, bundles, labels. Decides nothing.

Both the sensor that looks and the job that acts call `observe`, so that both see the same.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.release.release_state import ReleaseState
from mlops_assets.domain.release.step_evidence import StepObservations, observe_step
from mlops_assets.domain.traffic.outcomes import FEEDBACK, outcomes_by_tail, source_outcomes
from mlops_assets.domain.traffic.refused import count_errors_by_arm, read_refused
from mlops_assets.domain.traffic.row_loss import LabelSpace
from mlops_assets.domain.traffic.slices import flatten_batch
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.registry.bundles import Bundles
from mlops_assets.resources.traffic.endpoint_log import Traffic
from mlops_assets.stages.traffic.source_labels import label_columns, source_labels
from serving.contract.bundle import Bundle

_SKEW = timedelta(minutes=5)  # between the clocks of endpoint and pipeline


def read_rollout_evidence(
    spec: ModelSpec,
    state: ReleaseState,
    traffic: Traffic,
    bundles: Bundles,
    *,
    now: datetime,
    lake: Lake | None = None,
    problems: Sequence[str] = (),
) -> StepObservations:
    """What was seen of the release in force. `problems`: what the caller knows besides, as an endpoint out of reach."""
    opened = {arm.name: _opened(bundles.root, bundles.cache, arm.bundle) for arm in state.arms}
    keys = label_columns(spec, opened[state.champion.name].contract.entity) if lake else ()
    rows, troubles, last_read = read_step(spec, traffic, state, keys)
    feedback, feedback_troubles = read_outcomes(traffic, state)
    refused = read_refused(
        traffic.refused(spec.model, since=state.opened_at - _SKEW, generation=state.generation, problems=troubles)
    )
    if lake is not None and keys:
        labels = source_labels(spec, lake, since=state.opened_at, now=now)
        feedback = pa.concat_tables([feedback, source_outcomes(rows, labels, keys, spec.target.column)])
    return observe_step(
        spec,
        state,
        rows,
        outcomes_by_tail(feedback, [*state.tails.values(), state.mixed_tail]),
        judged={name: LabelSpace.of(bundle.contract, bundle.profile) for name, bundle in opened.items()},
        profile=opened[state.champion.name].profile,
        now=now,
        last_read=last_read,
        refused=count_errors_by_arm(refused, state.generation),
        problems=(*problems, *troubles),
        notes=[f"feedback: {trouble}" for trouble in feedback_troubles],
    )


def read_step(
    spec: ModelSpec, traffic: Traffic, state: ReleaseState, keys: Sequence[str]
) -> tuple[pa.Table, list[str], datetime | None]:
    """The logged rows of this generation, what could not be read, and the last time before the first such gap."""
    batches, troubles, last = [flatten_batch(_no_rows(), spec.slices, keys)], [], None
    for batch in traffic.answers(
        state.model, since=state.opened_at - _SKEW, generation=state.generation, problems=troubles
    ):
        batches.append(flatten_batch(batch, spec.slices, keys))
        if not troubles:
            latest = pc.max(batch["time"]).as_py()
            last = latest if last is None else max(last, latest)
    return pa.Table.from_batches(batches), troubles, last


def read_outcomes(traffic: Traffic, state: ReleaseState) -> tuple[pa.Table, list[str]]:
    """The feedback since the generation began, and what of it could not be read."""
    troubles: list[str] = []
    found = traffic.outcomes(state.model, since=state.opened_at - _SKEW, problems=troubles)
    return pa.Table.from_batches([batch.select(FEEDBACK.names) for batch in found], FEEDBACK), troubles


def _no_rows() -> pa.RecordBatch:
    texts = dict.fromkeys(("request_id", "key", "arm", "routed"), pa.string())
    kinds = {"row": pa.int32(), "time": pa.timestamp("us", "UTC"), "latency_ms": pa.float64()}
    structs = dict.fromkeys(("entities", "features"), pa.struct([]))
    schema = pa.schema({**texts, **kinds, "answer": pa.list_(pa.float64()), **structs})
    return pa.RecordBatch.from_pylist([], schema)


@lru_cache(maxsize=64)
def _opened(root: str, cache: str, digest: str) -> Bundle:
    """Checked once a process: a bundle never changes."""
    return Bundles(root=root, cache=cache).open(digest)
