"""The page to browse: Evidently on a sample of training rows and of live rows. Decides nothing.

The decision is printed on top of it, with the number of rows behind it; Evidently's own marks use the declared
stability index, so that page and decision mean the same by "drift".
"""

import html
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset

from mlops_assets.declaration.monitoring import DriftPolicy

ROWS = 5_000  # of either sample that are drawn
_QUIET = {"DO_NOT_TRACK": "1"}
_BODY = "<body>"


def build_drift_page(
    reference: pa.Table,
    live: pa.Table,
    *,
    numbers: Sequence[str],
    categories: Sequence[str],
    policy: DriftPolicy,
    heading: str,
    lines: Sequence[str],
) -> bytes | None:
    """One page that needs nothing beside it. None: there is no column with values on both sides."""
    os.environ.update(_QUIET)

    frames = [_frame(rows, numbers, categories) for rows in (live, reference)]
    shown = [name for name in (*numbers, *categories) if all(frame[name].notna().any() for frame in frames)]
    if not shown:
        return None
    definition = DataDefinition(
        numerical_columns=[name for name in numbers if name in shown],
        categorical_columns=[name for name in categories if name in shown],
    )
    preset = DataDriftPreset(
        columns=shown,
        drift_share=1 / len(shown),  # one column is drift, as it is to the decision
        num_method="psi",
        cat_method="psi",
        num_threshold=policy.psi,
        cat_threshold=policy.psi,
    )
    now, then = (Dataset.from_pandas(frame.filter(items=shown), definition) for frame in frames)
    drawn = Report([preset], include_tests=False).run(now, then)
    left_out = ", ".join(name for name in (*numbers, *categories) if name not in shown)
    notes = [*lines, *([f"Not shown, as one side has no values: {left_out}."] if left_out else [])]
    return _headed(drawn.get_html_str(as_iframe=False), heading, notes)


def _frame(rows: pa.Table, numbers: Sequence[str], categories: Sequence[str]) -> pd.DataFrame:
    """At most ROWS, evenly taken; what is infinite or the empty text is missing."""
    places = np.unique(np.linspace(0, max(len(rows) - 1, 0), min(len(rows), ROWS)).astype(np.int64))
    taken = rows.take(places)
    columns: dict[str, Any] = {}
    for name in numbers:
        values = taken[name].to_numpy(zero_copy_only=False).astype(np.float64)
        columns[name] = np.where(np.isfinite(values), values, np.nan)
    for name in categories:
        columns[name] = [value or None for value in taken[name].to_pylist()]
    return pd.DataFrame(columns)


def _headed(page: str, heading: str, lines: Sequence[str]) -> bytes:
    if page.count(_BODY) != 1:
        raise RuntimeError(f"Evidently's page has {page.count(_BODY)} {_BODY}, so there is no place for the heading")
    body = "".join(f"<p style='margin:.2em 0'>{html.escape(line)}</p>" for line in lines)
    top = f"<div style='font:15px sans-serif;padding:1em 2em'><h2>{html.escape(heading)}</h2>{body}</div>"
    return page.replace(_BODY, f"{_BODY}{top}").encode()
