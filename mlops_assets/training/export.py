"""Turns a trained model into an ONNX graph whose inputs are raw: `numbers` double [n, K], `categories` text
[n, C].

The vocabulary is the graph's hand-made front: each text gets its column's number as prefix, one
LabelEncoder finds its row in the shared embedding table, and what it does not find is its column's
"unknown". Everything numeric is exported from torch. An input is absent where the model has none of its
kind.
"""

import logging
import warnings

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from mlops_assets.declaration.data import Kind
from mlops_assets.training.layout import FIRST_VALUE, MISSING_ROW, UNKNOWN_ROW, Layout
from mlops_assets.training.network import Model

OPSET = 20  # StringConcat came with 20
OPSET_ML = 4
BODY = "model.network"  # scope of the nodes that may run in lower precision
_FRONT = "vocabulary/"


def output_of(kind: Kind) -> str:
    """The name of the graph's one output."""
    names = {Kind.BINARY: "probability", Kind.MULTICLASS: "probabilities", Kind.REGRESSION: "value"}
    return names[kind]


def export_core(model: Model) -> onnx.ModelProto:
    """`numbers` and `codes` → answers, in float32, with any batch size."""
    layout = model.layout
    served = _Served(model).eval()
    samples = {"numbers": torch.zeros(2, len(layout.numbers), dtype=torch.float64)} if layout.numbers else {}
    if layout.categories:
        samples["codes"] = torch.tensor([layout.offsets, layout.offsets], dtype=torch.int64)
    return _exported(served, samples, output_of(layout.kind))


def with_vocabulary(core: onnx.ModelProto, layout: Layout) -> onnx.ModelProto:
    """The whole graph, checked, and free of anything that differs between two exports of the same weights."""
    whole = onnx.ModelProto()
    whole.CopyFrom(core)
    graph = whole.graph
    if layout.categories:
        nodes, initialisers = _front(layout)
        kept = [*nodes, *graph.node]
        del graph.node[:]
        graph.node.extend(kept)
        graph.initializer.extend(initialisers)
        inputs = [value for value in graph.input if value.name != "codes"]
        shape = ["batch", len(layout.categories)]
        inputs.append(helper.make_tensor_value_info("categories", TensorProto.STRING, shape))
        del graph.input[:]
        graph.input.extend(inputs)
        whole.opset_import.append(helper.make_opsetid("ai.onnx.ml", OPSET_ML))
    _strip(whole)
    onnx.checker.check_model(whole)
    return whole


def body_nodes(core: onnx.ModelProto) -> set[str]:
    """The nodes that come from the network itself, not from encoder or head."""
    return {
        node.name
        for node in core.graph.node
        for entry in node.metadata_props
        if entry.key == "namespace" and f"/{BODY}: " in entry.value
    }


class _Served(nn.Module):
    """What is exported: absent inputs are empty tensors, logits become answers."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, numbers: Tensor | None = None, codes: Tensor | None = None) -> Tensor:
        present = numbers if numbers is not None else codes
        assert present is not None
        numbers = present.new_zeros((present.shape[0], 0), dtype=torch.float64) if numbers is None else numbers
        codes = present.new_zeros((present.shape[0], 0), dtype=torch.int64) if codes is None else codes
        return self.model.answer(self.model(numbers, codes))


def _exported(served: nn.Module, samples: dict[str, Tensor], output: str) -> onnx.ModelProto:
    batch = torch.export.Dim("batch", min=1)
    with warnings.catch_warnings(), _Quiet():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            served,
            (),
            kwargs=samples,
            dynamo=True,
            dynamic_shapes={name: {0: batch} for name in samples},
            input_names=list(samples),
            output_names=[output],
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


class _Quiet:
    """The exporter tells about packages that are not installed; nobody asked for them."""

    def __enter__(self) -> None:
        self.logger = logging.getLogger("torch.onnx")
        self.before = self.logger.level
        self.logger.setLevel(logging.ERROR)

    def __exit__(self, *caught: object) -> None:
        self.logger.setLevel(self.before)


def _front(layout: Layout) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    columns = range(len(layout.categories))
    offsets = np.array(layout.offsets, dtype=np.int64)
    prefixes = np.array([[f"{c}:" for c in columns]], dtype=object)
    keys, rows = _vocabulary(layout)
    constants = {
        "prefix": prefixes,
        "unknown": offsets[None] + UNKNOWN_ROW,
        "zero": np.zeros((), dtype=np.int64),
    }
    nodes = [
        helper.make_node("StringConcat", [_FRONT + "prefix", "categories"], [_FRONT + "keys"]),
        helper.make_node(
            "LabelEncoder",
            [_FRONT + "keys"],
            [_FRONT + "found"],
            domain="ai.onnx.ml",
            keys_strings=keys,
            values_int64s=rows,
            default_int64=-1,
        ),
        helper.make_node("Less", [_FRONT + "found", _FRONT + "zero"], [_FRONT + "absent"]),
        helper.make_node("Where", [_FRONT + "absent", _FRONT + "unknown", _FRONT + "found"], ["codes"]),
    ]
    for node in nodes:
        node.name = _FRONT + node.op_type
    return nodes, [_constant(_FRONT + name, value) for name, value in constants.items()]


def _constant(name: str, value: np.ndarray) -> TensorProto:
    return numpy_helper.from_array(value, name)


def _vocabulary(layout: Layout) -> tuple[list[str], list[int]]:
    """Every known text with its column's prefix, and its row of the embedding table; no text is "missing"."""
    keys, rows = [], []
    for position, (column, offset) in enumerate(zip(layout.categories, layout.offsets, strict=True)):
        keys += [f"{position}:", *(f"{position}:{value}" for value in column.values)]
        rows += [offset + MISSING_ROW, *range(offset + FIRST_VALUE, offset + column.rows)]
    return keys, rows


def _strip(model: onnx.ModelProto) -> None:
    """Traces of the machine that exported: file names, line numbers, shapes on the way."""
    for holder in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        del holder.metadata_props[:]
        holder.doc_string = ""
    for initialiser in model.graph.initializer:
        del initialiser.metadata_props[:]
        initialiser.doc_string = ""
    del model.graph.value_info[:]
    model.producer_version = ""
