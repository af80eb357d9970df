"""From a trained folder to a bundle that opens, answers and repeats itself."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.release import Precision, ServingSpec
from mlops_assets.domain.evaluation.metrics import METRICS
from mlops_assets.training.assemble import Assembled, assemble
from mlops_assets.training.profile import BINS, counts_between, describe_category, describe_number
from mlops_assets.training.rows import pack
from mlops_assets.training.train import train
from serving.contract.bundle import Bundle, open_bundle
from tests.training.synthetic import DECLARED, INPUTS, tables, training_set

SERVING = ServingSpec(
    precisions=(), parity=0.02, latency_ms=10.0, provider="cpu", out_of_range="flag",
    since=datetime(2026, 1, 1, tzinfo=UTC), log_retention=timedelta(days=30),
)  # fmt: skip
METRIC_OF = {Kind.BINARY: "auc", Kind.MULTICLASS: "accuracy", Kind.REGRESSION: "r2"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where trained models lie: each is trained once."""
    return tmp_path_factory.mktemp("models")


@dataclass(frozen=True)
class Bench:
    models: Path
    bundles: Path

    def make(
        self, kind: Kind, serving: ServingSpec = SERVING, commit: str = "c", **more: Any
    ) -> tuple[Assembled, Bundle]:
        found, rows = training_set(kind), tables(kind)
        folder = train(found, rows, DECLARED, metric=METRICS[METRIC_OF[kind]], root=self.models).folder
        made = assemble(folder, found, rows, serving, root=self.bundles, commit=commit, card="# Card\n", **more)
        return made, open_bundle(self.bundles / made.digest)


@pytest.fixture
def bench(models: Path, tmp_path: Path) -> Bench:
    return Bench(models, tmp_path)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_bundle_answers_and_keeps_its_golden_answers(bench: Bench, kind: Kind) -> None:
    made, bundle = bench.make(kind)
    rows = pack(tables(kind)["test"], INPUTS)
    answers = bundle.predict(rows.numbers, rows.categories)

    assert made.precision is Precision.FP32
    assert len(answers) == len(rows)
    assert bundle.check_golden() == ()
    names = [request["name"] for request in bundle.golden["requests"]]
    assert len(names) == 22
    assert {"everything missing", "unknown categories", "far above"} <= set(names)


def test_the_contract_says_what_the_model_takes(bench: Bench) -> None:
    _, bundle = bench.make(Kind.BINARY)
    contract = bundle.contract
    fields = {field.name: field for field in contract.fields}
    train_rows = tables(Kind.BINARY)["train"]

    assert tuple(fields) == INPUTS.names
    assert [fields[name].type for name in INPUTS.names] == [
        "number", "integer", "boolean", "number", "text", "integer", "text",
    ]  # fmt: skip
    assert fields["size"].nullable
    assert not fields["flag"].nullable
    assert fields["size"].upper == max(v for v in train_rows["size"].to_pylist() if v is not None)
    assert (fields["empty"].lower, fields["empty"].upper) == (None, None)
    assert set(fields["colour"].categories) == {"red", "green", "blue"}
    assert fields["code"].categories[0].isdigit()
    assert not fields["rare"].cut
    assert (contract.classes, contract.outputs[0].name, contract.threshold) == (
        ("no", "yes"),
        "probability",
        0.5,
    )
    assert (contract.training_set, contract.feature_service) == ("d" * 64, "sample_v1")


def test_the_same_inputs_give_the_same_bundle(bench: Bench, tmp_path: Path) -> None:
    first, _ = bench.make(Kind.BINARY)
    again, _ = Bench(tmp_path / "trained again", tmp_path / "elsewhere").make(Kind.BINARY)
    other, _ = bench.make(Kind.BINARY, commit="another")

    assert first.digest == again.digest != other.digest


def test_a_recorded_precision_can_be_rebuilt(bench: Bench) -> None:
    made, bundle = bench.make(Kind.BINARY, only=Precision.INT8)

    assert made.precision is Precision.INT8
    assert bundle.contract.precision == "int8"
    assert bundle.check_golden() == ()
    assert [m.precision for m in made.measured] == [Precision.FP32, Precision.INT8]


def test_the_profile_tells_what_training_looked_like(bench: Bench) -> None:
    _, bundle = bench.make(Kind.BINARY)
    profile = bundle.profile
    size = profile["numbers"]["size"]

    assert profile["rows"] == size["rows"] == 400
    assert sum(size["counts"]) + size["nulls"] == 400
    assert len(size["quantiles"]) == 1_001
    assert len(size["counts"]) == len(size["edges"]) + 1 == BINS
    assert sum(size["cells"]) + size["nulls"] == 400
    assert len(size["cells"]) == 2 * len(set(size["quantiles"])) + 1
    assert profile["numbers"]["empty"]["nulls"] == 400
    colours = profile["categories"]["colour"]
    assert sum(colours["counts"].values()) + colours["nulls"] == 400
    assert sum(profile["label"]["counts"].values()) == 400
    assert sum(profile["scores"]["histogram"]["counts"]) == profile["scores"]["rows"] == 200


def test_counts_of_two_windows_add_up() -> None:
    draw = np.random.default_rng(0).normal(size=1_000)
    described = describe_number(draw)
    edges = np.array(described["edges"])

    parts = counts_between(draw[:300], edges) + counts_between(draw[300:], edges)
    assert parts.tolist() == described["counts"]
    assert counts_between(np.array([edges[0]]), edges)[1] == 1


def test_a_profile_of_awkward_columns_is_plain_json() -> None:
    column = np.array([np.nan, np.inf, -np.inf, 1.7e308, -1.7e308, 1.7e308])
    described = describe_number(column)
    words = [f"v{i}" for i in range(1_500)]
    many = describe_category(np.array([*words, *words[:1_100], *words[:20], ""], dtype=object))

    json.dumps(described, allow_nan=False)
    assert (described["nulls"], described["infinite"]) == (1, 2)
    assert (len(many["counts"]), many["other"], many["distinct"], many["nulls"]) == (20, 2_560, 1_500, 1)
    assert many["cut"] == 2  # 1,080 values have that count: none of them is kept


def test_slices_are_measured_for_each_precision(bench: Bench) -> None:
    red = np.array([value == "red" for value in tables(Kind.BINARY)["test"]["colour"].to_pylist()])
    serving = SERVING.with_changes(precisions=(Precision.FP16,))
    made, _ = bench.make(Kind.BINARY, serving, slices={"red": red})

    assert made.slices[Precision.FP16]["red"].rows == red.sum()
