"""Live days of the small model, written straight into the lake as `predictions` leaves them."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from mlops_assets.domain.names import Layer
from tests.kit.daily import MODEL
from tests.kit.declared import Bench
from tests.kit.prediction_log import outcome_rows

Columns = dict[str, Any]
Change = Callable[[Columns], Columns]


def same(columns: Columns) -> Columns:
    return columns


def dearer(columns: Columns) -> Columns:
    """Prices in another unit."""
    return columns | {"price": columns["price"] * 3 + 2}


def asked(rows: int, seed: int, change: Change = same) -> Columns:
    """Features as the shop's own days have them."""
    draw = np.random.default_rng(seed)
    columns: Columns = {name: draw.normal(size=rows) for name in ("price", "age", "visits")}
    columns["region"] = draw.choice(["north", "south", "west"], rows).astype(object)
    columns["device"] = draw.choice(["phone", "desk"], rows).astype(object)
    return change(columns)


def answered(made: Bench, day: datetime, columns: Columns, **other: Any) -> pa.Table:
    """Rows of the day's log: the champion's own answers to these features."""
    (version,) = made.resources["registry"].versions(MODEL)
    rows = len(next(iter(columns.values())))
    numbers = np.stack([columns[name] for name in ("price", "age", "visits")], axis=1).astype(np.float64)
    words = np.stack([columns[name] for name in ("region", "device")], axis=1)
    scores = made.resources["bundles"].open(version.bundle).predict(numbers, words).astype(np.float64)
    values = {
        "request_id": [f"{day:%m%d}-{place}" for place in range(rows)],
        "row": pa.array(np.zeros(rows, dtype=np.int32)),
        "time": pa.array([day + timedelta(seconds=place) for place in range(rows)], pa.timestamp("us", "UTC")),
        "version": [version.semantic] * rows,
        "role": ["champion"] * rows,
        "bundle": [version.bundle] * rows,
        "degraded": [False] * rows,
        "answer": pa.ListArray.from_arrays(pa.array(np.arange(rows + 1, dtype=np.int32)), pa.array(scores.ravel())),
        "features": pa.StructArray.from_arrays([pa.array(values) for values in columns.values()], list(columns)),
    }
    return pa.table(values | other)  # `other` replaces whole columns


def store(made: Bench, day: datetime, *tables: pa.Table, kind: str = "answers") -> None:
    rows = pa.concat_tables(tables, promote_options="permissive")
    made.resources["lake"].table(MODEL, Layer.PREDICTIONS, kind).write(
        f"{day:%Y-%m-%d}", rows, now=day + timedelta(days=1), time_column="time"
    )


def told_outcomes(made: Bench, day: datetime, said: list[str]) -> None:
    batch = outcome_rows([f"r{place}" for place in range(len(said))], day)
    place = batch.schema.get_field_index("outcome")
    batch = batch.set_column(place, batch.schema.field(place), pa.array(said))
    store(made, day, pa.Table.from_batches([batch]), kind="outcomes")
