"""The ways in which a source may keep rows, for the one suite that all of them have to pass."""

import gzip
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from pyarrow import csv

from mlops_assets.resources.sources.declared import DeclaredSource
from mlops_assets.resources.sources.sources import Sources
from tests.kit.specs import feed_spec, model_spec, source_spec

_SQL_TYPES = {
    "int64": sa.BigInteger(),
    "double": sa.Double(),
    "string": sa.Text(),
    "bool": sa.Boolean(),
    "date32[day]": sa.Date(),
    "timestamp[us]": sa.DateTime(),
    "timestamp[us, tz=UTC]": sa.DateTime(timezone=True),
}
_CLASS = """
import pyarrow.parquet as pq

class Stored:
    def read(self, feed, start, end, as_of):
        return pq.read_table({path!r}){as_frame}
"""


@dataclass(frozen=True)
class StoredFeed:
    """Where rows were put: what the feed declares for it, and what the deployment has to know."""

    declares: Mapping[str, Any]
    databases: Mapping[str, str] = field(default_factory=dict)
    python: str | None = None

    def open(self, *, replay: Any = None, **feed: Any) -> DeclaredSource:
        """The source of a model with this one feed."""
        source = source_spec(feed_spec(**{"path": None, "key": (), **self.declares, **feed}), python=self.python)
        return Sources(databases=dict(self.databases)).open(model_spec(source=source, replay=replay))


Keep = Callable[[pa.Table, Path], StoredFeed]


def parquet(rows: pa.Table, folder: Path) -> StoredFeed:
    pq.write_table(rows, folder / "events.parquet", row_group_size=2)
    return StoredFeed({"path": str(folder / "events.parquet")})


def parquet_folder(rows: pa.Table, folder: Path) -> StoredFeed:
    for place in range(max(rows.num_rows, 1)):
        pq.write_table(rows.slice(place, 1), folder / f"part-{place:03}.parquet")
    return StoredFeed({"path": str(folder)})


def object_store(rows: pa.Table, folder: Path) -> StoredFeed:
    url = f"memory://{uuid.uuid4().hex}/events.parquet"
    with fsspec.open(url, "wb") as stream:
        pq.write_table(rows, stream)
    return StoredFeed({"path": url})


def comma_separated(rows: pa.Table, folder: Path) -> StoredFeed:
    csv.write_csv(rows, folder / "events.csv")
    return StoredFeed({"path": str(folder / "events.csv")})


def packed_csv(rows: pa.Table, folder: Path) -> StoredFeed:
    csv.write_csv(rows, folder / "plain", csv.WriteOptions(delimiter=";"))
    (folder / "events.csv.gz").write_bytes(gzip.compress((folder / "plain").read_bytes()))
    return StoredFeed({"path": str(folder / "events.csv.gz"), "separator": ";"})


def sqlite(rows: pa.Table, folder: Path) -> StoredFeed:
    return in_database(rows, f"sqlite:///{folder}/events.db", "events")


def arrow_class(rows: pa.Table, folder: Path) -> StoredFeed:
    return _python_class(rows, folder, as_frame="")


def pandas_class(rows: pa.Table, folder: Path) -> StoredFeed:
    return _python_class(rows, folder, as_frame=".to_pandas()")


ALWAYS: tuple[Keep, ...] = (
    parquet,
    parquet_folder,
    object_store,
    comma_separated,
    packed_csv,
    sqlite,
    arrow_class,
    pandas_class,
)


def in_database(rows: pa.Table, url: str, table: str) -> StoredFeed:
    """The rows in a table of their own."""
    columns = [sa.Column(each.name, _SQL_TYPES[str(each.type)]) for each in rows.schema]
    stored = sa.Table(table, sa.MetaData(), *columns)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        stored.create(connection)
        if rows.num_rows:
            connection.execute(stored.insert(), rows.to_pylist())
    engine.dispose()
    return StoredFeed({"query": f"SELECT * FROM {table}", "connection": "shop"}, {"shop": url})


@contextmanager
def in_postgres(rows: pa.Table, url: str) -> Iterator[StoredFeed]:
    """The same in PostgreSQL; the table is dropped at the end."""
    table = f"events_{uuid.uuid4().hex}"
    try:
        yield in_database(rows, url, table)
    finally:
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            connection.execute(sa.text(f"DROP TABLE IF EXISTS {table}"))
        engine.dispose()


def _python_class(rows: pa.Table, folder: Path, *, as_frame: str) -> StoredFeed:
    module, path = f"stored_{uuid.uuid4().hex}", folder / "rows.of_class"
    pq.write_table(rows, path)
    (folder / f"{module}.py").write_text(_CLASS.format(path=str(path), as_frame=as_frame))
    return StoredFeed({}, python=f"{module}.Stored")
