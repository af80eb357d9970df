"""The prediction log: what a row holds, what a kill costs, what a full disk does."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from serving.contract.arms import Role
from serving.contract.fields import Contract
from serving.contract.release import write_release
from serving.contract.segments import Segment, Writer, close_orphans, read_batches
from serving.log.prediction_log import PredictionLog, Record
from serving.models.loaded_model import load_model
from serving.models.served_models import ServedArm, ServedModels
from serving.rows.reader import Packed
from serving.telemetry.meter import Meters
from tests.serving.graphs import category, contract, make_bundle, number, release

BATCH = pa.record_batch({"n": pa.array([1, 2, 3])})
CODED = pa.record_batch({"n": pa.array([1, 2, 3]), "who": pa.array(["a", "b", "a"]).dictionary_encode()})


@pytest.fixture
def standing(tmp_path) -> ServedArm:
    return standing_of(tmp_path, contract([number("distance"), category("carrier")], entity=("tail",)))


def standing_of(tmp_path: Path, given: Contract) -> ServedArm:
    digest = make_bundle(tmp_path / "bundles", given)
    (tmp_path / "releases" / "delay.json").unlink(missing_ok=True)
    write_release(tmp_path / "releases" / "delay.json", release(("champion", digest, Role.CHAMPION, 1.0)))
    loading = partial(load_model, threads=1, most_rows=10)
    models = ServedModels(tmp_path / "releases", tmp_path / "bundles", meters=Meters(), load_bundle=loading)
    models.poll()
    return models.served["delay"].champion


def record(standing: ServedArm, number: int, rows: int = 1) -> Record:
    packed = Packed(np.full((rows, 1), float(number)), np.full((rows, 1), "AA", dtype=object), ())
    scores = np.linspace(0, 1, rows, dtype=np.float32)
    tails = {"tail": [f"N{i}" for i in range(rows)]}
    return Record(
        f"r{number}", 1_000.5, "k", rows, standing, 3, tails, packed, scores, 0.002, "why" if number else "", "champion"
    )


def open_log(folder: Path, *, buffer: int = 1_000_000) -> PredictionLog:
    return PredictionLog(folder, "w1", buffer=buffer, segment=1_000_000)


def rows_of(folder: Path) -> list[dict]:
    found = sorted(folder.rglob("*.arrow"))
    return [row for path in found for batch in read_batches(path) for row in batch.to_pylist()]


def test_a_row_holds_what_the_design_asks_for(tmp_path, standing):
    log = open_log(tmp_path / "log")
    log.add(record(standing, 0))
    log.add(record(standing, 1, rows=2))
    log.close()
    first, second, third = rows_of(tmp_path / "log")
    assert first["request_id"] == "r0"
    assert first["time"].timestamp() == 1_000.5
    assert (first["version"], first["arm"], first["bundle"]) == ("1.0.0", "champion", standing.digest)
    assert (first["generation"], first["latency_ms"]) == (3, 2.0)
    assert (first["degraded"], first["why"]) == (False, "")
    assert first["entities"] == {"tail": "N0"}
    assert first["features"] == {"distance": 0.0, "carrier": "AA"}
    assert first["answer"] == [0.0]
    assert [(r["request_id"], r["row"], r["answer"]) for r in (second, third)] == [("r1", 0, [0.0]), ("r1", 1, [1.0])]
    assert third["degraded"]
    assert third["entities"] == {"tail": "N1"}


def test_large_and_small_requests_keep_values_in_place(tmp_path, standing):
    log = open_log(tmp_path / "log")
    rows = 300
    columns = np.asfortranarray(np.arange(float(rows)).reshape(rows, 1))
    words = np.full((rows, 1), "AA", dtype=object)
    log.add(record(standing, 1, rows=rows)._replace(packed=Packed(columns, words, ())))
    log.add(record(standing, 2))
    log.close()
    *many, last = rows_of(tmp_path / "log")
    assert [row["row"] for row in many] == list(range(rows))
    assert [row["features"]["distance"] for row in many] == columns.ravel().tolist()
    assert [row["entities"]["tail"] for row in many] == [f"N{i}" for i in range(rows)]
    assert {(r["request_id"], r["bundle"], r["generation"], r["why"]) for r in many} == {
        ("r1", standing.digest, 3, "why")
    }
    assert (last["request_id"], last["features"]["distance"]) == ("r2", 2.0)


def test_default_answers_have_the_columns_of_their_model(tmp_path, standing):
    other = standing_of(tmp_path, contract([number("delay")], entity=("flight",)))
    log = open_log(tmp_path / "log")
    by_default = {"packed": None, "scores": None}
    log.add(record(standing, 1)._replace(**by_default))
    log.add(record(other, 2)._replace(entities={"flight": ["F7"]}, **by_default))
    log.close()
    first, second = sorted(rows_of(tmp_path / "log"), key=lambda row: row["request_id"])
    assert first["entities"] == {"tail": "N0"}
    assert second["entities"] == {"flight": "F7"}


def test_a_record_that_cannot_be_written_costs_itself(tmp_path, standing):
    log = open_log(tmp_path / "log")
    for place in range(5):
        log.add(record(standing, place)._replace(key="\ud800" if place == 3 else "k"))
    log.close()
    assert [row["request_id"] for row in rows_of(tmp_path / "log")] == ["r0", "r1", "r2", "r4"]
    assert log.lost == {"buffer": 0, "disk": 0, "unwritable": 1}


def test_shared_values_of_a_request_are_written_once(tmp_path, standing):
    log = open_log(tmp_path / "log")
    for place, rows in enumerate((1, 300, 3)):
        log.add(record(standing, place, rows=rows))
    log.flush()  # and more than fits in what was packed before
    log.add(record(standing, 3, rows=5_000))
    log.close()
    (path,) = (tmp_path / "log").rglob("*.arrow")
    with pa.ipc.open_stream(path.read_bytes()) as reader:
        written = next(iter(reader)).schema
    shared = {field.name for field in written if pa.types.is_dictionary(field.type)}
    assert shared >= {"request_id", "time", "key", "bundle", "latency_ms"}
    batches = list(read_batches(path))
    assert not any(pa.types.is_dictionary(kind) for batch in batches for kind in batch.schema.types)
    told = [(row["request_id"], row["row"]) for batch in batches for row in batch.to_pylist()]
    assert sorted(told) == sorted((f"r{n}", i) for n, rows in enumerate((1, 300, 3, 5_000)) for i in range(rows))


def test_a_segment_that_is_cut_anywhere_gives_its_whole_batches(tmp_path):
    path = tmp_path / "m.arrow.open"
    segment = Segment(path, CODED.schema)
    ends = [segment.size]
    for batch in (CODED, CODED.slice(1), CODED):
        segment.write(batch)
        ends.append(segment.size)
    content = path.read_bytes()
    for end in range(len(content) + 1):
        path.write_bytes(content[:end])
        whole = sum(end >= each for each in ends[1:])
        assert [batch.num_rows for batch in read_batches(path)] == [3, 2, 3][:whole], end


def test_a_filling_buffer_is_written_before_its_time(tmp_path, standing):
    log = open_log(tmp_path / "log", buffer=20_000)
    log.start(3_600)
    for i in range(12):
        log.add(record(standing, i))
    end = time.monotonic() + 10
    while not log.written and time.monotonic() < end:
        time.sleep(0.01)
    assert log.written
    log.close()
    assert len(rows_of(tmp_path / "log")) == 12
    assert log.lost["buffer"] == 0


def test_what_does_not_fit_is_counted_and_not_kept(tmp_path, standing):
    log = open_log(tmp_path / "log", buffer=5_000)
    for i in range(20):
        log.add(record(standing, i, rows=2))
    kept = 20 - log.lost["buffer"] // 2
    assert 0 < kept < 20
    log.close()
    assert len(rows_of(tmp_path / "log")) == 2 * kept


def test_after_a_flush_there_is_room_again(tmp_path, standing):
    log = open_log(tmp_path / "log", buffer=700)
    for i in range(10):
        log.add(record(standing, i))
        log.flush()
    log.close()
    assert log.lost == {"buffer": 0, "disk": 0}
    assert len(rows_of(tmp_path / "log")) == 10


def test_a_full_disk_only_counts_lost_rows(tmp_path, standing):
    (tmp_path / "log").write_text("no folder can be made here")
    log = open_log(tmp_path / "log")
    log.add(record(standing, 1))
    log.flush()
    assert log.lost["disk"] == 1


def test_a_full_disk_leaves_whole_batches(tmp_path):
    """A limit on the size of files stands in for a full disk: both fail a write in the middle."""
    code = """
        import resource, signal, sys
        from pathlib import Path
        import pyarrow as pa
        from serving.contract.segments import Writer
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        writer = Writer(Path(sys.argv[1]) / "m", "w", most_bytes=10**9, most_seconds=1e9, clock=lambda: 0.0)
        batch = pa.record_batch({"n": pa.array(range(1_000))})
        writer.write(batch)
        resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, resource.RLIM_INFINITY))
        try:
            writer.write(batch)
        except OSError as err:
            print("refused")
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        writer.write(batch)
        writer.close()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "refused" in done.stdout
    (path,) = tmp_path.rglob("*.arrow")
    assert [batch.num_rows for batch in read_batches(path)] == [1_000, 1_000]


def test_a_closed_segment_is_a_plain_arrow_stream(tmp_path):
    writer = Writer(tmp_path / "m", "w", most_bytes=10, most_seconds=1e9, clock=lambda: 0.0)
    writer.write(BATCH)
    assert list(tmp_path.rglob("*.arrow")) == []
    writer.close_if_due()
    (path,) = tmp_path.rglob("*.arrow")
    with pa.ipc.open_stream(path.read_bytes()) as reader:
        assert reader.read_all().to_pylist() == BATCH.to_pylist()


def test_another_schema_gets_another_segment(tmp_path):
    writer = Writer(tmp_path / "m", "w", most_bytes=10**9, most_seconds=1e9, clock=lambda: 0.0)
    writer.write(BATCH)
    writer.write(pa.record_batch({"text": pa.array(["a"])}))
    writer.close()
    assert len(list(tmp_path.rglob("*.arrow"))) == 2


def test_a_killed_writer_loses_nothing_that_was_flushed(tmp_path):
    code = """
        import os, sys, time
        from pathlib import Path
        import pyarrow as pa
        from serving.contract.segments import Writer
        writer = Writer(Path(sys.argv[1]) / "m", "w", most_bytes=10**9, most_seconds=1e9, clock=time.time)
        for i in range(5):
            writer.write(pa.record_batch({"n": pa.array([i] * 100)}))
        print("written", flush=True)
        time.sleep(60)
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "written\n"
    assert close_orphans(tmp_path) == []  # its writer lives
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    (path,) = close_orphans(tmp_path)
    assert sum(batch.num_rows for batch in read_batches(path)) == 500
    assert not list(tmp_path.rglob("*.open"))


@pytest.mark.parametrize("cut", [1, 40, 100])
def test_a_cut_batch_at_the_end_is_left_out(tmp_path, cut):
    writer = Writer(tmp_path / "m", "w", most_bytes=10**9, most_seconds=1e9, clock=lambda: 0.0)
    writer.write(BATCH)
    writer.write(BATCH)
    (path,) = tmp_path.rglob("*.open")
    left = tmp_path / "n" / path.name
    left.parent.mkdir()
    left.write_bytes(path.read_bytes()[:-cut])
    writer.close()
    (closed,) = close_orphans(tmp_path)
    assert closed.parent.name == "n"
    assert sum(batch.num_rows for batch in read_batches(closed)) == 3


def test_a_file_without_a_whole_batch_is_kept_aside(tmp_path):
    left = tmp_path / "m" / "x.arrow.open"
    left.parent.mkdir()
    left.write_bytes(b"half a schema")
    assert close_orphans(tmp_path) == []
    assert [path.name for path in left.parent.iterdir()] == ["x.arrow.cut"]
