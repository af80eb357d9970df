"""The Open Inference Protocol, version 2, without a transport: what its REST and its gRPC door have in common.

Describes models, counts what they did, reads the parameters of a request, turns an answer into tensors.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from serving.contract.fields import Contract
from serving.engine.answer import Answer, answer_scores, list_by_row, list_labels
from serving.engine.engine import Engine
from serving.models.served_models import ServedArm, ServedModel
from serving.problems import RETRY, InvalidInput, NotFound, Problem, Unavailable

NAME, VERSION = "mlops_assets", "1"
EXTENSIONS = ("binary_tensor_data", "statistics", "model_repository")
_DATATYPES = {"number": "FP64", "integer": "INT64", "boolean": "BOOL", "text": "BYTES"}


class OutputTensor(NamedTuple):
    name: str
    datatype: str
    shape: list[int]
    values: np.ndarray | list[str]


def find_arm(engine: Engine, model: str, version: str | None) -> tuple[ServedModel, ServedArm]:
    """The arm that is described where this version is asked for; the champion where none is."""
    served = engine.served(model)
    if version is None:
        return served, served.champion
    arm = served.by_version(version)
    if arm is None:
        raise NotFound(f"version {version[:100]} is not served")
    return served, arm


def check_ready(engine: Engine, model: str, version: str | None) -> None:
    """NotFound or Unavailable where the model, or the version that is named, would not answer for long."""
    find_arm(engine, model, version)
    if not engine.models.is_ready(model):
        raise Unavailable(f"the release of {model} was deleted", retry_after=RETRY)


def describe_model(served: ServedModel, arm: ServedArm) -> dict[str, Any]:
    contract = arm.loaded.contract
    return {
        "name": served.release.model,
        "versions": sorted({arm.version for arm in served.arms.values()}),
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": f.name, "datatype": _DATATYPES[f.type], "shape": [-1]} for f in contract.fields],
        "outputs": output_tensors(contract),
    }


def output_tensors(contract: Contract) -> list[dict[str, Any]]:
    output = contract.outputs[0]
    shape = [-1] if output.size == 1 else [-1, output.size]
    tensors: list[dict[str, Any]] = [{"name": output.name, "datatype": "FP32", "shape": shape}]
    if contract.kind != "regression":
        tensors.append({"name": "label", "datatype": "BYTES", "shape": [-1]})
    return tensors


def statistics(engine: Engine, model: str | None, version: str | None) -> list[dict[str, Any]]:
    """Counts and seconds of each version, in the words of Triton's statistics extension."""
    names = sorted(engine.models.served) if model is None else [model]
    return [entry for name in names for entry in _statistics_of(engine, name, version)]


def _statistics_of(engine: Engine, model: str, version: str | None) -> list[dict[str, Any]]:
    entries = []
    for arm in engine.served(model).arms.values():
        if version is not None and arm.version != version:
            continue
        meter = arm.meter
        meter.fold()
        count, nanoseconds = int(meter.latency.counts.sum()), int(meter.latency.total * 1e9)
        failed = sum(n for (name, _), n in meter.counts.items() if name == "errors")
        entries.append(
            {
                "name": model,
                "version": arm.version,
                "inference_count": int(meter.rows.total),
                "execution_count": count,
                "inference_stats": {
                    "success": {"count": count, "ns": nanoseconds},
                    "fail": {"count": failed, "ns": 0},
                },
            }
        )
    if version is not None and not entries:
        raise NotFound(f"version {version[:100]} of {model} is not served")
    return entries


def repository(engine: Engine, *, ready: bool) -> list[dict[str, str]]:
    """Every version that is served, and models that could not be; `ready`: only what answers."""
    models = engine.models
    entries = [
        {"name": name, "version": version, "state": "READY", "reason": ""}
        for name, served in sorted(models.served.items())
        for version in sorted({arm.version for arm in served.arms.values()})
    ]
    missing = {name: trouble for name, trouble in sorted(models.troubles.items()) if name not in models.served}
    if not ready:
        entries += [{"name": n, "version": "", "state": "UNAVAILABLE", "reason": t.reason} for n, t in missing.items()]
    return entries


def stamp(answer: Answer) -> dict[str, Any]:
    """Where an answer comes from: the parameters of every response. Of rows of several arms, `arms` and `versions`."""
    of_rows = {f"{field}s": ",".join(list_by_row(answer, field)) for field in ("arm", "version") if answer.parts}
    return {
        **of_rows,
        "request_id": answer.request_id,
        "arm": answer.arm,
        "provider": answer.provider,
        "generation": answer.generation,
        "degraded": answer.degraded,
        "why": "; ".join(answer.why),
        "notes": "; ".join(answer.notes),
    }


def check_outputs(contract: Contract, names: Sequence[Any]) -> None:
    there = [tensor["name"] for tensor in output_tensors(contract)]
    wrong = [str(name)[:100] for name in names if name not in there]
    if wrong:
        raise InvalidInput([Problem(name, None, f"is no output; there are {', '.join(there)}") for name in wrong])


def answer_tensors(answer: Answer, names: Sequence[str]) -> list[OutputTensor]:
    """The tensors of these outputs; of all that the answer has where none is named."""
    check_outputs(answer.contract, names)
    scores, contract = answer_scores(answer), answer.contract
    if scores is None:
        return _default(answer, names)
    tensors = []
    for name in names or _every(contract):
        if name == "label" and contract.kind != "regression":
            tensors.append(OutputTensor(name, "BYTES", [len(scores)], list_labels(answer) or []))
        else:
            tensors.append(OutputTensor(name, "FP32", list(scores.shape), scores))
    return tensors


def _every(contract: Contract) -> list[str]:
    name = contract.outputs[0].name
    return [name] if contract.kind == "regression" else [name, "label"]


def _default(answer: Answer, names: Sequence[str]) -> list[OutputTensor]:
    """The declared default, {output: value}, the same for each row. An output it does not name cannot be given."""
    declared = answer.default or {}
    tensors, problems = [], []
    for described in output_tensors(answer.contract):
        name = described["name"]
        if names and name not in names:
            continue
        if name not in declared:
            problems += [f"the declared default has no {name}"] if names else []
            continue
        try:
            tensors.append(_repeated(answer, described, declared[name]))
        except (TypeError, ValueError, KeyError):
            problems.append(f"the declared default's {name} is no {described['datatype']} {described['shape'][1:]}")
    if problems or not tensors:
        reasons = "; ".join(problems) or "the declared default names no output of this model"
        raise Unavailable(f"no version could answer, and {reasons}: {'; '.join(answer.why)}", retry_after=RETRY)
    return tensors


def _repeated(answer: Answer, described: Mapping[str, Any], value: Any) -> OutputTensor:
    shape = [answer.rows, *described["shape"][1:]]
    if described["datatype"] == "BYTES":
        return OutputTensor(described["name"], "BYTES", shape, [str(value)] * answer.rows)
    if isinstance(value, Mapping):  # a probability for each class, by its name
        value = [value[name] for name in answer.contract.classes]
    one = np.asarray(value, dtype=np.float32)
    if list(one.shape) != shape[1:]:
        raise ValueError(one.shape)
    return OutputTensor(described["name"], "FP32", shape, np.broadcast_to(one, shape))
