"""A whole evaluation, from scores to verdicts; the worked example of `domain.report`."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from pydantic import TypeAdapter

from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.evaluation import SliceSpec
from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.evaluation.comparison import Contenders, Opponent, worst_differences
from mlops_assets.domain.evaluation.evidence import FairnessReport
from mlops_assets.domain.evaluation.gates import Gate, judge
from mlops_assets.domain.evaluation.report import EvaluationReport, HeldOut, build_report
from mlops_assets.domain.evaluation.report_text import markdown, sections
from mlops_assets.domain.markdown import cell, table
from mlops_assets.domain.verdict import Outcome
from tests.kit.evaluated_model import SERVED, columns, predict, rows
from tests.kit.specs import model_spec

FAIR = FairnessReport((), (), ())


def spec() -> ModelSpec:
    plain = model_spec(
        slices=(SliceSpec(column="airport", minimum=100), SliceSpec(column="strong", bins=4, minimum=100))
    )
    gates = plain.gates.with_changes(metric="auc", confidence=0.975, baselines=("constant",), calibration=0.2)
    return plain.with_changes(gates=gates)


def contenders(given, champion: Opponent | None) -> Contenders:
    return Contenders(
        candidate=predict(given.numbers, given.categories),
        champion=champion,
        anchor=None,
        baselines={"constant": np.full(len(given), given.labels.mean())},
    )


def report(champion: Opponent | None = None, blocks: np.ndarray | None = None, seed: int = 0) -> EvaluationReport:
    given = rows()
    held_out = HeldOut(given, columns(given), columns(rows(seed=1)), blocks, None)
    return build_report(
        spec(),
        held_out,
        contenders(given, champion),
        predict=predict,
        served=SERVED,
        parity={"all rows": 1e-7, "airport: EWR": 2e-7},
        fairness=FAIR,
        rng=np.random.default_rng(seed),
        resamples=100,
        sampled=500,
    )


def worse(given) -> np.ndarray:
    numbers = given.numbers.copy()
    numbers[:, 0] *= np.random.default_rng(3).choice([1, -1], len(given), p=[0.8, 0.2])
    return predict(numbers, given.categories)


def test_from_scores_to_verdicts() -> None:
    found = report(Opponent("3", worse(rows())))
    verdicts = {v.name: v for v in judge(spec().gates, found.evidence)}
    assert {v.outcome for v in verdicts.values()} == {Outcome.PASS}, verdicts
    assert {(s.contender, s.version) for s in found.scores} == {
        ("candidate", None),
        ("champion", "3"),
        ("constant", None),
    }
    assert found.evidence.guards
    assert found.importance[0].name == "strong"


def test_the_first_version_has_no_champion_and_baselines_bind() -> None:
    found = report()
    verdicts = {v.name: v for v in judge(spec().gates, found.evidence)}
    assert "No champion yet" in verdicts[Gate.CHAMPION].reason
    assert verdicts[Gate.BASELINES].numbers["constant_low"] > 0


@pytest.mark.parametrize(
    ("opponent", "told"),
    [
        (Opponent("3", None, "bundle is gone"), "bundle is gone"),
        (Opponent("3", np.full(2000, np.nan)), "not finite"),
    ],
)
def test_an_incomparable_champion_is_an_error_and_no_win(opponent: Opponent, told: str) -> None:
    found = report(opponent)
    champion = {v.name: v for v in judge(spec().gates, found.evidence)}[Gate.CHAMPION]
    assert champion.outcome is Outcome.ERROR
    assert told in champion.reason


def test_a_report_is_json_and_comes_back_the_same() -> None:
    found = report(Opponent("3", worse(rows())), blocks=np.arange(2000) // 20)
    assert TypeAdapter(EvaluationReport).validate_json(found.as_json()) == found
    assert found.blocks == 100


def test_the_same_seed_gives_the_same_report() -> None:
    assert report().as_json() == report().as_json()


def test_the_verdict_does_not_hang_on_the_seed() -> None:
    champion = Opponent("3", worse(rows()))
    one, two = (report(champion, seed=seed).evidence for seed in (0, 1))
    assert (one.score, one.champion, one.guards) == (two.score, two.champion, two.guards)


def test_markdown_tells_every_part() -> None:
    found = report(Opponent("3", worse(rows())))
    text = markdown(found, judge(spec().gates, found.evidence))
    told = (
        "Verdicts",
        "Scores",
        "Comparison",
        "Slices",
        "Calibration",
        "Robustness",
        "Importance",
        "Serving",
    )
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == list(told)
    assert "champion (version 3)" in text
    assert "airport: EWR" in sections(found)["Slices"]


def test_text_cannot_break_a_table() -> None:
    assert table(("a",), [("x|y\n<script>`",)]).splitlines()[-1] == "| x\\|y &lt;script&gt;' |"


def test_regression_and_many_classes_are_reported_too() -> None:
    rng = np.random.default_rng(0)
    given = rows(800)
    truth = given.numbers[:, 1].copy()
    truth[np.isnan(truth)] = 0.0
    numbers = replace(given, labels=truth + rng.normal(scale=0.1, size=800))
    classes = replace(given, labels=rng.integers(0, 3, 800))

    def guess_class(numbers: np.ndarray, categories: np.ndarray) -> np.ndarray:
        return np.tile([0.3, 0.3, 0.4], (len(numbers), 1))

    def guess_number(numbers: np.ndarray, categories: np.ndarray) -> np.ndarray:
        return np.nan_to_num(np.clip(numbers[:, 1], -5, 5))

    for kind, metric, part, model in (
        (Kind.REGRESSION, "r2", numbers, guess_number),
        (Kind.MULTICLASS, "accuracy", classes, guess_class),
    ):
        plain = spec()
        declared = plain.with_changes(
            target=plain.target.with_changes(kind=kind),
            gates=plain.gates.with_changes(metric=metric, baselines=()),
        )
        found = build_report(
            declared, HeldOut(part, columns(part), columns(part), None, None),
            Contenders(model(part.numbers, part.categories), None, None, {}),
            predict=model, served=SERVED, parity={"all rows": 0.0}, fairness=FAIR,
            rng=np.random.default_rng(0), resamples=50, sampled=200,
        )  # fmt: skip
        assert found.metric == metric
        assert markdown(found)


def test_worst_differences_by_slice() -> None:
    trained, served = np.array([0.1, 0.2, 0.3]), np.array([0.1, 0.25, 0.3], dtype=np.float32)
    found = worst_differences(trained, served, {"a": np.array([True, False, True]), "none": np.zeros(3, bool)})
    assert found == pytest.approx({"all rows": 0.05, "a": 0.0}, abs=1e-6)
    assert np.isnan(worst_differences(trained, np.array([0.1, np.nan, 0.3]), {})["all rows"])


def test_a_moment_in_a_table_is_short() -> None:
    assert cell(datetime(2013, 6, 27, 12, 25, tzinfo=UTC)) == "2013-06-27 12:25"
