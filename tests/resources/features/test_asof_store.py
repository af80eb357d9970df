"""The offline store through Feast itself: what comes back, in which order, and what never does."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import feast
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureService, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.on_demand_feature_view import on_demand_feature_view
from feast.repo_config import RepoConfig
from feast.types import Float64, Int64, String

from mlops_assets.domain.names import Layer
from mlops_assets.resources.features.asof_store import AsOfJob
from mlops_assets.resources.lake.lake import Lake

START = datetime(2024, 1, 1, tzinfo=UTC)
TIME = pa.timestamp("us", "UTC")


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def readings(*rows: tuple) -> pa.Table:
    """(shop, event hour, created hour, sales)"""
    return pa.table(
        {
            "shop": pa.array([r[0] for r in rows], pa.int64()),
            "sales": pa.array([r[3] for r in rows], pa.float64()),
            "note": pa.nulls(len(rows)),
            "event_timestamp": pa.array([at(r[1]) for r in rows], TIME),
            "created_timestamp": pa.array([at(r[2]) for r in rows], TIME),
        }
    )


def entities(*rows: tuple) -> pa.Table:
    times = pa.array([at(r[1]) for r in rows], TIME)
    shops = pa.array([r[0] for r in rows], pa.int64())
    return pa.table({"shop": shops, "price": [2.0] * len(rows), "event_timestamp": times})


@on_demand_feature_view(
    sources=[RequestSource(name="request", schema=[Field(name="price", dtype=Float64)])],
    schema=[Field(name="dear", dtype=Int64)],
    mode="python",
)
def pricing(inputs: dict) -> dict:
    return {"dear": [None if price is None else int(price > 1) for price in inputs["price"]]}


def objects(source: FileSource) -> list:
    shop = Entity(name="shop", value_type=ValueType.INT64)
    sales = FeatureView(
        name="sales",
        entities=[shop],
        ttl=timedelta(hours=5),
        schema=[Field(name="sales", dtype=Float64), Field(name="note", dtype=String)],
        source=source,
    )
    return [shop, sales, pricing, FeatureService(name="shop_v1", features=[sales, pricing])]


def source(path: str) -> FileSource:
    return FileSource(
        name="sales",
        path=path,
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
    )


def store_at(folder: Path, *, rows_at_once: int = 1000) -> feast.FeatureStore:
    return feast.FeatureStore(
        config=RepoConfig(
            project="shops",
            provider="local",
            registry={"registry_type": "sql", "path": f"sqlite:///{folder}/registry.db"},
            offline_store={
                "type": "mlops_assets.resources.features.asof_store.AsOfOfflineStore",
                "lake": f"{folder}/lake",
                "rows_at_once": rows_at_once,
            },
            online_store={"type": "sqlite", "path": f"{folder}/online.db"},
            entity_key_serialization_version=3,
        )
    )


DAYS = {
    "2024-01-01": readings((1, 0, 0, 1.0), (1, 3, 9, 99.0), (2, 0, 0, 5.0)),
    "2024-01-02": readings((1, 24, 24, 2.0), (2, 24, 24, 6.0), (2, 24, 25, 7.0)),
}


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(root=str(tmp_path / "lake"))


@pytest.fixture(scope="module")
def applied(tmp_path_factory) -> Path:
    """A folder with the service and two days of rows behind it."""
    folder = tmp_path_factory.mktemp("applied")
    table = Lake(root=str(folder / "lake")).table("shops", Layer.FEATURES, "sales")
    for day, rows in DAYS.items():
        table.write(day, rows, now=START, time_column="event_timestamp")
    store_at(folder).apply(objects(source("shops/features/sales")))
    return folder


@pytest.fixture
def store(applied, tmp_path) -> feast.FeatureStore:
    shutil.copytree(applied, tmp_path, dirs_exist_ok=True)
    return store_at(tmp_path)


ASKED = entities((2, 4), (1, 4), (1, 4), (1, 10), (3, 4), (1, 24), (2, 26))
FOUND = [
    5.0,
    1.0,
    1.0,
    None,
    None,
    2.0,
    7.0,
]  # in hour 10 the late row of hour 3 is known, but older than the ttl


def history(store, entity_df=ASKED, features=None, **options):
    return store.get_historical_features(entity_df, features or store.get_feature_service("shop_v1"), **options)


def test_every_entity_row_returns_in_place_with_known_values(store) -> None:
    result = history(store).to_arrow()
    assert result.select(ASKED.column_names).equals(ASKED)
    assert result["sales"].to_pylist() == FOUND
    assert result["dear"].to_pylist() == [1] * 7


def test_a_pandas_frame_gives_the_same(store) -> None:
    result = history(store, ASKED.to_pandas().set_index(pd.Index(range(7, 0, -1)))).to_df()
    assert list(result["sales"].astype(object).where(result["sales"].notna(), None)) == FOUND


def test_features_keep_the_requested_order_and_names(store) -> None:
    asked = ["pricing:dear", "sales:note", "sales:sales"]
    assert history(store, features=asked).to_arrow().column_names[3:] == ["dear", "note", "sales"]
    full = history(store, features=asked, full_feature_names=True).to_arrow()
    assert full.column_names[3:] == ["pricing__dear", "sales__note", "sales__sales"]
    assert full["sales__sales"].to_pylist() == FOUND


def test_a_column_of_nulls_has_the_type_of_its_view(store) -> None:
    assert history(store).to_arrow().schema.field("note").type == pa.string()


def test_parts_and_a_persisted_file_are_the_whole(tmp_path, store) -> None:
    small = store_at(tmp_path, rows_at_once=2)
    job = history(small)
    assert isinstance(job, AsOfJob)
    assert [len(part) for part in job.to_batches()] == [2, 2, 2, 1]
    job.persist(SavedDatasetFileStorage(path=str(tmp_path / "out.parquet")))
    assert pq.read_table(tmp_path / "out.parquet").equals(history(store).to_arrow())
    with pytest.raises(FileExistsError, match="allow_overwrite"):
        job.persist(SavedDatasetFileStorage(path=str(tmp_path / "out.parquet")))


def test_superseded_files_are_not_read(store, lake) -> None:
    table = lake.table("shops", Layer.FEATURES, "sales")
    table.write("2024-01-01", readings((1, 0, 0, -1.0)), now=START, time_column="event_timestamp")
    assert len(list(Path(table.path).glob("2024-01-01-*.parquet"))) == 2
    assert history(store).to_arrow()["sales"].to_pylist() == [None, -1.0, -1.0, None, None, 2.0, 7.0]


def test_partitions_without_rows_are_read_as_such(store, lake) -> None:
    table = lake.table("shops", Layer.FEATURES, "sales")
    for day in DAYS:
        table.write(day, readings(), now=START, time_column="event_timestamp")
    assert history(store).to_arrow()["sales"].to_pylist() == [None] * 7


def test_partitions_that_do_not_fit_are_all_named(store, lake) -> None:
    changed = DAYS["2024-01-02"].set_column(1, "sales", pa.array(["2", "6", "7"])).drop_columns(["note"])
    lake.table("shops", Layer.FEATURES, "sales").write("2024-01-02", changed, now=START)
    with pytest.raises(ValueError, match=r"sales: double in 2024-01-01, string in 2024-01-02.*Materialise"):
        history(store).to_arrow()


@pytest.mark.parametrize("folder", [True, False])
def test_ordinary_parquet_is_read_too(tmp_path, folder) -> None:
    path = tmp_path / "plain" / ("" if folder else "rows.parquet")
    (tmp_path / "plain").mkdir()
    pq.write_table(pa.concat_tables(DAYS.values()), tmp_path / "plain" / "rows.parquet")
    store = store_at(tmp_path)
    store.apply(objects(source(str(path))))
    assert history(store).to_arrow()["sales"].to_pylist() == FOUND


def test_times_without_a_zone_are_utc(tmp_path) -> None:
    rows = pa.concat_tables(DAYS.values())
    for place, name in ((3, "event_timestamp"), (4, "created_timestamp")):
        rows = rows.set_column(place, name, rows[name].cast(pa.timestamp("ns")))
    pq.write_table(rows, tmp_path / "rows.parquet")
    store = store_at(tmp_path)
    store.apply(objects(source(str(tmp_path / "rows.parquet"))))
    assert history(store).to_arrow()["sales"].to_pylist() == FOUND


def test_materialised_values_equal_a_join_at_that_moment(store) -> None:
    """At hour 8 the row of hour 3 is unknown; of two rows of hour 24 the one created last counts."""
    for hour, expected in ((8, [1.0, 5.0]), (30, [2.0, 7.0])):
        store.materialize(START, at(hour), ["sales"])
        online = store.get_online_features(["sales:sales"], [{"shop": 1}, {"shop": 2}]).to_dict()
        assert online["sales"] == expected


def test_all_rows_can_be_pulled(store) -> None:
    view = store.get_feature_view("sales")
    pulled = store._get_provider().offline_store.pull_all_from_table_or_query(
        store.config,
        view.batch_source,
        ["shop"],
        ["sales"],
        "event_timestamp",
        "created_timestamp",
        at(1),
        at(24),
    )
    assert pulled.to_arrow()["sales"].to_pylist() == [99.0, 2.0, 6.0]  # the row of 7.0 was not known yet


@pytest.mark.parametrize(
    ("entity_df", "message"),
    [
        (ASKED.drop_columns(["shop"]), "'sales' needs shop"),
        (ASKED.drop_columns(["price"]), "'pricing' needs price"),
        (ASKED.drop_columns(["event_timestamp"]), "need a time column"),
        ("SELECT 1", "Give a pandas frame"),
    ],
)
def test_unusable_entity_rows_are_told_what_they_lack(store, entity_df, message) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        history(store, entity_df).to_arrow()


def test_no_rows_yet_says_what_to_do(tmp_path) -> None:
    store = store_at(tmp_path)
    store.apply(objects(source("shops/features/sales")))
    with pytest.raises(FileNotFoundError, match="Materialise `features`"):
        history(store).to_arrow()


def test_a_lake_that_is_an_unset_variable_is_refused(tmp_path) -> None:
    lakeless = {"type": "mlops_assets.resources.features.asof_store.AsOfOfflineStore", "lake": "${MLOPS_HOME}/lake"}
    registry = str(tmp_path / "registry.db")
    with pytest.raises(ValueError, match="not set"):
        RepoConfig(project="shops", provider="local", registry=registry, offline_store=lakeless)
