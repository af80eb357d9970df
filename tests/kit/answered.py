"""Days of answers and feedback written straight into the lake, as `predictions` leaves them, by a real bundle."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from mlops_assets.domain.names import Layer
from mlops_assets.domain.traffic.labelled_rows import OUTCOMES
from serving.contract.encoding import pack_table
from tests.kit.daily import MODEL, START, day_rows
from tests.kit.declared import Bench


def partition_name(number: int) -> str:
    return f"{START + timedelta(days=number):%Y-%m-%d}"


def answer_table(made: Bench, number: int, **columns: Any) -> pa.Table:
    """The champion's answers to the day's examples, a request each, at the time of the event. Given columns replace."""
    (version,) = made.resources["registry"].versions(MODEL)
    bundle = made.resources["bundles"].open(version.bundle)
    examples = day_rows(number)
    numbers, categories = pack_table(examples, bundle.contract.numbers, bundle.contract.categories)
    scores = np.asarray(bundle.predict(numbers, categories), dtype=float)
    rows = len(examples)
    features = [*bundle.contract.numbers, *bundle.contract.categories]
    texts = {"version": version.semantic, "arm": "champion", "role": "champion", "bundle": version.bundle}
    values: dict[str, Any] = {
        "request_id": pa.array([f"{number}-{place}-1.0" for place in range(rows)]),
        "row": pa.array(np.zeros(rows, np.int32)),
        "time": examples["at"],
        "key": pa.array([str(place) for place in range(rows)]),
        **{name: pa.array([text] * rows) for name, text in texts.items()},
        "answer": pa.array([[score] for score in scores]),
        "entities": pa.array([{"id": str(each)} for each in examples["id"].to_pylist()]),
        "features": pa.array(examples.select(features).to_pylist()),
    }
    return pa.table(values | columns)


def write_rows(made: Bench, number: int, kind: str, rows: pa.Table) -> None:
    """Make these the day's rows."""
    table = made.resources["lake"].table(MODEL, Layer.PREDICTIONS, kind)
    table.write(partition_name(number), rows, now=START, time_column="time")


def append_rows(made: Bench, number: int, kind: str, rows: pa.Table) -> None:
    """Put these after the day's rows."""
    before = made.resources["lake"].table(MODEL, Layer.PREDICTIONS, kind).read([partition_name(number)])
    write_rows(made, number, kind, pa.concat_tables([before, rows]) if before.num_columns else rows)


def true_outcomes(number: int) -> list[str]:
    return [str(each) for each in day_rows(number)["bought"].to_pylist()]


def outcome_table(ids: Sequence[str], said: Sequence[Any], at: datetime | Sequence[datetime]) -> pa.Table:
    times = [at] * len(ids) if isinstance(at, datetime) else list(at)
    values: Mapping[str, Any] = {"request_id": list(ids), "row": [0] * len(ids), "time": times, "outcome": list(said)}
    return pa.table({field.name: pa.array(values[field.name], field.type) for field in OUTCOMES})
