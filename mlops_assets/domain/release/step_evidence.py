"""What each arm did since the present step began, from the rows of the log. Counts; judges nothing, reads no file.

Requests are counted, not rows: what one request brings to an arm succeeds or fails together. The arm that a request
was routed to stands in the tail of its id; where its rows have keys that lead to several arms, each row names its own.
Where another one answered, the routed arm failed: that is its error, and
the answer is no evidence of what its model can do. A request that got no answer is an error of its arm too, unless no
version takes such rows. A shadow's failed copy counts only where the champion answered the
same request: what nobody could have answered is nobody's fault.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.release.experiment import ArmEvidence
from mlops_assets.domain.release.release_state import ReleaseState
from mlops_assets.domain.release.rollout import StepEvidence
from mlops_assets.domain.release.rollout_signals import Watched
from mlops_assets.domain.release.sequential import Sample
from mlops_assets.domain.traffic import slices as step_slices
from mlops_assets.domain.traffic.outcomes import Outcomes, find_outcomes
from mlops_assets.domain.traffic.row_loss import LabelSpace, decode_labels, measure_losses
from serving.contract.arms import Role, Strategy

NOTHING = Watched(0, 0, 0, Sample(0, 0.0, 0.0))
LOSS, REWARD = "loss", "reward"
_OF_PEOPLE = (Strategy.AB_TEST, Strategy.EPSILON_GREEDY, Strategy.THOMPSON)
Codes = NDArray[np.int64]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class StepObservations:
    """Everything that the logs say about one generation."""

    state: ReleaseState
    elapsed: timedelta
    blind: timedelta  # since the logs could last be read without a gap
    arms: Mapping[str, Watched]
    slices: Mapping[str, Mapping[str, Watched]]  # slice → arm → what it did there
    people: Mapping[str, ArmEvidence]  # arm → those assigned to it, with their mean loss and reward
    problems: tuple[str, ...]  # why it could not be measured
    notes: tuple[str, ...]  # what a person should know; harmless to the judgement


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows of the log as arrays: `arm`, `loss`, `reward` of each row; of each request its rows' place."""

    arm: Codes  # index of the routed arm
    request: Codes  # index of the request
    failed: NDArray[np.bool_]
    slow: NDArray[np.bool_]
    told: NDArray[np.bool_]  # whether its outcome came
    loss: Array  # NaN: not known
    reward: Array

    @property
    def firsts(self) -> Codes:
        """The first row of each request."""
        return np.flatnonzero(np.diff(self.request, prepend=-1))


def observe_step(
    spec: ModelSpec,
    state: ReleaseState,
    rows: pa.Table,
    outcomes: Outcomes,
    *,
    judged: Mapping[str, LabelSpace],
    profile: Mapping[str, object],
    now: datetime,
    last_read: datetime | None,
    refused: Mapping[str, int] = MappingProxyType({}),
    problems: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> StepObservations:
    """Counts of every arm.

    `judged` and `refused`, requests without an answer, by arm; `profile` is the champion's; `last_read`: the last row
    before a problem.
    """
    rows, read = _routed(state, rows)
    taken = _with_outcomes(spec, state, rows, read, outcomes, judged)
    cuts = step_slices.slice_rows(rows, spec.slices, profile)
    names = [arm.name for arm in state.arms]
    watched = _watched(taken, np.zeros(len(rows), dtype=np.int64), 1, len(names))[0]
    since = max(last_read or state.opened_at, state.opened_at)
    return StepObservations(
        state=state,
        elapsed=max(now - state.opened_at, timedelta(0)),
        blind=max(now - since, timedelta(0)) if problems else timedelta(0),
        arms={name: _with_refused(each, refused.get(name, 0)) for name, each in zip(names, watched, strict=True)},
        slices=dict(_of_slices(taken, cuts, names)),
        people=_people(rows, taken, names) if state.strategy in _OF_PEOPLE else {},
        problems=tuple(problems),
        notes=(*notes, *_notes(spec, rows, taken, outcomes)),
    )


def step_evidence(seen: StepObservations) -> StepEvidence:
    """For the judge of canaries: the challenger against the champion."""
    state, challenger = seen.state, seen.state.challenger
    if challenger is None:
        raise ValueError(f"{state.model}: generation {state.generation} has no arm beside the champion")
    ours, theirs = challenger.name, state.champion.name
    return StepEvidence(
        share=share_of(state),
        elapsed=seen.elapsed,
        blind=seen.blind,
        canary=seen.arms[ours],
        champion=seen.arms[theirs],
        slices={name: (arms[ours], arms[theirs]) for name, arms in seen.slices.items()},
        problems=seen.problems,
    )


def share_of(state: ReleaseState) -> float:
    """The challenger's part of all that is logged; a shadow's copies stand beside the champion's answers."""
    challenger = state.challenger
    weight = challenger.weight if challenger else 0.0
    return weight / (1 + weight) if challenger and challenger.role is Role.SHADOW else weight


def _routed(state: ReleaseState, rows: pa.Table) -> tuple[pa.Table, _Rows]:
    """The rows that count, and which arm each was routed to."""
    arm = np.full(len(rows), -1)
    failed = np.zeros(len(rows), dtype=bool)
    divided = pc.ends_with(rows["request_id"], state.mixed_tail)
    for index, (name, tail) in enumerate(state.tails.items()):
        own = pc.and_(divided, pc.equal(rows["routed"], name))
        routed = pc.or_(pc.ends_with(rows["request_id"], tail), own).to_numpy()
        arm[routed] = index
        failed |= routed & pc.not_equal(rows["arm"], name).to_numpy()
    counted = (arm >= 0) & ~_unpaired(state, rows, arm, failed)
    if not counted.all():
        rows, arm, failed = rows.filter(pa.array(counted)), arm[counted], failed[counted]
    request = np.cumsum(_begins(rows, arm)) - 1
    no, nothing = np.zeros(len(rows), dtype=bool), np.full(len(rows), np.nan)
    return rows, _Rows(arm, request, failed, no, no, nothing, nothing)


def _begins(rows: pa.Table, arm: Codes) -> NDArray[np.bool_]:
    """Where a request begins, or its part for another arm: their rows follow one another."""
    if not len(rows):
        return np.zeros(0, dtype=bool)
    ids = pc.dictionary_encode(rows["request_id"].combine_chunks()).indices.to_numpy()
    row = rows["row"].to_numpy()
    begins = np.ones(len(rows), dtype=bool)
    begins[1:] = (ids[1:] != ids[:-1]) | (arm[1:] != arm[:-1]) | (row[1:] <= row[:-1])
    return begins


def _unpaired(state: ReleaseState, rows: pa.Table, arm: Codes, failed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Failed copies of requests that the champion did not answer either."""
    shadow, tails = state.challenger, list(state.tails.values())
    if shadow is None or shadow.role is not Role.SHADOW:
        return np.zeros(len(rows), dtype=bool)
    ours, theirs = state.arms.index(shadow), state.arms.index(state.champion)
    suspects = np.flatnonzero((arm == ours) & failed)
    unpaired = np.zeros(len(rows), dtype=bool)
    if len(suspects):
        ids = rows["request_id"]
        prefixes = [text.removesuffix(tails[ours]) for text in ids.take(pa.array(suspects)).to_pylist()]
        answered = ids.filter(pa.array((arm == theirs) & ~failed)).combine_chunks()
        paired = np.zeros(len(suspects), dtype=bool)
        for tail in (tails[theirs], state.mixed_tail):
            twins = pa.array([prefix + tail for prefix in prefixes], pa.string())
            paired |= pc.is_in(twins, value_set=answered).to_numpy(zero_copy_only=False)
        unpaired[suspects] = ~paired
    return unpaired


def _with_outcomes(
    spec: ModelSpec,
    state: ReleaseState,
    rows: pa.Table,
    read: _Rows,
    outcomes: Outcomes,
    judged: Mapping[str, LabelSpace],
) -> _Rows:
    slow = rows["latency_ms"].to_numpy() > spec.serving.latency_ms
    places = find_outcomes(rows, outcomes)
    loss, reward = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    reward[places >= 0] = outcomes.rewards[places[places >= 0]]
    for index, arm in enumerate(state.arms):
        mine = np.flatnonzero((read.arm == index) & (places >= 0) & ~read.failed)
        if len(mine):
            truth = decode_labels(judged[arm.name], outcomes.texts.take(pa.array(places[mine])))
            answers = rows["answer"].take(pa.array(mine)).combine_chunks()
            loss[mine] = measure_losses(judged[arm.name], answers, truth)
    return replace(read, slow=slow, told=places >= 0, loss=loss, reward=reward)


def _watched(rows: _Rows, part: Codes, parts: int, arms: int) -> list[list[Watched]]:
    """What each arm did in each part: [part][arm]. A request counts in every part that one of its rows is in."""
    inside = np.flatnonzero(part >= 0)
    group = rows.arm * parts + part  # of each row
    pairs = inside[np.unique(rows.request[inside] * parts + part[inside], return_index=True)[1]]
    if len(rows.firsts) == len(rows.request):  # a row each: nothing to find out
        pairs = inside
    measured = inside[~np.isnan(rows.loss[inside])]
    size = arms * parts

    def sums(where: Codes, weights: Array | None = None) -> Array:
        return np.bincount(group[where], weights, minlength=size).astype(np.float64).reshape(arms, parts)

    counts = sums(pairs), sums(pairs[rows.failed[pairs]]), sums(pairs[rows.slow[pairs]])
    value = rows.loss[measured]
    of_loss = sums(measured), sums(measured, value), sums(measured, np.square(value))
    return [[_one(arm, part_, counts, of_loss) for arm in range(arms)] for part_ in range(parts)]


def _one(arm: int, part: int, counts: Sequence[Array], of_loss: Sequence[Array]) -> Watched:
    requests, errors, slow = (int(each[arm, part]) for each in counts)
    count, total, squares = (float(each[arm, part]) for each in of_loss)
    return Watched(requests, errors, slow, Sample(int(count), total, squares))


def _with_refused(answered: Watched, refused: int) -> Watched:
    return replace(answered, requests=answered.requests + refused, errors=answered.errors + refused)


def _of_slices(
    rows: _Rows, cuts: Sequence[step_slices.SlicedColumn], arms: Sequence[str]
) -> Iterator[tuple[str, dict[str, Watched]]]:
    for cut in cuts:
        parts = _watched(rows, cut.codes, len(cut.names), len(arms))
        for name, watched in zip(cut.names, parts, strict=True):
            few = min(each.requests for each in watched) < cut.minimum
            yield name, dict(zip(arms, [NOTHING] * len(arms) if few else watched, strict=True))


def _people(rows: pa.Table, taken: _Rows, arms: Sequence[str]) -> dict[str, ArmEvidence]:
    """One value a person: what one person does again is no new evidence. Who was in two arms is in none."""
    keys = pc.dictionary_encode(rows["key"].combine_chunks() if len(rows) else pa.array([], pa.string()))
    person, people = keys.indices.to_numpy(zero_copy_only=False).astype(np.int64), len(keys.dictionary)
    pairs = np.unique(person * len(arms) + taken.arm) if len(rows) else np.empty(0, dtype=np.int64)
    of_person = np.bincount(pairs // len(arms), minlength=people)
    home = np.full(people, -1)
    home[pairs // len(arms)] = pairs % len(arms)
    home[of_person > 1] = -1
    means = {LOSS: _means(person, taken.loss, people), REWARD: _means(person, taken.reward, people)}
    return {
        name: ArmEvidence(
            int((home == index).sum()),
            {metric: _sample(mean[(home == index) & ~np.isnan(mean)]) for metric, mean in means.items()},
        )
        for index, name in enumerate(arms)
    }


def _sample(values: Array) -> Sample:
    return Sample(len(values), float(values.sum()), float(np.square(values).sum()))


def _means(person: Codes, values: Array, people: int) -> Array:
    """The mean of each person's values; NaN where none is known."""
    known = ~np.isnan(values)
    counts = np.bincount(person[known], minlength=people)
    totals = np.bincount(person[known], values[known], minlength=people)
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)


def _notes(spec: ModelSpec, rows: pa.Table, taken: _Rows, outcomes: Outcomes) -> Iterator[str]:
    if unread := int((taken.told & ~taken.failed & np.isnan(taken.loss)).sum()):
        yield f"{unread} outcomes cannot be judged: they are no class or number of {spec.target.column}"
    if outcomes.contradicting:
        yield f"{outcomes.contradicting} rows have outcomes that contradict each other: the first one counts"
    if len(rows) and (absent := step_slices.missing_columns(rows, spec.slices)):
        yield f"slices by {', '.join(absent)} cannot be told: the log has no such feature or entity key"
