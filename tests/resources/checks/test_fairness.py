"""Fairness: Fairlearn's numbers, intervals that cover, and groups that are too small."""

import numpy as np
import pyarrow as pa
import pytest
from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference

from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.evaluation import FairnessSpec
from mlops_assets.domain.evaluation.evidence import FairnessReport
from mlops_assets.resources.checks.fairness import MISSING, ODDS, PARITY, assess

RATES = {"f": 0.3, "m": 0.5, "rare": 0.9}


def people(rows: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    sex = rng.choice(["f", "m", "rare"], rows, p=[0.5, 0.49, 0.01])
    labels = (rng.random(rows) < 0.4).astype(int)
    chosen = rng.random(rows) < np.array([RATES[s] for s in sex])
    return labels, np.where(chosen, 0.8, 0.2), sex


def spec(**changes) -> FairnessSpec:
    declared = {"attributes": ("sex",), "demographic_parity": 0.1, "equalised_odds": 0.1, "minimum": 100}
    return FairnessSpec(**(declared | changes))


def assessed(declared: FairnessSpec, kind: Kind = Kind.BINARY, blocks=None, column=None) -> FairnessReport:
    labels, scores, sex = people()
    table = pa.table({"sex": sex if column is None else column})
    return assess(
        declared, kind, labels, scores, columns=table, level=0.95, rng=np.random.default_rng(0), blocks=blocks
    )


def test_differences_are_fairlearns_over_groups_with_enough_rows() -> None:
    labels, scores, sex = people()
    kept = sex != "rare"
    pair, groups = (labels[kept], scores[kept] >= 0.5), sex[kept]
    parity, odds = assessed(spec()).disparities
    assert (parity.measure, odds.measure) == (PARITY, ODDS)
    assert parity.difference.estimate == pytest.approx(demographic_parity_difference(*pair, sensitive_features=groups))
    assert odds.difference.estimate == pytest.approx(equalized_odds_difference(*pair, sensitive_features=groups))
    assert (parity.lowest, parity.highest, parity.left_out) == ("f", "m", ("rare",))
    assert parity.difference.low < 0.2 < parity.difference.high


def test_the_interval_is_as_wide_as_theory_predicts() -> None:
    _, _, sex = people()
    error = np.sqrt(sum(0.25 * (1 if g == "m" else 0.84) / (sex == g).sum() for g in ("f", "m")))
    by_row = assessed(spec()).disparities[0].difference
    by_block = assessed(spec(), blocks=np.arange(4000)).disparities[0].difference
    for found in (by_row, by_block):
        assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    coarse = assessed(spec(), blocks=(sex == "m") * 50 + np.arange(4000) // 80).disparities[0].difference
    assert coarse.low < coarse.estimate < coarse.high


def test_every_group_is_told_even_the_small_ones() -> None:
    groups = {g.group: g for g in assessed(spec()).groups}
    assert set(groups) == {"f", "m", "rare"}
    assert groups["f"].selection_rate == pytest.approx(0.3, abs=0.03)
    assert groups["f"].calibration_error > 0


def test_missing_values_are_a_group() -> None:
    _, _, sex = people()
    column = pa.array([None if s == "rare" else s for s in sex])
    assert {g.group for g in assessed(spec(), column=column).groups} == {"f", "m", MISSING}


@pytest.mark.parametrize(
    ("declared", "kind", "told"),
    [
        (spec(attributes=("sex", "age")), Kind.BINARY, "age is not in the test rows"),
        (spec(attributes=()), Kind.BINARY, "without fairness.attributes"),
        (spec(), Kind.REGRESSION, "need a binary target"),
        (spec(minimum=3900), Kind.BINARY, "two groups of 3900 rows (fairness.minimum), found 0"),
    ],
)
def test_what_cannot_be_measured_is_told(declared: FairnessSpec, kind: Kind, told: str) -> None:
    found = assessed(declared, kind)
    assert not found.disparities
    assert told in " ".join(found.unmeasured)


def test_a_group_of_one_class_has_no_odds() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(["a", "b", "c"], 300)
    labels = np.where(group == "c", 0, rng.integers(0, 2, 900))
    found = assess(
        spec(attributes=("g",)), Kind.BINARY, labels, rng.random(900), columns=pa.table({"g": group}),
        level=0.95, rng=rng,
    )  # fmt: skip
    parity, odds = found.disparities
    assert (parity.left_out, odds.left_out) == ((), ("c",))
    assert {g.group: g.true_positive_rate for g in found.groups}["c"] is None


def test_no_attributes_no_findings() -> None:
    assert assessed(spec(attributes=(), demographic_parity=None, equalised_odds=None)) == FairnessReport((), (), ())
