"""raw_data on real files and a real lake."""

import gzip
from dataclasses import replace
from datetime import timedelta

import pytest

from mlops_assets.declaration.data import Every, PartitionSpec
from mlops_assets.domain.names import SNAPSHOT, Layer
from mlops_assets.stages.data.raw_data.asset import raw_data
from tests.kit.data_stages import DAYS, NOW, checks, column, data_stages, files
from tests.kit.specs import START, feed_spec, source_spec


@pytest.fixture
def stages(tmp_path):
    made = data_stages(tmp_path)
    for day in DAYS[:4]:
        made.write(day)
    return made


def run(stages, *days):
    return stages.run(*days, stages=[raw_data])


def test_a_range_is_read_once_into_a_snapshot_a_day(stages):
    result = run(stages, DAYS[0], DAYS[2])
    assert result.success
    table = stages.table(Layer.RAW)
    assert [snapshot.rows for snapshot in table.snapshots().values()] == [40, 40, 40]
    assert column(table, "id", DAYS[1])[:3] == [1000, 1001, 1002]
    assert table.read([DAYS[0]]).column_names == ["id", "at", "label", "x", "c"]
    assert all(each.passed for each in checks(result).values())


def test_running_again_changes_no_byte(stages):
    run(stages, DAYS[0], DAYS[3])
    before = files(stages.folder / "lake")
    run(stages, DAYS[0], DAYS[3])
    run(stages, DAYS[1])
    assert files(stages.folder / "lake") == before


def test_metadata_tells_the_whole_once_and_each_day_its_own(stages):
    events = run(stages, DAYS[0], DAYS[1]).asset_materializations_for_node("tiny__raw_data")
    first, last = (each.metadata for each in events)
    assert first["rows/events"].value == first["dagster/partition_row_count"].value == 40
    assert "feeds" not in first
    assert "| events | 80 | 2 | 2 | 0 |" in str(last["feeds"].value)
    assert "data:image/png;base64," in str(last["rows"].value)


def test_the_data_version_follows_the_rows(stages):
    def version(*days):
        return run(stages, *days).asset_materializations_for_node("tiny__raw_data")[-1].tags["dagster/data_version"]

    first = version(DAYS[0])
    assert version(DAYS[0]) == first
    assert version(DAYS[1]) != first
    stages.write(DAYS[0], rows=41)
    assert version(DAYS[0]) != first


def test_late_rows_land_in_the_partition_of_their_event(stages):
    run(stages, DAYS[0], DAYS[1])
    stages.write(DAYS[3], lines=[f"9,{DAYS[0]} 12:00:00,1,0.5,a"])
    run(stages, DAYS[0])
    assert column(stages.table(Layer.RAW), "id", DAYS[0])[-1] == 9


def test_a_source_that_shrank_is_seen_and_blocks_nothing(stages):
    run(stages, DAYS[0])
    stages.write(DAYS[0], rows=30)
    result = run(stages, DAYS[0])
    assert result.success
    verdict = checks(result)["kept_rows"]
    assert not verdict.passed
    assert f"events {DAYS[0]}: 30 rows, 40 before" in str(verdict.description)
    assert verdict.severity.value == "WARN"


def test_a_day_sent_again_under_another_date_is_seen(stages):
    stages.write(DAYS[1], lines=[f"{i},{DAYS[1]} 01:00,1,{i}.5,a" for i in range(30)])
    stages.write(DAYS[2], lines=[f"{90 + i},{DAYS[2]} 01:00,1,{i}.5,a" for i in range(30)])
    run(stages, DAYS[1])
    verdict = checks(run(stages, DAYS[2]))["no_repeats"]
    assert f"events {DAYS[2]} repeats {DAYS[1]}" in str(verdict.description)


def test_a_changed_schema_is_seen_against_earlier_partitions(stages):
    run(stages, DAYS[0])
    stages.write(DAYS[1], header="id,at,label,x,extra", lines=[f"1,{DAYS[1]},1,high,b"])
    verdict = checks(run(stages, DAYS[1]))["kept_schema"]
    for told in ("new: extra", "missing: c", "x was number (double), is text (string)"):
        assert told in str(verdict.description)


def test_rows_without_a_readable_time_are_kept_apart_and_counted(stages):
    stages.write(DAYS[0], lines=[f"1,{DAYS[0]},1,0.5,a", "2,whenever,1,0.5,a", "3,,1,0.5,a"])
    result = run(stages, DAYS[0])
    assert column(stages.table(Layer.RAW), "id", "no_time") == [2, 3]
    assert "events: 2 rows" in str(checks(result)["every_row_timed"].description)
    stages.write(DAYS[0])
    assert checks(run(stages, DAYS[0]))["every_row_timed"].passed
    assert column(stages.table(Layer.RAW), "id", "no_time") == []


def test_an_empty_day_is_legal(stages):
    assert run(stages, DAYS[5]).success
    snapshot = stages.table(Layer.RAW).snapshot(DAYS[5])
    assert snapshot is not None
    assert (snapshot.rows, snapshot.file) == (0, "")


def test_a_damaged_file_fails_the_run_and_writes_nothing(stages):
    (stages.folder / "source" / "bad.csv.gz").write_bytes(gzip.compress(b"id,at\n1,2024-01-01\n")[:-6])
    result = run(stages, DAYS[0])
    assert not result.success
    assert "bad.csv.gz" in str(result.failure_data_for_node("tiny__raw_data"))
    assert stages.table(Layer.RAW).snapshots() == {}


def test_a_static_feed_is_one_snapshot_beside_daily_ones(tmp_path):
    made = data_stages(tmp_path)
    (tmp_path / "shops.csv").write_text("shop,size\n1,10\n2,20\n")
    shops = feed_spec("shops", path=str(tmp_path / "shops.csv"), time=(), key=("shop",))
    made = replace(made, spec=made.spec.with_changes(source=source_spec(made.spec.source.feeds["events"], shops)))
    made.write(DAYS[0])
    assert run(made, DAYS[0]).success
    assert list(made.table(Layer.RAW, "shops").snapshots()) == [SNAPSHOT]


def test_a_replay_lands_only_what_had_arrived(tmp_path):
    feed = feed_spec(path=str(tmp_path / "source"), arrived="came")
    made = data_stages(tmp_path, source=source_spec(feed), replay=START + timedelta(days=1))
    made.write(DAYS[0], header="id,at,came,label", lines=[f"1,{DAYS[0]},{DAYS[0]},1", f"2,{DAYS[0]},{DAYS[2]},1"])
    run(made, DAYS[0])
    assert column(made.table(Layer.RAW), "id", DAYS[0]) == [1]
    run(replace(made, spec=made.spec.with_changes(replay=NOW)), DAYS[0])
    assert column(made.table(Layer.RAW), "id", DAYS[0]) == [1, 2]


@pytest.mark.parametrize(
    ("every", "partition"), [(Every.HOUR, "2024-01-01-05:00"), (Every.MONTH, "2024-01"), (Every.NONE, None)]
)
def test_every_size_of_partition(tmp_path, every, partition):
    made = data_stages(tmp_path, partitions=PartitionSpec(every=every, start=None if every is Every.NONE else START))
    made.write(DAYS[0])
    assert run(made, *([partition] if partition else [])).success
    assert list(made.table(Layer.RAW).snapshots()) == [partition or SNAPSHOT]
    assert made.table(Layer.RAW).read().num_rows == (2 if every is Every.HOUR else 40)
