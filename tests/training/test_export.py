"""The graph: torch = ONNX on ordinary and on hostile rows, in every precision, for every kind."""

import dataclasses
from itertools import product

import numpy as np
import onnx
import pytest
import torch

from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.release import Precision
from mlops_assets.domain.records import Compressed, Inputs
from mlops_assets.training.compress import choose, differences, judge, measure_variants
from mlops_assets.training.export import OPSET, body_nodes, export_core, output_of, with_vocabulary
from mlops_assets.training.fitting import learn_layout
from mlops_assets.training.loop import answers_of, logits_of
from mlops_assets.training.network import Model, build
from mlops_assets.training.rows import Rows, on_device, pack
from mlops_assets.training.steps import calibrate, fit_scaling
from serving.contract.bundle import open_session
from tests.training.synthetic import CLASSES, INPUTS, NETWORK, table

CPU = torch.device("cpu")
OWN = NETWORK.with_changes(type="tests.training.own_network.Wide", options={"hidden": 8})


def model_of(kind: Kind, inputs: Inputs = INPUTS, network=NETWORK, transform: str = "none") -> Model:
    """Untrained, but with weights, slope and bias that matter."""
    rows = pack(table(kind, 300), inputs)
    torch.manual_seed(0)
    model = build(learn_layout(rows, inputs, kind, classes=CLASSES[kind], bins=8, transform=transform), network).eval()
    model.slope.fill_(1.3)
    model.bias.add_(0.2)
    return model


def hostile(inputs: Inputs) -> Rows:
    """Ordinary rows, then every combination of awkward numbers and categories."""
    ordinary = pack(table(Kind.BINARY, 60, seed=9), inputs)
    numbers = [np.nan, np.inf, -np.inf, 1e308, -1e308, 5e-324, 0.0]
    words = ["", "never seen", "red", "0:red", "3", "é\n\t", " "]
    pairs = list(product(numbers, words))
    extremes = np.array([[number] * len(inputs.numbers) for number, _ in pairs]).reshape(len(pairs), -1)
    texts = np.array([[word] * len(inputs.categories) for _, word in pairs], dtype=object)
    return Rows(
        np.vstack([ordinary.numbers, extremes]),
        np.vstack([ordinary.categories, texts.reshape(len(pairs), -1)]),
        np.zeros(len(ordinary) + len(pairs), dtype=np.int64),
    )


def run(model: onnx.ModelProto, rows: Rows) -> np.ndarray:
    session = open_session(model.SerializeToString(), "cpu", threads=1)
    feed = {"numbers": rows.numbers, "categories": rows.categories}
    return np.asarray(session.run(None, {n: a for n, a in feed.items() if a.shape[1]})[0])


CASES = [
    (Kind.BINARY, INPUTS, NETWORK, "none"),
    (Kind.MULTICLASS, INPUTS, NETWORK, "none"),
    (Kind.REGRESSION, INPUTS, NETWORK, "none"),
    (Kind.REGRESSION, INPUTS, NETWORK, "log1p"),
    (Kind.BINARY, INPUTS, OWN, "none"),
    (Kind.BINARY, Inputs(INPUTS.numbers, ()), NETWORK, "none"),
    (Kind.MULTICLASS, Inputs((), INPUTS.categories), NETWORK, "none"),
]


@pytest.mark.parametrize(("kind", "inputs", "network", "transform"), CASES)
def test_onnx_answers_as_torch_does(kind: Kind, inputs: Inputs, network, transform: str) -> None:
    model, rows = model_of(kind, inputs, network, transform), hostile(inputs)
    expected = answers_of(model, on_device(rows, model.layout, CPU))
    whole = with_vocabulary(export_core(model), model.layout)
    answers = run(whole, rows)

    assert np.isfinite(answers).all()
    assert answers.shape == expected.shape
    np.testing.assert_allclose(answers, expected, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(run(whole, rows.take(slice(0, 1))), expected[:1], rtol=2e-5, atol=2e-6)
    assert [value.name for value in whole.graph.output] == [output_of(kind)]
    present = {"numbers": inputs.numbers, "categories": inputs.categories}
    assert {value.name for value in whole.graph.input} == {name for name, columns in present.items() if columns}


def test_two_exports_are_the_same_bytes() -> None:
    model = model_of(Kind.BINARY)
    first, second = (
        with_vocabulary(export_core(model), model.layout).SerializeToString(deterministic=True) for _ in range(2)
    )

    assert first == second
    assert b".py" not in first
    assert {(o.domain, o.version) for o in onnx.load_from_string(first).opset_import} == {
        ("", OPSET),
        ("ai.onnx.ml", 4),
    }


@pytest.mark.parametrize(
    ("kind", "network"), [(Kind.BINARY, NETWORK), (Kind.MULTICLASS, OWN), (Kind.REGRESSION, NETWORK)]
)
def test_lower_precisions_are_measured_against_torch(kind: Kind, network) -> None:
    model, rows = model_of(kind, network=network), hostile(INPUTS)
    half = np.arange(len(rows)) % 2 == 0
    found = measure_variants(
        model, rows, [Precision.INT8, Precision.FP16], 0.2, slices={"half": half, "none": half & ~half}
    )

    assert [v.measured.precision for v in found] == [Precision.FP32, Precision.FP16, Precision.INT8]
    exact, fp16, int8 = found
    assert exact.measured.passed
    assert exact.measured.worst_difference < 1e-5
    assert 0 < fp16.measured.worst_difference < 0.02
    assert 0 < int8.measured.worst_difference < 0.2
    assert fp16.measured.bytes < exact.measured.bytes
    assert set(fp16.slices) == {"half"}
    assert fp16.slices["half"].rows == half.sum()
    assert fp16.slices["half"].worst <= fp16.measured.worst_difference
    assert onnx.TensorProto.FLOAT16 in {i.data_type for i in onnx.load_from_string(fp16.content).graph.initializer}
    assert onnx.TensorProto.INT8 in {i.data_type for i in onnx.load_from_string(int8.content).graph.initializer}


def test_what_cannot_be_converted_is_told_and_not_served() -> None:
    bag = OWN.with_changes(type="tests.training.own_network.Bag")
    model = model_of(Kind.BINARY, network=bag)
    exact, fp16 = measure_variants(model, hostile(INPUTS), [Precision.FP16], 0.2)

    assert exact.measured.passed
    assert not fp16.measured.passed
    assert fp16.measured.reason.startswith("cannot be converted: ")
    assert choose([exact.measured, fp16.measured]).precision is Precision.FP32


def test_only_the_network_itself_is_converted() -> None:
    core = export_core(model_of(Kind.BINARY))
    names = body_nodes(core)
    outside = {node.op_type for node in core.graph.node if node.name not in names}

    assert {"IsNaN", "Sigmoid"} <= outside
    assert "Gemm" not in outside


def measured(precision: Precision, **changes) -> Compressed:
    same = Compressed(
        precision=precision,
        passed=True,
        bytes=1_000,
        single_row_ms=1.0,
        batch_ms=10.0,
        worst_difference=0.0,
        mean_difference=0.0,
        reason="",
    )
    return dataclasses.replace(same, **changes)


@pytest.mark.parametrize(
    ("changes", "passed", "reason"),
    [
        ({"bytes": 500}, True, "0.50 of fp32's size"),
        ({"bytes": 500, "single_row_ms": 1.04, "batch_ms": 10.4}, True, "within"),
        ({"bytes": 500, "single_row_ms": 1.06}, False, "slower than fp32: 1.06"),
        ({"bytes": 500, "batch_ms": 11.0}, False, "1.10 for a batch"),
        ({"bytes": 1_100, "single_row_ms": 0.5}, True, "0.50 of its time"),
        ({"bytes": 1_100}, False, "neither smaller nor faster"),
        (
            {"bytes": 500, "worst_difference": 0.021},
            False,
            "differs from torch by up to 0.021, more than 0.02",
        ),
        ({"bytes": 500, "worst_difference": np.inf}, False, "differs from torch by up to inf"),
    ],
)
def test_the_gate_of_a_precision(changes: dict, passed: bool, reason: str) -> None:
    verdict = judge(measured(Precision.INT8, **changes), measured(Precision.FP32), 0.02)

    assert verdict.passed is passed
    assert reason in verdict.reason


def test_fp32_has_to_be_exact() -> None:
    wrong = judge(measured(Precision.FP32, worst_difference=1e-3), measured(Precision.FP32), 0.02)

    assert not wrong.passed
    with pytest.raises(ValueError, match="fp32 differs from torch"):
        choose([wrong])


@pytest.mark.parametrize(
    ("fp16", "int8", "chosen"),
    [
        ({"passed": False}, {"passed": False}, Precision.FP32),
        ({"single_row_ms": 0.8}, {"single_row_ms": 0.9}, Precision.FP16),
        ({"bytes": 600}, {"bytes": 300}, Precision.INT8),
        ({"bytes": 600}, {"bytes": 300, "passed": False}, Precision.FP16),
    ],
)
def test_the_fastest_then_the_smallest_is_chosen(fp16: dict, int8: dict, chosen: Precision) -> None:
    found = [measured(Precision.FP32), measured(Precision.FP16, **fp16), measured(Precision.INT8, **int8)]

    assert choose(found).precision is chosen


def test_differences_of_values_are_in_spreads_of_the_label() -> None:
    layout = model_of(Kind.REGRESSION, transform="log1p").layout
    reference = np.array([1.0, 10.0])
    moved = np.expm1(np.log1p(reference) + layout.target.scale)

    np.testing.assert_allclose(differences(moved, reference, layout), [1, 1], rtol=1e-6)
    assert differences(np.array([np.nan, 10.0]), reference, layout)[0] == 1e9


def test_scaling_recovers_what_distorted_the_logits() -> None:
    draw = torch.Generator().manual_seed(0)
    honest = torch.randn(20_000, 1, generator=draw, dtype=torch.float64)
    labels = (torch.rand(20_000, generator=draw, dtype=torch.float64) < torch.sigmoid(honest[:, 0])).long()

    slope, bias = fit_scaling(3 * honest + 1, labels, Kind.BINARY)

    assert slope == pytest.approx(1 / 3, rel=0.05)
    assert float(bias) == pytest.approx(-1 / 3, abs=0.05)


def test_labels_told_apart_without_error_keep_the_slope_finite() -> None:
    logits = torch.tensor([[-1.0], [1.0]] * 20, dtype=torch.float64)

    slope, _ = fit_scaling(logits, torch.tensor([0, 1] * 20), Kind.BINARY)

    assert 1 < slope < 1_000


def test_regression_is_not_calibrated() -> None:
    model = model_of(Kind.REGRESSION)
    rows = pack(table(Kind.REGRESSION, 50), INPUTS)
    data = on_device(rows, model.layout, CPU)
    calibrate(model, logits_of(model, data), data.targets)

    assert float(model.slope) == pytest.approx(1.3)
