"""validated_data on real rows: what goes on, what waits, what stops everything."""

from datetime import timedelta

import dagster as dg
import pytest

from mlops_assets.declaration.data import Every, PartitionSpec
from mlops_assets.domain.names import CREATED_TIME, EVENT_TIME, REASONS, ROW_KEY, SNAPSHOT, Layer
from mlops_assets.stages.data.raw_data.asset import raw_data
from mlops_assets.stages.data.validated_data.asset import validated_data
from tests.kit.data_stages import DAYS, checks, column, data_stages, files, moment
from tests.kit.specs import expectation, feed_spec, source_spec, validation_spec

EXPECTATIONS = (
    expectation("x", type="number", between=(0, 100_000)),
    expectation("c", among=("a", "b"), nulls=0),
)


def made(folder, *expectations, days=4, **limits):
    stages = data_stages(folder, validation=validation_spec(*(expectations or EXPECTATIONS), **limits))
    for day in DAYS[:days]:
        stages.write(day)
    return stages


def reasons(stages, day) -> dict:
    table = stages.table(Layer.QUARANTINE)
    return dict(zip(column(table, "id", day), column(table, REASONS, day), strict=True))


def test_good_rows_pass_with_types_and_times(tmp_path):
    stages = made(tmp_path)
    result = stages.run(DAYS[0], DAYS[1])
    assert result.success
    assert all(each.passed for each in checks(result).values())
    rows = stages.table(Layer.VALIDATED).read([DAYS[1]])
    assert rows.column_names == ["id", "at", "label", "x", "c", EVENT_TIME, CREATED_TIME]
    assert rows[EVENT_TIME][0].as_py() == rows[CREATED_TIME][0].as_py() == moment(DAYS[1])
    snapshot = stages.table(Layer.VALIDATED).snapshot(DAYS[1])
    raw = stages.table(Layer.RAW).snapshot(DAYS[1])
    assert snapshot is not None
    assert raw is not None
    assert snapshot.inputs == {f"raw/events/{DAYS[1]}": raw.digest}
    assert snapshot.watermark == moment(DAYS[1]) + timedelta(hours=23)
    assert stages.table(Layer.QUARANTINE).snapshots() == {}


def test_bad_rows_are_quarantined_with_their_reasons(tmp_path):
    stages = made(tmp_path)
    day = DAYS[0]
    told = ["1,DAY,1,5.5,a", "1,DAY,1,5.5,a", "2,DAY,1,-1,z", ",DAY,1,1,a", "3,DAY,1,high,a", "4,DAY,1,inf,b"]
    lines = [line.replace("DAY", day) for line in [*told, "5,DAY,1,1,", "6,DAY,1,1,b"]]
    stages.write(day, lines=lines)
    result = stages.run(day)
    assert column(stages.table(Layer.VALIDATED), "id", day) == [1, 6]
    assert reasons(stages, day) == {
        1: ["id: key repeated"],
        2: ["c: not among a, b", "x: not between 0 and 100000"],
        None: ["id: key is missing"],
        3: ["x: not readable as number"],
        4: ["x: infinite", "x: not between 0 and 100000"],
        5: ["c: null"],
    }
    assert column(stages.table(Layer.QUARANTINE), "x", day)[3] == "high"  # as it came
    verdict = checks(result)["quarantine"]
    assert not verdict.passed
    assert f"events {day}: 6 of 8 rows quarantined, 75.0% (allowed 50.0%)" in str(verdict.description)


def test_metadata_counts_shows_and_tables(tmp_path):
    stages = made(tmp_path)
    stages.write(DAYS[1], lines=[f"1,{DAYS[1]},1,5.5,a", f"2,{DAYS[1]},1,-1,a", f"3,{DAYS[1]},1,1,a"])
    stages.write(DAYS[2], lines=["7,whenever,1,1,a"])
    first, last = (
        each.metadata for each in stages.run(DAYS[0], DAYS[1]).asset_materializations_for_node("tiny__validated_data")
    )
    assert first["quarantined/events"].value == 0
    assert (last["rows in"].value, last["rows valid"].value, last["rows quarantined"].value) == (44, 42, 2)
    assert "| events | x | between 0 and 100000 | error | 1 | 2.326% |" in str(last["expectations"].value)
    assert "data:image/png;base64," in str(last["quarantine"].value)
    assert reasons(stages, "no_time") == {7: ["at: no readable event time"]}


def test_running_again_and_in_another_range_changes_no_byte(tmp_path):
    stages = made(tmp_path)
    stages.write(DAYS[1], lines=[f"1,{DAYS[1]},1,7,a", f"2,{DAYS[1]},1,-1,a"])  # x is whole here, broken elsewhere
    stages.run(DAYS[0], DAYS[3])
    before = files(tmp_path / "lake")
    stages.run(DAYS[0], DAYS[3])
    stages.run(DAYS[1])
    stages.run(DAYS[1], DAYS[2])
    assert files(tmp_path / "lake") == before


def test_a_corrected_source_empties_the_quarantine(tmp_path):
    stages = made(tmp_path)
    stages.write(DAYS[0], lines=[f"1,{DAYS[0]},1,5,a", f"2,{DAYS[0]},1,-5,a"])
    stages.run(DAYS[0])
    assert list(reasons(stages, DAYS[0])) == [2]
    stages.write(DAYS[0], lines=[f"1,{DAYS[0]},1,5,a", f"2,{DAYS[0]},1,5,a"])
    stages.run(DAYS[0])
    assert reasons(stages, DAYS[0]) == {}
    assert column(stages.table(Layer.VALIDATED), "id", DAYS[0]) == [1, 2]


@pytest.mark.parametrize(
    ("header", "line", "told"),
    [
        ("id,at,label,c", "1,{day},1,a", "no column 'x', which is an expectation"),
        ("id,at,label,x,c", "one,{day},1,1.5,a", "id was number (int64), is text (string)"),
        ("id,label,at,x", "1,1,{day},1.5", "missing: c"),
    ],
)
def test_a_broken_schema_stops_everything_and_writes_nothing(tmp_path, header, line, told):
    stages = made(tmp_path, EXPECTATIONS[0])
    stages.run(DAYS[0])
    before = files(tmp_path / "lake" / "tiny" / "validated")
    stages.write(DAYS[2], header=header, lines=[line.format(day=DAYS[2])])
    result = stages.run(DAYS[1], DAYS[2])
    assert not result.success
    schema = checks(result)["schema"]
    assert not schema.passed
    assert told in str(schema.description)
    assert schema.blocking
    assert files(tmp_path / "lake" / "tiny" / "validated") == before


def test_a_person_can_accept_a_new_schema(tmp_path):
    stages = made(tmp_path, EXPECTATIONS[0])
    stages.run(DAYS[0])
    for day in DAYS[1:3]:
        stages.write(day, header="id,at,label,x", lines=[f"1,{day},1,1.5"])
    assert not stages.run(DAYS[1]).success
    assert stages.run(DAYS[1], config={"accept_new_schema": True}).success


def test_a_failed_check_keeps_downstream_from_running(tmp_path):
    stages = made(tmp_path)
    stages.write(DAYS[0], lines=[f"1,{DAYS[0]},1,-1,a"])

    @dg.asset(deps=[["tiny", "validated_data"]])
    def after() -> None: ...

    result = stages.run(DAYS[0], stages=[raw_data, validated_data, lambda spec: after])
    assert not result.success
    assert result.asset_materializations_for_node("tiny__validated_data")
    assert not any(event.is_step_success and event.step_key == "after" for event in result.all_events)


def test_volume_against_recent_partitions(tmp_path):
    stages = made(tmp_path, volume=(0.5, 2.0), days=5)
    stages.write(DAYS[4], rows=10)
    result = stages.run(DAYS[0], DAYS[4])
    assert f"events {DAYS[4]}: 10 rows, 0.25 times the usual 40" in str(checks(result)["volume"].description)
    stages.write(DAYS[5], rows=10)
    assert not checks(stages.run(DAYS[5]))["volume"].passed  # against the lake, not the run


def test_an_empty_day_is_legal_and_the_volume_check_says_so(tmp_path):
    stages = made(tmp_path, volume=(0.0, 2.0))
    result = stages.run(DAYS[0], DAYS[5])
    assert result.success
    assert f"no rows at all: events {DAYS[4]}; events {DAYS[5]}" in str(checks(result)["volume"].description)
    snapshot = stages.table(Layer.VALIDATED).snapshot(DAYS[5])
    assert snapshot is not None
    assert snapshot.rows == 0


def test_freshness_nulls_and_distribution(tmp_path):
    asked = (expectation("c", nulls=0.2), expectation("x", drift=0.2))
    stages = made(tmp_path, *asked, freshness=timedelta(hours=6), days=0)
    for n, day in enumerate(DAYS[:3]):
        hour = 0 if day == DAYS[2] else 23
        stages.write(day, lines=[f"{i},{day} {hour:02d}:00,1,{i}.{n},a" for i in range(200)])
    stages.write(DAYS[3], lines=[f"{i},{DAYS[3]} 23:00,1,{i + 150},{'a' if i % 2 else ''}" for i in range(200)])
    found = checks(stages.run(DAYS[0], DAYS[3]))
    assert f"events {DAYS[2]}: last event 24.0 h before (allowed 6 h)" in str(found["freshness"].description)
    assert f"events {DAYS[3]}: 50.0% of c is null (allowed 20.0%)" in str(found["nulls"].description)
    assert f"events {DAYS[3]}: x has PSI" in str(found["distribution"].description)
    assert {name for name, each in found.items() if not each.passed} == {"freshness", "nulls", "distribution"}
    assert not found["distribution"].blocking


def test_a_warning_counts_and_lets_the_row_go_on(tmp_path):
    stages = made(tmp_path, expectation("x", between=(0, 1), severity="warning"))
    result = stages.run(DAYS[0])
    assert result.success
    assert len(column(stages.table(Layer.VALIDATED), "id", DAYS[0])) == 40
    event = result.asset_materializations_for_node("tiny__validated_data")[-1]
    assert "| events | x | between 0 and 1 | warning | 39 |" in str(event.metadata["expectations"].value)


def test_a_faulty_row_does_not_displace_its_correction(tmp_path):
    stages = made(tmp_path, expectation("x", between=(0, 10)), expectation("c", unique=True))
    day = DAYS[0]
    stages.write(day, lines=[f"1,{day},1,99,a", f"1,{day},1,5,b", f"2,{day},1,5,b", f"3,{day},1,5,c"])
    stages.run(day)
    assert column(stages.table(Layer.VALIDATED), "x", day) == [5.0, 5.0]
    assert reasons(stages, day) == {1: ["x: not between 0 and 10"], 2: ["c: repeated"]}


def test_future_events_are_quarantined(tmp_path):
    feed = feed_spec(path=str(tmp_path / "source"))
    stages = data_stages(tmp_path, partitions=PartitionSpec(every=Every.NONE), source=source_spec(feed))
    stages.write(DAYS[0], lines=["1,2024-01-01,1,1,a", "2,2199-01-01,1,1,a", "3,never,1,1,a"])
    stages.spec = stages.spec.with_changes(replay=None)
    stages.run()
    assert column(stages.table(Layer.VALIDATED), "id", SNAPSHOT) == [1]
    assert reasons(stages, SNAPSHOT) == {2: ["at: in the future"], 3: ["at: no readable event time"]}


def test_empty_columns_and_new_categories_are_no_errors(tmp_path):
    stages = made(tmp_path, expectation("x", between=(0, 1)))
    stages.run(DAYS[0])
    stages.write(DAYS[1], lines=[f"{i},{DAYS[1]},1,,never_seen" for i in range(40)])
    assert stages.run(DAYS[1]).success
    assert set(column(stages.table(Layer.VALIDATED), "c", DAYS[1])) == {"never_seen"}


def test_rows_without_a_key_get_an_id_that_stays(tmp_path):
    feed = feed_spec(path=str(tmp_path / "source"), time=(), order="row", key=())
    stages = data_stages(tmp_path, partitions=PartitionSpec(every=Every.NONE), source=source_spec(feed))
    stages.write(DAYS[0], header="label,x", lines=["1,1.5", "0,inf", "1,2.5"])
    assert stages.run().success
    assert column(stages.table(Layer.VALIDATED), ROW_KEY, SNAPSHOT) == [0, 2]
    assert [each.second for each in column(stages.table(Layer.VALIDATED), EVENT_TIME, SNAPSHOT)] == [0, 2]


def test_missing_raw_rows_and_damaged_ones_say_what_to_do(tmp_path):
    stages = made(tmp_path)
    result = stages.run(DAYS[0], stages=[validated_data])
    assert f"no raw rows for {DAYS[0]}. Materialise raw_data" in str(
        result.failure_data_for_node("tiny__validated_data")
    )
    stages.run(DAYS[0])
    (path,) = (tmp_path / "lake" / "tiny" / "raw" / "events").glob("*.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    told = str(stages.run(DAYS[0], stages=[validated_data]).failure_data_for_node("tiny__validated_data"))
    assert path.name in told
    assert "materialise raw_data" in told
