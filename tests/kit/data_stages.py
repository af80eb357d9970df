"""A tiny model whose feeds are CSV files in a folder: write days, run raw_data and validated_data, look at the lake."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa

from mlops_assets.declaration.model import ModelSpec
from mlops_assets.domain.names import Layer
from mlops_assets.resources.clock import Clock
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.lake.table import Table
from mlops_assets.resources.sources.sources import Sources
from mlops_assets.stages.data.raw_data.asset import raw_data
from mlops_assets.stages.data.validated_data.asset import validated_data
from tests.kit.specs import START, feed_spec, model_spec, source_spec

DAYS = tuple((START + timedelta(days=day)).strftime("%Y-%m-%d") for day in range(10))
NOW = START + timedelta(days=20)


@dataclass
class DataStages:
    """`replay` gives the tests their clock: the model lives at `NOW`."""

    folder: Path
    spec: ModelSpec
    instance: dg.DagsterInstance

    @property
    def lake(self) -> Lake:
        return Lake(root=str(self.folder / "lake"))

    def table(self, layer: Layer, feed: str = "events") -> Table:
        return self.lake.table(self.spec.model, layer, feed)

    def write(self, day: str, rows: int = 40, header: str = "id,at,label,x,c", lines: list[str] | None = None) -> None:
        """A CSV of one day, as a source would deliver it."""
        number = DAYS.index(day) * 1000
        usual = [f"{number + i},{day} {i % 24:02d}:00:00,{i % 2},{number + i}.5,{'ab'[i % 2]}" for i in range(rows)]
        path = self.folder / "source" / f"{day}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join([header, *(usual if lines is None else lines)]) + "\n")

    def run(
        self, *days: str, stages: Any = (raw_data, validated_data), config: dict | None = None
    ) -> dg.ExecuteInProcessResult:
        """Both stages over the range from the first day to the last; all of it where no day is given."""
        span = (
            {"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[-1]}
            if days
            else {}
        )
        ops = {f"{self.spec.model}__validated_data": {"config": config}} if config else {}
        return dg.materialize(
            [stage(self.spec) for stage in stages],
            resources={
                "lake": self.lake,
                "clock": Clock(folder=str(self.folder / "clock")),
                "sources": Sources(databases={}),
            },
            instance=self.instance,
            partition_key=days[0] if len(days) == 1 else None,
            tags=span if len(days) > 1 else {},
            run_config={"ops": ops},
            raise_on_error=False,
        )


def data_stages(folder: Path, **changes: Any) -> DataStages:
    feed = feed_spec(path=str(folder / "source"))
    spec = model_spec(source=source_spec(feed), replay=NOW).with_changes(**changes)
    return DataStages(folder, spec, dg.DagsterInstance.ephemeral(tempdir=str(folder)))


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {each.check_name: each for each in result.get_asset_check_evaluations()}


def column(table: Table, name: str, partition: str) -> list:
    rows: pa.Table = table.read([partition])
    return rows[name].to_pylist() if rows.num_rows else []


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
