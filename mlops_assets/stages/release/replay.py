"""Replay shadow: logged requests through a candidate's Bento before it gets any traffic. The domain judges."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.release.release_state import ReleaseState
from mlops_assets.domain.release.replay import ReplayReport, judge_replay, markdown
from mlops_assets.domain.release.replay_rows import NoReplay, Replayable
from mlops_assets.domain.release.serving_checks import ServingCheck
from mlops_assets.domain.traffic.refused import count_refused
from mlops_assets.domain.traffic.row_loss import LabelSpace, decode_labels
from mlops_assets.domain.verdict import Outcome, Verdict, numbers_of
from mlops_assets.resources.plots.replay import draw_agreement
from mlops_assets.resources.release.client import Client, EndpointError, RefusedRequest
from mlops_assets.resources.traffic.endpoint_log import Traffic
from mlops_assets.stages.metadata import picture
from serving.contract.bundle import Bundle

_TIMED = 100  # rows that are asked one by one, for their latency


def read_replay_rows(
    spec: ModelSpec, state: ReleaseState | None, bundle: Bundle, traffic: Traffic, *, now: datetime
) -> Replayable | NoReplay:
    """The latest requests that the champion answered; or why there is nothing to replay."""
    policy = spec.rollout.replay
    if state is None:
        return NoReplay(Outcome.PASS, "nothing was released before")
    if not policy.requests:
        return NoReplay(Outcome.PASS, "rollout.replay.requests is 0")
    if state.champion.bundle == bundle.digest:
        return NoReplay(Outcome.PASS, "the version is the champion already")
    found = traffic.latest(
        spec.model,
        bundle=state.champion.bundle,
        fields=bundle.contract.fields,
        most=policy.requests,
        since=now - policy.window,
    )
    if found.lacking:
        lacking = f"the log does not hold {', '.join(found.lacking)} as this version takes it"
        return NoReplay(Outcome.INCONCLUSIVE, f"{lacking}, so that nobody knows whether callers' requests suit it")
    numbers = len(bundle.contract.classes) if bundle.contract.kind == "multiclass" else 1
    if len(found.rows) and found.answers[0].size != numbers:
        return NoReplay(Outcome.INCONCLUSIVE, "the champion answers with another number of classes")
    if len(found.rows):
        return found
    refused = count_refused(traffic.refused(spec.model, since=now - policy.window))
    outcome = Outcome.INCONCLUSIVE if refused else Outcome.PASS
    return NoReplay(outcome, f"the champion answered no request of the last {policy.window}, {refused:,} were refused")


def replay_requests(
    spec: ModelSpec, bundle: Bundle, asked: Replayable | NoReplay, client: Client
) -> tuple[Verdict, Any]:
    """The verdict, and what the materialisation tells of it."""
    if isinstance(asked, NoReplay):
        prefix = "Nothing to replay" if asked.outcome is Outcome.PASS else "Cannot be replayed"
        return Verdict(ServingCheck.REPLAY, asked.outcome, f"{prefix}: {asked.reason}.", {"rows": 0.0}), {}
    answers, failures = _answer_rows(spec.model, asked.rows, client, asked.answers.shape[1:])
    report = judge_replay(
        spec.rollout.replay,
        spec.target.kind,
        asked.answers,
        answers,
        _latencies(spec.model, asked.rows, client, failures),
        spec.serving.latency_ms,
        decode_labels(LabelSpace.of(bundle.contract, bundle.profile), asked.outcomes),
        failures,
        asked.rows,
    )
    return _verdict(report), _report_metadata(report)


def _answer_rows(model: str, rows: pa.Table, client: Client, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Answers in bulk, and which rows have none. A bulk that is refused is halved until the rows are found."""
    try:
        return client.scores(model, rows), np.zeros(len(rows), dtype=bool)
    except EndpointError:
        if len(rows) == 1:
            return np.zeros((1, *shape)), np.ones(1, dtype=bool)
    middle = len(rows) // 2
    parts = [_answer_rows(model, part, client, shape) for part in (rows.slice(0, middle), rows.slice(middle))]
    answers, failures = zip(*parts, strict=True)
    return np.concatenate(answers), np.concatenate(failures)


def _latencies(model: str, rows: pa.Table, client: Client, failures: np.ndarray) -> np.ndarray:
    """Milliseconds of single requests, over rows that can be answered."""
    places = np.flatnonzero(~failures)[:_TIMED]
    timed = (client.timed(model, row) for row in rows.take(places).to_pylist())
    return np.array([taken for answer, taken in timed if not isinstance(answer, RefusedRequest)])


def _verdict(report: ReplayReport) -> Verdict:
    """One verdict of four. Too few rows stop nothing: a young model has no log."""
    told = " ".join(f"{verdict.name}: {verdict.reason}" for verdict in report.verdicts)
    outcome = Outcome.FAIL if report.stops else Outcome.PASS
    return Verdict(ServingCheck.REPLAY, outcome, told, numbers_of(report.verdicts) | {"rows": float(report.rows)})


def _report_metadata(report: ReplayReport) -> Mapping[str, Any]:
    plot = picture(draw_agreement(report), "replay")
    return {"replay": dg.MetadataValue.md(markdown(report)), "plot_replay": plot}
