"""predictions: each row of the log once in its day, whatever is repeated, late, killed or cut."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from mlops_assets.domain.names import Layer, Stage
from mlops_assets.domain.traffic.refused import count_by_kind
from mlops_assets.stages.common import asset_key, days_of
from serving.log.refusals import Refusal, build_refusal_batch
from tests.kit.daily import AFTER, BEFORE, MODEL, check_results, definitions_of
from tests.kit.declared import Bench
from tests.kit.prediction_log import SegmentLog, live_rows, outcome_rows
from tests.kit.specs import model_spec

DAY = BEFORE - timedelta(days=1)
NAME = f"{DAY:%Y-%m-%d}"
NEXT = f"{BEFORE:%Y-%m-%d}"
PROJECT = Path(__file__).parents[3]


@pytest.fixture
def made(shop, tmp_path) -> Bench:
    return shop.copy(shop.registered, tmp_path)


@pytest.fixture
def log(made) -> SegmentLog:
    return SegmentLog(made.home / "predictions", MODEL)


def champion(made: Bench) -> dict[str, Any]:
    (version,) = made.resources["registry"].versions(MODEL)
    return {"version": version.semantic, "bundle": version.bundle}


def compact(made: Bench, day: str = NAME) -> dg.ExecuteInProcessResult:
    job = definitions_of(made).resolve_job_def(f"{MODEL}_predictions")
    return job.execute_in_process(instance=made.instance, partition_key=day, raise_on_error=False)


def told(result: dg.ExecuteInProcessResult) -> dict:
    (event,) = result.asset_materializations_for_node(f"{MODEL}__predictions")
    return {name: value.value for name, value in event.metadata.items()}


def rows(made: Bench, day: str = NAME, kind: str = "answers") -> list[dict]:
    return made.resources["lake"].table(MODEL, Layer.PREDICTIONS, kind).read([day]).to_pylist()


def ids(made: Bench, day: str = NAME) -> list[str]:
    return [row["request_id"] for row in rows(made, day)]


def test_a_day_of_answers_and_outcomes_comes_into_the_lake(made, log):
    who = champion(made)
    log.closed(live_rows(["a", "b"], DAY, **who), live_rows(["c"], DAY + timedelta(hours=5), **who))
    log.closed(live_rows(["d"], BEFORE, **who))
    SegmentLog(made.home / "feedback", MODEL).closed(outcome_rows(["a", "b"], DAY + timedelta(hours=7)))
    result = compact(made)
    assert result.success
    assert all(check_results(result).values())
    assert ids(made) == ["a", "b", "c"]
    assert rows(made)[1]["features"] == {"price": 1.0}
    assert rows(made)[0]["role"] == "champion"
    assert [row["request_id"] for row in rows(made, kind="outcomes")] == ["a", "b"]
    assert told(result)["rows"] == 3
    assert "data:image/png" in told(result)["answers by hour"]
    assert ids(made, NEXT) == []


def test_refusals_come_into_the_lake_each_once(made):
    refusal = Refusal("a", DAY.timestamp(), "k", "1", "champion", "champion", "b", 1, "features", "gone", 1, False)
    rest = [(refusal._replace(request_id="b"), 1), (refusal._replace(request_id="c", kind="invalid"), 40)]
    batch = build_refusal_batch([(refusal, 1), (refusal, 1), *rest])
    SegmentLog(made.home / "refusals", MODEL).closed(batch)
    result = compact(made)
    assert all(check_results(result).values())
    assert [(row["request_id"], row["requests"]) for row in rows(made, kind="refusals")] == [
        ("a", 1),
        ("b", 1),
        ("c", 40),
    ]
    assert count_by_kind([batch]) == {"invalid": 40, "features": 2}


def test_the_same_again_changes_nothing(made, log):
    log.closed(live_rows(["a", "b"], DAY, **champion(made)))
    first = compact(made)
    folder = made.home / "lake" / MODEL / "predictions" / "answers"
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    second = compact(made)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert (told(first)["rows new"], told(second)["rows new"]) == (2, 0)


def test_rows_logged_twice_count_once(made, log):
    who = champion(made)
    log.closed(live_rows(["a", "b"], DAY, **who))
    writer = log.open(live_rows(["b", "c"], DAY, **who))
    compact(made)
    assert ids(made) == ["a", "b", "c"]
    writer.write(live_rows(["d"], DAY, **who))
    writer.close()
    result = compact(made)
    assert ids(made) == ["a", "b", "c", "d"]
    assert all(check_results(result).values())


def test_late_rows_come_with_the_next_run_of_their_day(made, log):
    who = champion(made)
    log.closed(live_rows(["b"], DAY + timedelta(hours=3), **who))
    compact(made)
    log.closed(live_rows(["a"], DAY + timedelta(hours=1), **who))
    compact(made)
    assert ids(made) == ["b", "a"]


def test_a_repeat_after_midnight_counts_for_the_first_day(made, log):
    who = champion(made)
    log.closed(live_rows(["a", "b"], BEFORE - timedelta(seconds=2), **who))
    compact(made)
    log.closed(live_rows(["b", "c"], BEFORE + timedelta(seconds=2), **who))
    result = compact(made, NEXT)
    assert (ids(made), ids(made, NEXT)) == (["a", "b"], ["c"])
    assert all(check_results(result).values())
    compact(made)
    assert ids(made) == ["a", "b"]


def test_versions_with_other_features_and_shadows_share_a_day(made, log):
    who = champion(made)
    log.closed(live_rows(["a"], DAY, **who))
    other = live_rows(["a"], DAY, features=["age", "price"], role=["shadow"], version="1.1.0", bundle=who["bundle"])
    log.closed(other)
    compact(made)
    kept = rows(made)
    assert [(row["version"], row["role"]) for row in kept] == [(who["version"], "champion"), ("1.1.0", "shadow")]
    assert [row["features"] for row in kept] == [{"price": 0.0, "age": None}, {"price": 0.0, "age": 0.0}]


def test_an_answer_of_an_unknown_version_fails_the_check(made, log):
    log.closed(live_rows(["a"], DAY, **champion(made)), live_rows(["b"], DAY, version="9.9.9"))
    result = compact(made)
    assert not check_results(result)["known_versions"]
    assert ids(made) == ["a", "b"]


def test_a_version_under_anothers_name_fails_the_check(made, log):
    log.closed(live_rows(["a"], DAY, bundle=champion(made)["bundle"], version="7.7.7"))
    assert not check_results(compact(made))["known_versions"]


def test_a_cut_segment_is_read_and_a_damaged_one_named(made, log):
    who = champion(made)
    log.closed(live_rows(["a"], DAY, **who), live_rows(["b"], DAY, **who))
    (path,) = (made.home / "predictions" / MODEL).glob("*.arrow")
    path.write_bytes(path.read_bytes()[:-40])
    (path.parent / "19700101T000000-x-1.arrow.cut").write_bytes(b"half")
    result = compact(made)
    assert ids(made) == ["a"]
    assert not check_results(result)["whole_log"]
    assert told(result)["segments without one whole batch"] == 1


def test_old_segments_go_once_their_rows_are_safe(made, log):
    who = champion(made)
    old = DAY - timedelta(days=5)
    log.closed(live_rows(["a"], old, **who), live_rows(["b"], old + timedelta(days=1), **who))
    log.closed(live_rows(["c"], DAY, **who))
    short = Bench(spec=_with_retention(made, timedelta(days=3)), home=made.home, instance=made.instance)
    files = made.home / "predictions" / MODEL
    first = compact(short, f"{old:%Y-%m-%d}")
    assert told(first)["segments removed"] == 0  # its second day is not in the lake
    second = compact(short, f"{old + timedelta(days=1):%Y-%m-%d}")
    assert (told(second)["segments removed"], told(second)["rows in segments removed"]) == (1, 2)
    compact(short)
    assert len(list(files.glob("*.arrow"))) == 1  # that of DAY is young
    again = compact(short, f"{old:%Y-%m-%d}")
    assert (ids(made, f"{old:%Y-%m-%d}"), again.success) == (["a"], True)


def test_a_day_whose_file_is_gone_keeps_its_segments(made, log):
    old = DAY - timedelta(days=5)
    log.closed(live_rows(["a"], old, **champion(made)))
    compact(made, f"{old:%Y-%m-%d}")
    (file,) = (made.home / "lake" / MODEL / "predictions" / "answers").glob("*.parquet")
    file.unlink()
    short = Bench(spec=_with_retention(made, timedelta(days=3)), home=made.home, instance=made.instance)
    assert told(compact(short))["segments removed"] == 0
    assert len(list((made.home / "predictions" / MODEL).glob("*.arrow"))) == 1


def test_a_run_killed_in_the_middle_leaves_the_day_to_the_next(tmp_path):
    """Killed at moments spread over the whole of its work; the manifest only ever names a whole file."""
    for place in range(4):
        batches = [live_rows([f"{place}-{i}-{j}" for j in range(2_000)], DAY, apart=timedelta(milliseconds=1))
                   for i in range(60)]  # fmt: skip
        SegmentLog(tmp_path / "log", MODEL, worker=f"w{place}").closed(*batches)
    code = f"""
        from datetime import UTC, datetime
        from pathlib import Path
        from mlops_assets.resources.lake.table import Table
        from mlops_assets.resources.traffic.log_segments import LogSegments
        from mlops_assets.stages.traffic.predictions.collect import compact
        root = Path({str(tmp_path)!r})
        print("begun", flush=True)
        segments = LogSegments(root / "log" / "{MODEL}", root / "notes.json").look()
        compact("answers", "{NAME}", segments, Table(str(root / "lake")), [], now=datetime(2024, 1, 1, tzinfo=UTC))
        print("done", flush=True)
    """
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    for moment in ("reading", "writing", "soon", "never"):
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True, env=environment
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "begun\n"
        if moment != "never":
            while moment == "writing" and child.poll() is None and not list((tmp_path / "lake").glob(".aside-*/*")):
                time.sleep(0.005)
            time.sleep({"reading": 0.3, "writing": 0.05, "soon": 1.0}[moment])
            os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        if moment != "soon":  # by then a fast machine may be through
            assert (tmp_path / "lake" / f"{NAME}.json").exists() is (moment == "never")
    (file,) = (tmp_path / "lake").glob("*.parquet")
    found = pq.read_table(file, columns=["request_id"])["request_id"].to_pylist()
    assert len(found) == len(set(found)) == 4 * 60 * 2_000


def test_days_begin_with_the_data_the_replay_or_what_is_declared(made):
    keys = days_of(made.spec).get_partition_keys()
    assert (keys[0], keys[-1]) == ("2024-01-01", f"{AFTER:%Y-%m-%d}")
    wall = model_spec(replay=None)
    since = wall.partitions.start or wall.serving.since
    assert days_of(wall).get_partition_keys(current_time=datetime(2027, 1, 1, tzinfo=UTC))[0] == f"{since:%Y-%m-%d}"
    assert asset_key(MODEL, Stage.PREDICTIONS).path == [MODEL, "predictions"]


def _with_retention(made: Bench, retention: timedelta):

    return made.spec.with_changes(serving=made.spec.serving.with_changes(log_retention=retention))
