"""Keeps and reads the test rows' answers by models that had not learnt them, in the folder of an evaluation."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pandas.util import hash_pandas_object

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import CREATED_TIME, EVENT_TIME, LABEL, ROW_KEY, Layer
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.workspace import Workspace

_ANSWERS, _ANSWER, _CONTENT = "answers.parquet", "answer", "content"


def write_answers(folder: Path, spec: ModelSpec, test: pa.Table, answers: np.ndarray) -> None:
    """One line for each test row, in their order."""
    wide = np.asarray(answers, dtype=np.float64).reshape(len(test), -1)
    column = pa.FixedSizeListArray.from_arrays(pa.array(wide.ravel()), wide.shape[1])
    kept = pa.table({**identify_rows(spec, test), LABEL: test[LABEL], _ANSWER: column})
    pq.write_table(kept, folder / _ANSWERS)


def identify_rows(spec: ModelSpec, rows: pa.Table) -> dict[str, pa.ChunkedArray | pa.Array]:
    """The columns by which rows are found again. Rows without a key are known by what they hold, never by position."""
    feed = spec.source.feeds[spec.source.examples]
    if feed.key:
        return {name: rows[name] for name in (*feed.key, EVENT_TIME)}
    columns = sorted(name for name in rows.column_names if name not in (ROW_KEY, CREATED_TIME))
    frame = rows.select(columns).to_pandas()
    content = hash_pandas_object(frame, index=False)  # pyright: ignore[reportCallIssue]  # its stub has no index
    return {_CONTENT: pa.array(np.asarray(content).view(np.int64)), EVENT_TIME: rows[EVENT_TIME]}


def fetch_answers(lake: Lake, workspace: Workspace, model: str, bundle: str) -> pa.Table | None:
    """The kept rows of the bundle's evaluation; none where it is not in the lake."""
    folder = find_evaluation(lake, model, bundle)
    path = None if folder is None else lake.fetch(folder, workspace.cache) / _ANSWERS
    return pq.read_table(path) if path is not None and path.exists() else None


def read_answers(rows: pa.Table) -> np.ndarray:
    """[n], or [n, k] for several classes."""
    wide = pc.list_flatten(rows[_ANSWER]).to_numpy().reshape(len(rows), -1)
    return wide[:, 0] if wide.shape[1] == 1 else wide


def find_evaluation(lake: Lake, model: str, bundle: str) -> str | None:
    """The folder of an evaluation of the bundle, relative to the lake."""
    found = [each for each in lake.names(model, Layer.EVALUATIONS) if each.startswith(bundle)]
    return f"{model}/{Layer.EVALUATIONS}/{found[-1]}" if found else None
