"""Feeds that are files, on disk and in memory."""

import gzip
import os
from datetime import UTC, datetime, timedelta

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_assets.resources.sources.error import SourceError
from mlops_assets.resources.sources.sources import Sources
from tests.kit.specs import START, feed_spec, model_spec, source_spec

DAY = timedelta(days=1)
NOW = START + 30 * DAY


def opened(feed, **changes):
    return Sources(databases={}).open(model_spec(source=source_spec(feed), **changes))


def read(feed, start=START, end=START + DAY, as_of=NOW, **changes) -> list[dict]:
    pieces = opened(feed, **changes).read(feed.name, start, end, as_of)
    return [row for piece in pieces for row in piece.rows.to_pylist()]


def days(count: int) -> pa.Table:
    at = [START + day * DAY for day in range(count)]
    return pa.table({"at": pa.array(at, pa.timestamp("us", tz="UTC")), "n": list(range(count))})


def test_parquet_reads_only_the_row_groups_of_the_window(tmp_path):
    path = tmp_path / "events.parquet"
    pq.write_table(days(20), path, row_group_size=1, use_dictionary=False)
    whole = path.read_bytes()
    assert [row["n"] for row in read(feed_spec(path=str(path)), START + 7 * DAY, START + 9 * DAY)] == [7, 8]
    far = pq.ParquetFile(path).metadata.row_group(19).column(1)
    low, high = far.data_page_offset, far.data_page_offset + far.total_compressed_size
    path.write_bytes(whole[:low] + b"\0" * (high - low) + whole[high:])
    assert [row["n"] for row in read(feed_spec(path=str(path)))] == [0]


def test_csv_types_are_recognised_and_texts_stay_as_they_came(tmp_path):
    path = tmp_path / "events.csv.gz"
    text = (
        'at;n;x;c;day\n2024-01-01;1;NA;"NA";2024-01-05\n2024-01-01;?;2.5;?;2024-01-06\n2024-01-01;3;1;word;2024-01-06\n'
    )
    path.write_bytes(gzip.compress(text.encode()))
    rows = read(feed_spec(path=str(path), separator=";", missing=("?",)))
    assert [row["n"] for row in rows] == [1, None, 3]
    assert [row["x"] for row in rows] == [None, 2.5, 1]
    assert [row["c"] for row in rows] == ["NA", "?", "word"]
    assert rows[0]["day"].isoformat() == "2024-01-05"


def test_folders_globs_and_named_folders_are_read_in_order(tmp_path):
    for day in (1, 2):
        folder = tmp_path / f"region={day}"
        folder.mkdir()
        pq.write_table(days(day), folder / "part.parquet")
    (tmp_path / "_SUCCESS").write_text("")
    (tmp_path / "README.md").write_text("no data")
    folder_rows = read(feed_spec(path=str(tmp_path)))
    assert [(row["region"], row["n"]) for row in folder_rows] == [(1, 0), (2, 0)]
    assert read(feed_spec(path=str(tmp_path / "region=*" / "*.parquet"))) == folder_rows


def test_an_object_store_is_read_through_fsspec():
    store = fsspec.filesystem("memory")
    with store.open("/bucket/events/a.parquet", "wb") as stream:
        pq.write_table(days(3), stream)
    store.pipe("/bucket/events/b.csv", b"at,n\n2024-01-02,7\n")
    try:
        rows = read(feed_spec(path="memory://bucket/events"), START + DAY, START + 2 * DAY)
        assert [row["n"] for row in rows] == [1, 7]
    finally:
        store.rm("/bucket", recursive=True)


def test_files_whose_types_differ_stay_apart(tmp_path):
    (tmp_path / "a.csv").write_text("at,x\n2024-01-01,1\n")
    (tmp_path / "b.csv").write_text("at,x\n2024-01-01,one\n")
    pieces = opened(feed_spec(path=str(tmp_path))).read("events", START, START + DAY, NOW)
    assert [str(piece.rows.schema.field("x").type) for piece in pieces] == ["int64", "string"]


def test_position_stands_in_for_time_across_files(tmp_path):
    (tmp_path / "a.csv").write_text("x\n1\n2\n")
    (tmp_path / "b.csv").write_text("x\n3\n4\n")
    feed = feed_spec(path=str(tmp_path), time=(), order="row")
    first = datetime(1970, 1, 1, tzinfo=UTC)
    assert [row["x"] for row in read(feed, first + timedelta(seconds=1), first + timedelta(seconds=3))] == [
        2,
        3,
    ]


def test_every_damaged_file_is_named_with_what_to_do(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no parquet at all PAR1")
    (tmp_path / "b.csv").write_text("at,n\n2024-01-01\n")
    (tmp_path / "c.csv.gz").write_bytes(gzip.compress(b"at,n\n2024-01-01,1\n")[:-9])
    (tmp_path / "d.csv").write_bytes(b"at,n\n2024-01-01,caf\xe9\n")
    (tmp_path / "e.csv").write_text("at,n\n2024-01-01,1\n")
    with pytest.raises(SourceError) as found:
        read(feed_spec(path=str(tmp_path)))
    for told in ("a.parquet", "b.csv", "c.csv.gz", "d.csv is not UTF-8", "Bring the file again"):
        assert told in str(found.value)
    assert "e.csv" not in str(found.value)


def test_no_file_at_all_is_an_error(tmp_path):
    with pytest.raises(SourceError, match=r"no file at .*nothing.*Correct `path`"):
        read(feed_spec(path=str(tmp_path / "nothing")))


def test_a_file_with_a_header_and_no_rows_is_empty(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text("at,n\n")
    assert read(feed_spec(path=str(path))) == []


def test_changed_partitions_by_arrival_column(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(
        "at,came\n2024-01-01,2024-01-01\n2024-01-01,2024-01-05\n2024-01-04,2024-01-05\n2024-01-06,2024-01-09\n"
    )
    feed = feed_spec(path=str(path), arrived="came")
    since = START + 3 * DAY
    assert opened(feed).changed("events", since, NOW) == {"2024-01-01", "2024-01-04", "2024-01-06"}
    replayed = opened(feed, replay=START)
    assert replayed.changed("events", since, START + 5 * DAY) == {"2024-01-01", "2024-01-04"}


def test_changed_partitions_by_the_age_of_files(tmp_path):
    for day in (1, 2):
        path = tmp_path / f"{day}.csv"
        path.write_text(f"at\n2024-01-0{day}\n")
        written = (START + day * DAY).timestamp()
        os.utime(path, (written, written))
    feed = feed_spec(path=str(tmp_path))
    assert opened(feed).changed("events", START + timedelta(hours=36), NOW) == {"2024-01-02"}
    static = feed_spec(path=str(tmp_path), time=())
    assert opened(static).changed("events", START, NOW) == {"all"}
    assert opened(static).changed("events", NOW, NOW) == frozenset()
