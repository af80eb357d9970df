"""Lower precisions of an exported model. Only the network's own nodes are converted.

Encoder and head stay in full precision: their numbers (raw inputs, narrow bins, targets) do not fit into
fewer bits, and they cost next to nothing.
"""

import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import onnx
from onnx import compose, utils
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from mlops_assets.declaration.release import Precision
from mlops_assets.training.export import body_nodes


class ConversionError(ValueError):
    """The network uses something that a converter cannot handle."""


Convert = Callable[[onnx.ModelProto], onnx.ModelProto]
_PREFIX = "body/"


def to_fp16(core: onnx.ModelProto) -> onnx.ModelProto:
    """Weights and arithmetic of the network in half precision."""
    return _with_body(core, lambda body: convert_float_to_float16(body, keep_io_types=True))


def to_int8(core: onnx.ModelProto) -> onnx.ModelProto:
    """Weights of matrix products and embeddings as int8, activations quantised as they come."""
    return _with_body(core, _quantised)


CONVERSIONS: Mapping[Precision, Convert] = {
    Precision.FP32: lambda core: core,
    Precision.FP16: to_fp16,
    Precision.INT8: to_int8,
}


def _quantised(body: onnx.ModelProto) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder, _quiet():
        source, prepared, target = (Path(folder) / f"{name}.onnx" for name in ("source", "prepared", "target"))
        onnx.save(body, source)
        quant_pre_process(source, prepared)
        quantize_dynamic(prepared, target, weight_type=QuantType.QInt8)
        return onnx.load(target)


def _with_body(core: onnx.ModelProto, convert: Convert) -> onnx.ModelProto:
    """The core with the nodes of its network replaced by their conversion."""
    names = body_nodes(core)
    if not names:
        raise ConversionError("the exported graph has no node of the network")
    inside = [node for node in core.graph.node if node.name in names]
    outside = [node for node in core.graph.node if node.name not in names]
    entering, leaving = _borders(core, inside, outside)
    try:
        body = convert(utils.Extractor(core).extract_model(entering, leaving))
    except Exception as err:  # converters raise anything from AssertionError to RuntimeError
        raise ConversionError(f"{type(err).__name__}: {err}") from err
    graph = compose.add_prefix_graph(
        body.graph, _PREFIX, rename_inputs=False, rename_outputs=False, rename_value_infos=False
    )
    whole = onnx.ModelProto()
    whole.CopyFrom(core)
    del whole.graph.node[:], whole.graph.initializer[:], whole.graph.value_info[:]
    whole.graph.node.extend([*outside, *graph.node])
    used = {name for node in outside for name in node.input}
    whole.graph.initializer.extend(i for i in core.graph.initializer if i.name in used)
    whole.graph.initializer.extend(graph.initializer)
    known = {entry.domain for entry in whole.opset_import}
    whole.opset_import.extend(entry for entry in body.opset_import if entry.domain not in known)
    OnnxModel(whole).topological_sort(is_deterministic=True)
    return whole


def _borders(
    core: onnx.ModelProto, inside: list[onnx.NodeProto], outside: list[onnx.NodeProto]
) -> tuple[list[str], list[str]]:
    """The tensors that enter the network and those that leave it."""
    constants = {initialiser.name for initialiser in core.graph.initializer}
    made = {name for node in inside for name in node.output}
    needed = [name for node in inside for name in node.input if name]
    entering = dict.fromkeys(name for name in needed if name not in made | constants)
    wanted = {name for node in outside for name in node.input} | {value.name for value in core.graph.output}
    leaving = [name for node in inside for name in node.output if name in wanted]
    return list(entering), leaving


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser advises, on the root logger, to do what was just done."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)
