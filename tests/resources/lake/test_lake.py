"""The lake on a real disk and on another fsspec file system."""

import resource
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_assets.domain.digest import content_digest
from mlops_assets.domain.names import Layer
from mlops_assets.resources.lake.lake import Lake

NOW = datetime(2024, 1, 1, tzinfo=UTC)
LATER = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["disk", "memory"])
def lake(request, tmp_path):
    return Lake(root=str(tmp_path / "lake") if request.param == "disk" else f"memory://{uuid.uuid4().hex}")


def rows(*values: float) -> pa.Table:
    return pa.table({"x": list(values)})


def test_what_is_written_is_read(lake):
    table = lake.table("m", Layer.RAW, "f")
    snapshot = table.write("2024-01-01", rows(1.0, 2.0), now=NOW, inputs={"a": "b"})
    assert table.snapshot("2024-01-01") == snapshot
    assert (snapshot.rows, dict(snapshot.columns), dict(snapshot.inputs)) == (2, {"x": "double"}, {"a": "b"})
    assert table.read().equals(rows(1.0, 2.0))


def test_the_same_rows_again_change_nothing(lake):
    table = lake.table("m", Layer.RAW, "f")
    first = table.write("p", rows(1.0), now=NOW)
    again = table.write("p", pa.concat_tables([rows(1.0)]), now=LATER)
    assert again == first


def test_new_rows_replace_the_old_and_the_old_file_is_not_read(lake):
    table = lake.table("m", Layer.RAW, "f")
    table.write("p", rows(1.0), now=NOW)
    table.write("p", rows(2.0, 3.0), now=LATER)
    assert table.read()["x"].to_pylist() == [2.0, 3.0]


def test_an_old_snapshot_can_still_be_read(lake):
    table = lake.table("m", Layer.RAW, "f")
    old = table.write("p", rows(1.0), now=NOW)
    table.write("p", rows(2.0), now=LATER)
    assert table.read_snapshots([old])["x"].to_pylist() == [1.0]


def test_partitions_come_in_order_and_only_those_asked_for(lake):
    table = lake.table("m", Layer.RAW, "f")
    for day in (3, 1, 2):
        table.write(f"2024-01-0{day}", rows(day), now=NOW)
    assert table.read()["x"].to_pylist() == [1, 2, 3]
    assert table.read(["2024-01-03", "2024-01-01", "1999-01-01"])["x"].to_pylist() == [1, 3]


def test_a_column_that_some_partitions_lack_is_null_there(lake):
    table = lake.table("m", Layer.RAW, "f")
    table.write("a", rows(1.0), now=NOW)
    table.write("b", pa.table({"x": [2.0], "y": ["new"]}), now=NOW)
    assert table.read()["y"].to_pylist() == [None, "new"]
    assert table.read(columns=["y"]).column_names == ["y"]


def test_an_empty_partition_is_a_snapshot_without_a_file(lake):
    table = lake.table("m", Layer.RAW, "f")
    snapshot = table.write("p", rows()[:0], now=NOW)
    assert (snapshot.rows, snapshot.file) == (0, "")
    assert table.read().num_rows == 0


def test_a_folder_is_published_once(lake, tmp_path):
    for text in ("first", "second"):
        folder = tmp_path / text
        folder.mkdir()
        (folder / "a.txt").write_text(text)
        relative = lake.publish("m", Layer.TRAINING_SETS, "digest", folder)
        assert not folder.exists()
    assert (lake.fetch(relative, tmp_path / "cache") / "a.txt").read_text() == "first"


def test_a_folder_that_is_not_there_says_what_to_do(lake, tmp_path):
    with pytest.raises(FileNotFoundError, match="Materialise"):
        lake.fetch("m/training_sets/none", tmp_path)


def test_the_digest_depends_on_rows_names_and_types_only():
    table = rows(1.0, 2.0)
    assert content_digest(table) == content_digest(pa.concat_tables([table[:1], table[1:]]))
    assert content_digest(table) == content_digest(rows(0.0, 1.0, 2.0)[1:])
    assert content_digest(table) != content_digest(table.rename_columns(["y"]))
    assert content_digest(table) != content_digest(rows(2.0, 1.0))
    assert content_digest(table) != content_digest(table.cast(pa.schema([("x", pa.float32())])))


@contextmanager
def no_file_beyond(size: int):
    """The kernel refuses to let a file grow further, in the middle of a write, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_failed_write_leaves_the_old_snapshot(tmp_path):
    table = Lake(root=str(tmp_path)).table("m", Layer.RAW, "f")
    table.write("p", rows(1.0), now=NOW)
    with pytest.raises(OSError, match="nothing was changed"), no_file_beyond(2_000):
        table.write("p", rows(*np.random.default_rng(0).random(5_000)), now=LATER)
    assert table.read()["x"].to_pylist() == [1.0]
    assert len(list((tmp_path / "m" / "raw" / "f").iterdir())) == 2


def test_a_folder_written_in_the_first_layout_is_read(tmp_path):
    folder = tmp_path / "m" / "raw" / "f"
    folder.mkdir(parents=True)
    moments = pa.array([NOW, LATER], pa.timestamp("us", "UTC"))
    digest = "d" * 64
    pq.write_table(pa.table({"at": moments, "x": [1.0, 2.0]}), folder / "2024-01-01-dddddddddddd.parquet")
    pq.write_table(pa.table({"x": [0.0]}), folder / "2024-01-01-eeeeeeeeeeee.parquet")  # superseded
    (folder / "2024-01-01.json").write_text(
        '{\n "partition": "2024-01-01",\n "digest": "' + digest + '",\n "rows": 2,\n'
        ' "file": "2024-01-01-dddddddddddd.parquet",\n'
        ' "start": "2024-01-01T00:00:00Z",\n "watermark": "2025-01-01T00:00:00Z",\n'
        ' "columns": {\n  "at": "timestamp[us, tz=UTC]",\n  "x": "double"\n },\n'
        ' "inputs": {\n  "raw/f/2024-01-01": "abc"\n },\n "written_at": "2024-01-02T00:00:00Z"\n}'
    )
    (folder / "2024-01-02.json").write_text(
        '{"partition": "2024-01-02", "digest": "e3", "rows": 0, "file": "", "start": null, "watermark": null,'
        ' "columns": {}, "inputs": {}, "written_at": "2024-01-03T00:00:00Z"}'
    )
    table = Lake(root=str(tmp_path)).table("m", Layer.RAW, "f")
    snapshots = table.snapshots()
    assert list(snapshots) == ["2024-01-01", "2024-01-02"]
    assert (snapshots["2024-01-01"].start, snapshots["2024-01-01"].watermark) == (NOW, LATER)
    assert snapshots["2024-01-01"].inputs == {"raw/f/2024-01-01": "abc"}
    assert table.read()["x"].to_pylist() == [1.0, 2.0]
    assert [piece["x"].to_pylist() for piece in table.read_pieces(snapshots["2024-01-01"], ["x"])] == [[1.0, 2.0]]
    assert all(table.is_sound(snapshot) for snapshot in snapshots.values())


def test_rows_in_pieces_are_the_same_snapshot_however_cut(lake):
    table = lake.table("m", Layer.RAW, "f")
    whole = pa.table({"at": pa.array([NOW, LATER], pa.timestamp("us", "UTC")), "x": [1.0, 2.0]})
    first = table.write_pieces("p", [whole], whole.schema, now=NOW, time_column="at", inputs={})
    cut = [whole[:1], whole[1:]]
    assert table.write_pieces("p", cut, whole.schema, now=LATER, time_column="at", inputs={}) == first
    assert (first.rows, first.start, first.watermark) == (2, NOW, LATER)
    assert table.read(columns=["x"])["x"].to_pylist() == [1.0, 2.0]
    assert table.schema(first) == whole.schema
    again = table.write_pieces("p", cut, whole.schema, now=LATER, time_column="at", inputs={"a": "b"})
    assert (again.file, again.inputs, again.written_at) == (first.file, {"a": "b"}, LATER)


def test_a_column_whose_name_begins_like_another_is_read_alone(lake):
    table = lake.table("m", Layer.RAW, "f")
    snapshot = table.write("p", pa.table({"a": [1], "a.b": [2]}), now=NOW)
    assert table.read(columns=["a"]).to_pydict() == {"a": [1]}
    assert table.read_snapshots([snapshot], ["a.b"]).to_pydict() == {"a.b": [2]}


def test_an_upload_that_was_cut_off_is_completed(tmp_path):
    lake = Lake(root=f"memory://{uuid.uuid4().hex}")
    for names in (["a.txt"], ["a.txt", "b/c.txt"]):  # the first upload was killed before its second file
        folder = tmp_path / "made"
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(name)
        relative = lake.publish("m", Layer.TRAINING_SETS, "digest", folder)
    local = lake.fetch(relative, tmp_path / "cache")
    assert [(local / name).read_text() for name in names] == ["a.txt", "b/c.txt"]
