"""Small bundles with a real ONNX graph, for tests about what happens to a bundle."""

from pathlib import Path

from onnx import ModelProto, TensorProto, helper

from serving.contract.bundle import CARD, CONTRACT, GOLDEN, MODEL, PROFILE, write_bundle
from serving.contract.fields import FORMAT, Contract, Field, Output

_OPSET = 18


def tiny_bundle(root: Path, content: str) -> Path:
    """A bundle that answers with its one number, missing as 0; `content` makes it another one."""
    files = {
        MODEL: _graph().SerializeToString(),
        CONTRACT: tiny_contract().to_json(),
        PROFILE: b"{}",
        GOLDEN: b'{"requests": [], "absolute": 0, "relative": 0}',
        CARD: f"# {content}\n".encode(),
    }
    return root / write_bundle(root, files)


def tiny_contract() -> Contract:
    """Takes `distance` and `carrier`, gives `probability`."""
    number = Field("distance", "number", "number", True, 0.0, 9.0, (), False)
    category = Field("carrier", "text", "category", True, None, None, ("AA",), False)
    return Contract(
        format=FORMAT,
        model="m",
        kind="binary",
        classes=("0", "1"),
        fields=(number, category),
        entity=("origin",),
        outputs=(Output("probability", 1),),
        threshold=0.5,
        feature_service="flight_delay_v1",
        training_set="t1",
        commit="abc",
        precision="fp32",
        opset=_OPSET,
        out_of_range="flag",
    )


def _graph() -> ModelProto:
    node, value = helper.make_node, helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            node("IsNaN", ["numbers"], ["missing"]),
            node("Where", ["missing", "zero", "numbers"], ["filled"]),
            node("ReduceSum", ["filled", "columns"], ["sum"], keepdims=0),
            node("Cast", ["sum"], ["probability"], to=TensorProto.FLOAT),
        ],
        "tiny",
        [value("numbers", TensorProto.DOUBLE, ["n", 1]), value("categories", TensorProto.STRING, ["n", 1])],
        [value("probability", TensorProto.FLOAT, ["n"])],
        [
            helper.make_tensor("columns", TensorProto.INT64, [1], [1]),
            helper.make_tensor("zero", TensorProto.DOUBLE, [1], [0.0]),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=10)
