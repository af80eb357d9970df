"""Real bundles with small hand-made graphs, for tests of the endpoint."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from serving.contract import bundle as bundles
from serving.contract.arms import Role, Strategy
from serving.contract.encoding import pack_rows
from serving.contract.fields import FORMAT, Contract, Field, Output
from serving.contract.release import Arm, Bandit, Guards, Provider, Release, Reward

AIRLINES = ("AA", "UA")


def number(name: str, *, type: str = "number", lower: float | None = -10.0, upper: float | None = 10.0) -> Field:
    return Field(name, type, "number", True, lower, upper, (), False)


def category(name: str, values: Sequence[str] = AIRLINES, *, type: str = "text") -> Field:
    return Field(name, type, "category", True, None, None, tuple(values), False)


def contract(
    fields: Sequence[Field],
    *,
    model: str = "delay",
    kind: str = "binary",
    entity: Sequence[str] = (),
    out_of_range: str = "flag",
    service: str = "",
) -> Contract:
    outputs = {
        "binary": Output("probability", 1),
        "multiclass": Output("probabilities", 3),
        "regression": Output("value", 1),
    }
    classes = {"binary": ("no", "yes"), "multiclass": ("a", "b", "c"), "regression": ()}
    return Contract(
        format=FORMAT, model=model, kind=kind, classes=classes[kind], fields=tuple(fields), entity=tuple(entity),
        outputs=(outputs[kind],), threshold=0.5 if kind == "binary" else None, feature_service=service,
        training_set="0" * 64, commit="0" * 40, precision="fp32", opset=20, out_of_range=out_of_range,
    )  # fmt: skip


def network(
    given: Contract, *, hidden: Sequence[int] = (8,), seed: int = 0, fails_above: float | None = None
) -> onnx.ModelProto:
    """Numbers (missing as 0) and "is it AA?" for each category → a multilayer perceptron.

    `fails_above`: the sum of the numbers above which the graph fails, as a broken version would.
    """
    draw = np.random.default_rng(seed)
    nodes, constants, parts, inputs = [], [], [], []

    def constant(name: str, value: Any) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    if given.numbers:
        inputs.append(helper.make_tensor_value_info("numbers", TensorProto.DOUBLE, ["n", len(given.numbers)]))
        nodes += [
            helper.make_node("IsNaN", ["numbers"], ["missing"]),
            helper.make_node("Where", ["missing", constant("zero", np.float64(0)), "numbers"], ["filled"]),
            helper.make_node("Clip", ["filled", constant("low", -1e6), constant("high", 1e6)], ["bounded"]),
            helper.make_node("Cast", ["bounded"], ["x_numbers"], to=TensorProto.FLOAT),
        ]
        parts.append("x_numbers")
    if given.categories:
        inputs.append(helper.make_tensor_value_info("categories", TensorProto.STRING, ["n", len(given.categories)]))
        words = np.array(["AA"], dtype=object)
        nodes += [
            helper.make_node("Equal", ["categories", constant("aa", words)], ["is_aa"]),
            helper.make_node("Cast", ["is_aa"], ["x_categories"], to=TensorProto.FLOAT),
        ]
        parts.append("x_categories")
    nodes.append(helper.make_node("Concat", parts, ["h0"], axis=1))
    width = len(given.fields)
    for layer, size in enumerate((*hidden, given.outputs[0].size), start=1):
        weights = (draw.normal(size=(width, size)) / np.sqrt(width)).astype(np.float32)
        nodes.append(helper.make_node("MatMul", [f"h{layer - 1}", constant(f"w{layer}", weights)], [f"z{layer}"]))
        if layer <= len(hidden):
            nodes.append(helper.make_node("Relu", [f"z{layer}"], [f"h{layer}"]))
        width, last = size, f"z{layer}"
    if fails_above is not None:
        last = _trap(nodes, constant, last, fails_above)
    output = given.outputs[0]
    shape = ["n"] if output.size == 1 else ["n", output.size]
    nodes += _head(given.kind, last, output.name, constant)
    graph = helper.make_graph(
        nodes, "g", inputs, [helper.make_tensor_value_info(output.name, TensorProto.FLOAT, shape)], constants
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return model


def _trap(nodes: list[Any], constant: Any, last: str, above: float) -> str:
    """Turns a large input into NaN answers: 0 / 0."""
    nodes += [
        helper.make_node("ReduceMax", ["x_numbers", constant("axes", np.array([1]))], ["largest"], keepdims=1),
        helper.make_node("Greater", ["largest", constant("limit", np.float32(above))], ["bad"]),
        helper.make_node("Where", ["bad", constant("nan", np.float32("nan")), last], ["trapped"]),
    ]
    return "trapped"


def _head(kind: str, last: str, name: str, constant: Any) -> list[Any]:
    if kind == "multiclass":
        return [helper.make_node("Softmax", [last], [name], axis=1)]
    squeeze = helper.make_node("Squeeze", [last, constant("one", np.array([1]))], ["flat"])
    return [squeeze, helper.make_node("Sigmoid" if kind == "binary" else "Identity", ["flat"], [name])]


def make_bundle(root: Path, given: Contract, **how: Any) -> str:
    """Write a bundle under `root`; its digest."""
    content = network(given, **how).SerializeToString()
    rows = [_row(given, i) for i in range(4)]
    session = bundles.Session(given, bundles.open_session(content, "cpu", threads=1))
    answers = session.predict(*pack_rows(rows, given.numbers, given.categories))
    requests = [
        {"name": f"row {i}", "row": row, "answer": answer}
        for i, (row, answer) in enumerate(zip(rows, answers.tolist(), strict=True))
    ]
    quantiles = {"rows": 3, "quantiles": [-1.0, 0.5, 1.0]}
    profile = {
        "numbers": dict.fromkeys(given.numbers, quantiles),
        "categories": {name: {"counts": {"UA": 2, "AA": 1}} for name in given.categories},
    }
    files = {
        bundles.MODEL: content,
        bundles.CONTRACT: given.to_json(),
        bundles.PROFILE: json.dumps(profile).encode(),
        bundles.GOLDEN: json.dumps({"absolute": 1e-5, "relative": 0.0, "requests": requests}).encode(),
        bundles.CARD: b"# A model for tests\n",
    }
    root.mkdir(parents=True, exist_ok=True)
    return bundles.write_bundle(root, files)


def _row(given: Contract, index: int) -> dict[str, Any]:
    values = {
        "number": index / 4 - 0.5,
        "integer": index,
        "boolean": index % 2 == 0,
        "text": AIRLINES[index % 2],
    }
    return {field.name: None if index == 3 else values[field.type] for field in given.fields}


def release(*arms: tuple[str, str, Role, float], generation: int = 1, **other: Any) -> Release:
    """`arms`: (name, digest, role, weight); the version is the name's."""
    made = tuple(
        Arm(name, f"1.0.{index}", digest, role, weight) for index, (name, digest, role, weight) in enumerate(arms)
    )
    values: dict[str, Any] = {
        "model": "delay", "generation": generation, "strategy": Strategy.BLUE_GREEN, "arms": made,
        "guards": Guards(latency_ms=100.0, error_share=0.5), "bandit": None, "fallback": None, "default": None,
        "provider": Provider.CPU, "salt": "s1", "opened_at": datetime(2026, 1, 1, tzinfo=UTC),
    } | other  # fmt: skip
    return Release(**values)


def bandit(reward: Reward = Reward.BINARY, *, epsilon: float = 0.1, floor: float = 0.05) -> Bandit:
    return Bandit(epsilon=epsilon, floor=floor, reward=reward)
