"""How rows that a transform returns are laid out by partition."""

from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa
import pytest

from mlops_assets.declaration.data import Every
from mlops_assets.domain.names import EVENT_TIME
from mlops_assets.domain.partitions import windows
from mlops_assets.stages.features.build_rows import by_partition

DAYS = ["2024-01-01", "2024-01-02", "2024-01-03"]
TIMES = pd.date_range(datetime(2024, 1, 1, tzinfo=UTC), periods=72, freq="h", unit="us")
BY_ENTITY = pd.concat([pd.DataFrame({"entity": name, EVENT_TIME: TIMES}) for name in "abcd"])


@pytest.mark.parametrize(
    "rows",
    [
        BY_ENTITY,
        BY_ENTITY.sort_values(EVENT_TIME, ascending=False, kind="stable"),
        BY_ENTITY.sample(frac=1, random_state=1),
        BY_ENTITY.astype({EVENT_TIME: "datetime64[ns, UTC]"}),
    ],
    ids=["by entity", "latest first", "shuffled", "nanoseconds"],
)
def test_unsorted_rows_land_in_their_own_partitions(rows: pd.DataFrame) -> None:
    table = pa.Table.from_pandas(rows, preserve_index=False)
    parts = {window.partition: part for window, part in by_partition(table, windows(Every.DAY, DAYS))}
    for day in DAYS:
        assert parts[day].num_rows == 96
        assert {f"{moment:%Y-%m-%d}" for moment in parts[day][EVENT_TIME].to_pylist()} == {day}


def test_rows_of_one_moment_keep_their_order() -> None:
    table = pa.Table.from_pandas(BY_ENTITY, preserve_index=False)
    first = next(part for _, part in by_partition(table, windows(Every.DAY, DAYS)))
    assert first["entity"].to_pylist()[:4] == ["a", "b", "c", "d"]
