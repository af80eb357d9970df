"""Fairness by Fairlearn: what each group of a protected attribute gets, and how far groups are apart.

The rates and differences are Fairlearn's. The intervals resample each group's counts by blocks of rows that
move together, which `MetricFrame` cannot. Whether a difference is allowed is the gates' business.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from fairlearn.metrics import (
    MetricFrame,
    count,
    demographic_parity_difference,
    equalized_odds_difference,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)

from mlops_assets.declaration.data import Kind
from mlops_assets.declaration.evaluation import FairnessSpec
from mlops_assets.domain.evaluation.evidence import Disparity, FairnessReport, GroupScore, Interval
from mlops_assets.domain.evaluation.intervals import coarsest
from mlops_assets.domain.evaluation.metrics import METRICS

MISSING = "missing"
PARITY, ODDS = "demographic parity", "equalised odds"
RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class _GroupedRows:
    """Rows [n] as the measures see them, with text groups; `blocks` number the rows that move together."""

    labels: np.ndarray
    scores: np.ndarray
    chosen: np.ndarray
    groups: np.ndarray
    blocks: np.ndarray | None

    def of(self, kept: pd.Index) -> "_GroupedRows":
        inside = np.isin(self.groups, kept)
        blocks = None if self.blocks is None else self.blocks[inside]
        return _GroupedRows(self.labels[inside], self.scores[inside], self.chosen[inside], self.groups[inside], blocks)


def assess(
    spec: FairnessSpec,
    kind: Kind,
    labels: np.ndarray,
    scores: np.ndarray,
    *,
    columns: pa.Table,
    level: float,
    rng: np.random.Generator,
    blocks: np.ndarray | None = None,
    threshold: float = 0.5,
) -> FairnessReport:
    """All declared attributes. What cannot be measured is named in `unmeasured`, which no gate lets pass."""
    problems = _problems(spec, kind, columns)
    if problems or kind is not Kind.BINARY:
        return FairnessReport((), (), problems)
    groups: list[GroupScore] = []
    found: list[Disparity | str] = []
    limits = {PARITY: spec.demographic_parity, ODDS: spec.equalised_odds}
    for attribute in spec.attributes:
        rows = _GroupedRows(labels, scores, (scores >= threshold).astype(int), _text(columns[attribute]), blocks)
        frame = _frame(rows)
        groups += _group_scores(attribute, rows, frame)
        for measure, limit in limits.items():
            if limit is not None:
                found.append(
                    _disparity(attribute, measure, limit, rows, frame=frame, minimum=spec.minimum, level=level, rng=rng)
                )
    return FairnessReport(
        tuple(groups),
        tuple(each for each in found if isinstance(each, Disparity)),
        tuple(each for each in found if isinstance(each, str)),
    )


def _problems(spec: FairnessSpec, kind: Kind, columns: pa.Table) -> tuple[str, ...]:
    missing = [name for name in spec.attributes if name not in columns.column_names]
    problems = [f"fairness.attributes: {name} is not in the test rows" for name in missing]
    limited = spec.demographic_parity is not None or spec.equalised_odds is not None
    if spec.attributes and limited and kind is not Kind.BINARY:
        problems.append(f"fairness limits need a binary target, this one is {kind}: leave them out")
    if limited and not spec.attributes:
        problems.append("fairness limits are declared without fairness.attributes: name the columns")
    return tuple(problems)


def _text(column: pa.ChunkedArray) -> np.ndarray:
    values = pc.fill_null(pc.cast(column, pa.string()), "").to_numpy(zero_copy_only=False)
    return np.where(values == "", MISSING, values).astype(str)


def _frame(rows: _GroupedRows) -> pd.DataFrame:
    """One line a group: Fairlearn's rates, and how many rows and labels of each class it has."""
    measures = {
        "rows": count,
        "selection_rate": selection_rate,
        "true_positive_rate": true_positive_rate,
        "false_positive_rate": false_positive_rate,
        "positives": lambda y_true, y_pred: int((y_true == 1).sum()),
    }
    frame = MetricFrame(metrics=measures, y_true=rows.labels, y_pred=rows.chosen, sensitive_features=rows.groups)
    return pd.DataFrame(frame.by_group).sort_values(by="rows", ascending=False)


def _group_scores(attribute: str, rows: _GroupedRows, frame: pd.DataFrame) -> list[GroupScore]:
    found = []
    for group, line in frame.iterrows():
        inside = rows.groups == group
        found.append(
            GroupScore(
                attribute=attribute,
                group=str(group),
                rows=int(line["rows"]),
                selection_rate=float(line["selection_rate"]),
                true_positive_rate=float(line["true_positive_rate"]) if line["positives"] > 0 else None,
                false_positive_rate=(float(line["false_positive_rate"]) if line["positives"] < line["rows"] else None),
                calibration_error=METRICS["ece"](rows.labels[inside], rows.scores[inside]),
            )
        )
    return found


def _disparity(
    attribute: str,
    measure: str,
    limit: float,
    rows: _GroupedRows,
    *,
    frame: pd.DataFrame,
    minimum: int,
    level: float,
    rng: np.random.Generator,
) -> Disparity | str:
    """The largest difference between groups with enough rows, or why there is none."""
    enough = frame["rows"] >= minimum
    if measure == ODDS:
        enough &= (frame["positives"] > 0) & (frame["positives"] < frame["rows"])
    kept, left_out = frame.loc[enough], tuple(str(group) for group in frame.index[~enough])
    if len(kept) < 2:
        return f"{attribute}: {measure} needs two groups of {minimum} rows (fairness.minimum), found {len(kept)}"
    rates = _rates(measure)
    widest = max(rates, key=lambda rate: kept[rate].max() - kept[rate].min())
    taken = rows.of(kept.index)
    differences = _differences(_resampled(taken, kept.index, rng), rates)
    low, high = np.nanquantile(differences, [(1 - level) / 2, (1 + level) / 2])
    interval = Interval(_fairlearn(measure, taken), float(low), float(high), level, "bootstrap")
    ordered = sorted(kept.index, key=lambda group: kept.at[group, widest])
    ends = str(ordered[0]), str(ordered[-1])
    return Disparity(attribute, measure, interval, limit, *ends, left_out)


def _rates(measure: str) -> list[str]:
    return ["selection_rate"] if measure == PARITY else ["true_positive_rate", "false_positive_rate"]


def _fairlearn(measure: str, rows: _GroupedRows) -> float:
    difference = demographic_parity_difference if measure == PARITY else equalized_odds_difference
    return float(difference(rows.labels, rows.chosen, sensitive_features=rows.groups))


def _resampled(rows: _GroupedRows, groups: pd.Index, rng: np.random.Generator) -> np.ndarray:
    """Counts [resamples, group, label, choice] of resampled blocks."""
    cell = 4 * groups.get_indexer(rows.groups) + 2 * rows.labels.astype(int) + rows.chosen
    cells = 4 * len(groups)
    if rows.blocks is None:  # rows on their own: a resample of the rows is one draw of the cells' counts
        drawn = rng.multinomial(len(cell), np.bincount(cell, minlength=cells) / len(cell), size=RESAMPLES)
    else:
        blocks = np.unique(coarsest(rows.blocks), return_inverse=True)[1]
        count = int(blocks.max()) + 1
        table = np.bincount(blocks * cells + cell, minlength=count * cells).reshape(count, cells)
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES) @ table
    return drawn.reshape(RESAMPLES, len(groups), 2, 2)


def _differences(counts: np.ndarray, rates: list[str]) -> np.ndarray:
    """[resamples] the largest difference between groups, over the rates."""
    chosen = {
        "selection_rate": (counts[..., 1].sum(-1), counts.sum((-2, -1))),
        "true_positive_rate": (counts[:, :, 1, 1], counts[:, :, 1].sum(-1)),
        "false_positive_rate": (counts[:, :, 0, 1], counts[:, :, 0].sum(-1)),
    }
    found = []
    for rate in rates:
        hits, rows = chosen[rate]
        by_group = np.divide(hits, rows, out=np.full(hits.shape, np.nan), where=rows > 0)
        found.append(np.nanmax(by_group, axis=1) - np.nanmin(by_group, axis=1))
    return np.max(found, axis=0)
