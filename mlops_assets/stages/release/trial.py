"""Starts a version's Bento on a free port and finds out whether it serves. Asks every door."""

from collections.abc import Iterator, Mapping
from enum import Enum, auto
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.release.replay_rows import NoReplay, Replayable
from mlops_assets.domain.release.serving_checks import judge_doors, judge_golden, judge_latency, judge_provider
from mlops_assets.domain.verdict import Verdict
from mlops_assets.resources.release.bento import Bento, Bentos
from mlops_assets.resources.release.client import Client, RefusedRequest
from mlops_assets.stages.release.replay import replay_requests
from mlops_assets.stages.release.start import ReleaseTrial
from serving.contract.bundle import Bundle
from serving.contract.encoding import pack_rows

_START = 120  # seconds until it has to be ready
_REQUESTS = 200  # on which latency is measured
_FAR = ("far above", "far below")  # golden requests that the policy for out-of-range values changes


class _Due(Enum):
    """What has to become of a golden request."""

    EXACT = auto()
    ANSWERED = auto()
    REFUSED = auto()


def run_trial(
    spec: ModelSpec, bento: Bento, bundle: Bundle, bentos: Bentos, *, asked: Replayable | NoReplay, log: Path
) -> ReleaseTrial:
    """Start it, ask it, stop it."""
    with bentos.running(bento, provider=spec.serving.provider, log=log) as url, Client(url) as client:
        try:
            client.wait_ready(_START)
        except TimeoutError as err:
            raise TimeoutError(f"{bento.tag} does not start: {err}. The end of its log:\n{_tail(log)}") from err
        (arm,) = client.releases()[spec.model]["arms"]
        shown = tuple(_verdicts(spec, bundle, client, arm["provider"]))
        replay, told = replay_requests(spec, bundle, asked, client)
        return ReleaseTrial(bento, arm["provider"], (*shown, replay), told)


def _verdicts(spec: ModelSpec, bundle: Bundle, client: Client, ran: str) -> Iterator[Verdict]:
    requests = bundle.golden["requests"]
    told = [client.ask(spec.model, [request["row"]]) for request in requests]
    plain = [place for place, request in enumerate(requests) if request["name"] not in _FAR]
    exact = [place for place in plain if _due(spec, bundle, requests[place]) is _Due.EXACT]
    wrong = [text for place, request in enumerate(requests) if (text := _wrong(spec, bundle, request, told[place]))]
    yield judge_golden(wrong, len(requests))
    yield judge_provider(spec.serving.provider, ran)
    if wrong:
        return
    rows = [requests[place]["row"] for place in exact]
    answers = [_numbers(bundle, answer) for place in exact if not isinstance(answer := told[place], RefusedRequest)]
    yield judge_doors(_differences(spec, bundle, client, rows, answers=np.array(answers)), _allowed(bundle))
    yield judge_latency(client.latency(spec.model, rows[0], _REQUESTS), spec.serving.latency_ms)


def _due(spec: ModelSpec, bundle: Bundle, request: Mapping[str, Any]) -> _Due:
    """What has to become of a golden request: the graph answers all of them, the endpoint guards some."""
    for field in bundle.contract.fields:
        value = request["row"][field.name]
        if value is not None and isinstance(value, str) is not (field.type == "text"):
            return _Due.REFUSED
    if request["name"] in _FAR and bundle.contract.numbers:
        return {"reject": _Due.REFUSED, "clip": _Due.ANSWERED, "flag": _Due.EXACT}[spec.serving.out_of_range]
    return _Due.EXACT


def _wrong(
    spec: ModelSpec, bundle: Bundle, request: Mapping[str, Any], told: Mapping[str, Any] | RefusedRequest
) -> str | None:
    due, name = _due(spec, bundle, request), request["name"]
    if isinstance(told, RefusedRequest):
        return None if due is _Due.REFUSED else f"{name}: refused with {told.status}: {told.text}"
    if due is _Due.REFUSED:
        return f"{name}: answered, though it is no valid request under serving.out_of_range {spec.serving.out_of_range}"
    answer, near = _numbers(bundle, told), bundle.golden
    if due is _Due.EXACT and not np.allclose(answer, request["answer"], rtol=near["relative"], atol=near["absolute"]):
        return f"{name}: answered {answer}, expected {request['answer']}"
    return None


def _differences(
    spec: ModelSpec, bundle: Bundle, client: Client, rows: list[Mapping[str, Any]], *, answers: np.ndarray
) -> Mapping[str, float]:
    kinds = {"number": pa.float64(), "integer": pa.int64(), "boolean": pa.bool_(), "text": pa.string()}
    here = bundle.predict(*pack_rows(rows, bundle.contract.numbers, bundle.contract.categories))
    table = pa.Table.from_pylist(rows, schema=pa.schema([(f.name, kinds[f.type]) for f in bundle.contract.fields]))
    bulk = client.scores(spec.model, table)
    return {"JSON": float(np.abs(answers - here).max()), "Arrow": float(np.abs(bulk - here).max())}


def _allowed(bundle: Bundle) -> float:
    largest = max(float(np.abs(each["answer"]).max()) for each in bundle.golden["requests"])
    return bundle.golden["absolute"] + bundle.golden["relative"] * largest


def _numbers(bundle: Bundle, told: Mapping[str, Any]) -> Any:
    """The first row's prediction, as the graph gives it."""
    prediction = told["predictions"][0]
    if bundle.contract.kind == "multiclass":
        return [prediction["probabilities"][name] for name in bundle.contract.classes]
    return prediction["probability" if bundle.contract.kind == "binary" else "value"]


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]
