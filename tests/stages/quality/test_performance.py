"""performance: days ripen, falls are found; what is wrong with labels or traffic is told, and judged by nobody."""

from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest

from mlops_assets.declaration.evaluation import FairnessSpec
from mlops_assets.domain.names import Layer, Stage
from mlops_assets.domain.quality.label_soundness import judge_labels
from mlops_assets.domain.quality.records import PerformanceDay
from mlops_assets.domain.verdict import Outcome
from mlops_assets.stages.common import asset_key
from mlops_assets.stages.quality.collect import QualityCollector
from mlops_assets.stages.quality.judge import JudgedQuality
from mlops_assets.stages.quality.publish import DETAILS, format_details, publish_days
from tests.kit.answered import answer_table, append_rows, outcome_table, partition_name, true_outcomes, write_rows
from tests.kit.daily import BEFORE, MODEL, START, check_results, definitions_of
from tests.kit.declared import Bench

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MONITORING = {"quality": {"minimum_rows": 100, "trust_windows": 2}, "costs": {"1/1": 5.0, "1/0": -3.0}}


@pytest.fixture
def made(shop, tmp_path) -> Bench:
    return shop.copy(shop.registered, tmp_path, monitoring=MONITORING)


def moment(number: float) -> datetime:
    return START + timedelta(days=number)


def judge(made: Bench, *numbers: int, now: datetime, **changes: Any) -> list[JudgedQuality]:
    """The stage's body, at a time of one's own."""
    at = made.resources
    spec = made.spec.with_changes(**changes)
    collector = QualityCollector.open(spec, now, lake=at["lake"], bundles=at["bundles"], workspace=at["workspace"])
    return publish_days(collector, at["monitoring"], [partition_name(number) for number in numbers])


def at_once(made: Bench) -> Any:
    """The target, whose labels may be known at once."""
    return made.spec.target.with_changes(known_after=timedelta(0))


def records(made: Bench) -> dict[str, PerformanceDay]:
    return made.resources["monitoring"].read(MODEL, Stage.PERFORMANCE, PerformanceDay)


def tell(made: Bench, number: int, answers: pa.Table, *, after: timedelta = 2 * HOUR, said: list[str] | None = None):
    """Feedback of a day's answers, in the partitions of the days on which it comes."""
    times = [each + after for each in answers["time"].to_pylist()]
    whole = outcome_table(answers["request_id"].to_pylist(), said or true_outcomes(number), times)
    for day in sorted({each.date() for each in times}):
        mine = whole.filter(pa.array([each.date() == day for each in times]))
        append_rows(made, (day - START.date()).days, "outcomes", mine)


def without_source(answers: pa.Table) -> pa.Table:
    """Answers whose example nobody can name: labels come as feedback only."""
    return answers.drop_columns(["entities"])


def materialize(made: Bench, number: int) -> dg.ExecuteInProcessResult:
    job = definitions_of(made).resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        asset_selection=[asset_key(MODEL, Stage.PERFORMANCE)],
        partition_key=partition_name(number),
        instance=made.instance,
        raise_on_error=False,
    )


def told(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node(f"{MODEL}__performance")
    return {name: value.value for name, value in event.metadata.items()}


def test_a_day_ripens_when_a_later_one_is_run(made):
    """Labels of this model come six hours after the event, through the source."""
    for number in (8, 9):
        write_rows(made, number, "answers", answer_table(made, number))
    made.resources["clock"].move(made.spec, BEFORE)
    first = materialize(made, 9)
    assert first.success
    assert check_results(first) == {"quality_holds": True, "labels_sound": True}
    young = records(made)[partition_name(9)]
    assert (young.realised, young.fall.outcome) == (None, Outcome.INCONCLUSIVE)
    assert young.estimated is not None
    made.resources["clock"].move(made.spec, BEFORE + DAY)
    write_rows(made, 10, "answers", without_source(answer_table(made, 10)))
    second = materialize(made, 10)
    ripe = records(made)[partition_name(9)]
    assert told(second)["days judged"] == f"{partition_name(9)}, {partition_name(10)}"
    assert ripe.realised is not None
    assert (ripe.labelled, ripe.maturity) == (150, 1.0)
    assert ripe.estimated == young.estimated
    assert "data:image/png" in told(second)["quality over days"]
    assert {"slices", "calibration", "label delay", "estimated and realised"} <= told(second).keys()


def test_a_turned_world_fails_the_check_and_stops_nothing(made):
    """Labels count from six hours on, so a day is ripe when the next one's feedback is in the lake."""
    for number in (10, 11, 12):
        rows = without_source(answer_table(made, number))
        write_rows(made, number, "answers", rows)
        tell(made, number, rows, after=timedelta(0))
    made.resources["clock"].move(made.spec, moment(13))
    materialize(made, 10)
    result = materialize(made, 11)
    (check,) = [each for each in result.get_asset_check_evaluations() if each.check_name == "quality_holds"]
    assert result.success
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.WARN
    assert "it fell" in (check.description or "")
    assert told(result)["fall"] == "fail"


def test_a_late_outcome_counts_for_the_day_of_its_answer(made):
    rows = without_source(answer_table(made, 4))
    write_rows(made, 4, "answers", rows)
    assert judge(made, 4, now=moment(5))[0].record.labelled == 0
    tell(made, 4, rows, after=3 * DAY)
    write_rows(made, 8, "answers", without_source(answer_table(made, 8)))
    found = judge(made, 8, now=moment(9))
    assert [each.record.day for each in found] == [partition_name(4), partition_name(8)]
    assert found[0].record.labelled == 150
    assert found[1].record.labelled == 0


def test_a_day_waits_for_outcomes_that_are_not_compacted(made):
    """Half of the outcomes come a day later; the last day is judged when only its own outcomes are in the lake."""
    late = {}
    for number in (5, 6, 7, 8):
        rows, said = without_source(answer_table(made, number)), true_outcomes(number)
        write_rows(made, number, "answers", rows)
        tell(made, number, rows.slice(0, 75), after=timedelta(0), said=said[:75])
        late[number] = rows.slice(75), said[75:]
    for number in (5, 6, 7):
        tell(made, number, late[number][0], after=DAY, said=late[number][1])
    young = judge(made, 5, 6, 7, 8, now=moment(12))[-1].record
    assert (young.labelled, young.realised) == (75, None)
    assert f"outcomes are in the lake up to {moment(9):%Y-%m-%d %H:%M}" in young.fall.reason
    tell(made, 8, late[8][0], after=DAY, said=late[8][1])
    found = {each.record.day: each.record for each in judge(made, 9, now=moment(12))}
    assert found[partition_name(8)].labelled == 150
    assert found[partition_name(8)].realised is not None


def test_a_settled_day_is_judged_again_when_more_comes(made):
    rows = without_source(answer_table(made, 8))
    write_rows(made, 8, "answers", rows)
    tell(made, 8, rows.slice(0, 140), after=HOUR, said=true_outcomes(8)[:140])
    (settled,) = judge(made, 8, now=moment(10), target=at_once(made))
    assert (settled.record.maturity, settled.record.labelled) == (1.0, 140)
    found = judge(made, 10, now=moment(11), target=at_once(made))
    assert [each.record.day for each in found] == [partition_name(10)]
    late = outcome_table(rows["request_id"].to_pylist()[140:], true_outcomes(8)[140:], moment(10.5))
    made.resources["lake"].table(MODEL, Layer.PREDICTIONS, "outcomes").write(
        partition_name(10), late, now=moment(11.5), time_column="time"
    )
    again = judge(made, 11, now=moment(12))
    assert (again[0].record.day, again[0].record.labelled) == (partition_name(8), 150)


def test_the_same_run_again_changes_nothing(made):
    write_rows(made, 8, "answers", answer_table(made, 8))
    once = judge(made, 8, now=moment(10))[0]
    folder = made.home / "lake" / MODEL / "monitoring" / "labelled"
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = judge(made, 8, now=moment(10))[0]
    assert again.record == once.record
    assert format_details(again) == format_details(once)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_estimates_are_tracked_by_what_was_realised_later(made):
    for number in (6, 7, 8):
        write_rows(made, number, "answers", answer_table(made, number))
    found = judge(made, 6, 7, 8, now=moment(10))
    assert [each.record.trust.numbers["windows"] for each in found] == [0, 1, 2]
    assert found[-1].record.trust.outcome is not Outcome.INCONCLUSIVE


def test_source_labels_are_joined_by_the_callers_key(made):
    """The log's entities do not name the example; the request's key does, where the request has one row."""
    rows = answer_table(made, 8)
    examples = rows["entities"].to_pylist()
    names = [each["id"] for each in examples]
    customers = pa.array([{"customer": name} for name in names])
    sent = rows.set_column(rows.column_names.index("entities"), "entities", customers)
    sent = sent.set_column(sent.column_names.index("key"), "key", pa.array([f"order {name}" for name in names]))
    write_rows(made, 8, "answers", sent)
    assert judge(made, 8, now=moment(10))[0].record.labelled == 0
    by_key = without_source(rows).set_column(3, "key", pa.array(names))
    write_rows(made, 8, "answers", by_key)
    assert judge(made, 8, now=moment(10))[0].record.labelled == 150
    default = sent.set_column(sent.column_names.index("key"), "key", pa.array(names))
    write_rows(made, 8, "answers", default)  # the endpoint takes the entity keys where no key is sent
    assert judge(made, 8, now=moment(10))[0].record.labelled == 0
    several = by_key.set_column(0, "request_id", pa.array([f"r{place // 2}" for place in range(150)]))
    several = several.set_column(1, "row", pa.array([place % 2 for place in range(150)], pa.int32()))
    write_rows(made, 8, "answers", several)
    assert judge(made, 8, now=moment(10))[0].record.labelled == 0


def test_shadows_and_arms_are_told_apart(made):
    rows = without_source(answer_table(made, 8))
    copies = pa.array([each[:-1] + "1" for each in rows["request_id"].to_pylist()])
    shadow = rows.set_column(0, "request_id", copies)
    for name, text in (("arm", "shadow"), ("role", "shadow"), ("version", "1.1.0")):
        shadow = shadow.set_column(shadow.column_names.index(name), name, pa.array([text] * 150))
    write_rows(made, 8, "answers", pa.concat_tables([rows, shadow]))
    tell(made, 8, rows)
    (found,) = judge(made, 8, now=moment(10))
    assert (found.record.rows, found.record.version) == (150, "1.0.0")
    assert [(each.version, each.rows, each.labelled) for each in found.arms] == [
        ("1.0.0", 150, 150),
        ("1.1.0", 150, 150),
    ]


def test_slices_fairness_and_worth_are_told(made):
    fairness = FairnessSpec(attributes=("device",), demographic_parity=0.5, equalised_odds=None, minimum=20)
    write_rows(made, 8, "answers", answer_table(made, 8))
    monitoring = made.spec.monitoring.with_changes(costs={**made.spec.monitoring.costs, "1/maybe": 1.0})
    (found,) = judge(made, 8, now=moment(10), fairness=fairness, monitoring=monitoring)
    assert "monitoring.costs: 1/maybe is no answer and outcome of the classes 0, 1" in found.notes
    assert {each.value for each in found.slices} == {"north", "south", "west"}
    assert [each.attribute for each in found.fairness.disparities] == ["device"]
    scores = np.array(answer_table(made, 8)["answer"].to_pylist())[:, 0]
    hits = np.array(true_outcomes(8)) == "1"
    worth = np.where(scores >= 0.5, np.where(hits, 5.0, -3.0), 0.0).mean()
    assert found.record.business == pytest.approx(worth)
    assert made.resources["monitoring"].get(MODEL, Stage.PERFORMANCE, partition_name(8), DETAILS) == format_details(
        found
    )


def test_no_traffic_is_told(made):
    result = materialize(made, 8)
    assert result.success
    assert records(made)[partition_name(8)].fall.outcome is Outcome.INCONCLUSIVE
    checks = {each.check_name: each for each in result.get_asset_check_evaluations()}
    assert "No version answered" in (checks["quality_holds"].description or "")
    assert "no answers" in (checks["labels_sound"].description or "")
    assert all(each.passed for each in checks.values())


def test_one_row_and_answers_without_any_label_are_inconclusive(made):
    write_rows(made, 7, "answers", answer_table(made, 7).slice(0, 1))
    write_rows(made, 8, "answers", without_source(answer_table(made, 8)))
    one, none = judge(made, 7, 8, now=moment(10))
    assert (one.record.rows, one.record.labelled) == (1, 1)
    assert one.record.fall.outcome is none.record.fall.outcome is Outcome.INCONCLUSIVE
    assert none.record.labelled == 0
    assert none.record.estimated is not None


def sound(found: list[JudgedQuality]):
    return judge_labels([each.record for each in found])


def test_stray_and_contradicting_labels_fail_the_check(made):
    rows = without_source(answer_table(made, 8))
    write_rows(made, 8, "answers", rows)
    ids = rows["request_id"].to_pylist()
    other = ["0" if each == "1" else "1" for each in true_outcomes(8)]
    parts = [
        outcome_table(ids, true_outcomes(8), moment(8.99)),
        outcome_table(ids[:5], other[:5], moment(8.995)),
        outcome_table(["nobody"] * 3, ["1", "0", "1"], moment(8.99)),
    ]
    write_rows(made, 8, "outcomes", pa.concat_tables(parts))
    (found,) = judge(made, 8, now=moment(10))
    assert (found.record.odd["contradicting"], found.record.odd["for unknown requests"]) == (5, 3)
    verdict = sound([found])
    assert verdict.outcome is Outcome.FAIL
    assert "5 labels contradicting" in verdict.reason
    assert "3 labels for unknown requests" in verdict.reason


def test_an_outcome_for_an_answer_of_another_day_is_no_stranger(made):
    rows = without_source(answer_table(made, 6))
    write_rows(made, 6, "answers", rows)
    tell(made, 6, rows, after=2 * DAY)
    (found,) = [each for each in judge(made, 8, now=moment(10)) if each.record.day == partition_name(8)]
    assert found.record.odd["for unknown requests"] == 0


def test_clocks_that_differ_fail_the_check(made):
    rows = without_source(answer_table(made, 8))
    write_rows(made, 8, "answers", rows)
    tell(made, 8, rows, after=-HOUR)
    (found,) = judge(made, 8, now=moment(10))
    assert found.record.odd["known before the answer"] == 150
    assert found.record.labelled == 150
    assert sound([found]).outcome is Outcome.FAIL


def test_labels_that_stop_fail_the_check_and_are_no_fall(made):
    for number in (6, 7, 8):
        rows = without_source(answer_table(made, number))
        write_rows(made, number, "answers", rows)
        if number < 8:
            tell(made, number, rows)
    found = judge(made, 6, 7, 8, now=moment(10), target=at_once(made))
    assert sound(found).outcome is Outcome.FAIL
    assert f"{partition_name(8)}: 0 labels are there, about 147 should be" in sound(found).reason
    assert found[-1].record.fall.outcome is not Outcome.FAIL
    tell(made, 8, without_source(answer_table(made, 8)), after=DAY)
    late = {each.record.day: each for each in judge(made, 9, now=moment(10))}
    assert late[partition_name(8)].record.labelled == 150


def test_answers_of_a_missing_bundle_are_not_judged(made):
    rows = answer_table(made, 8)
    write_rows(
        made, 8, "answers", rows.set_column(rows.column_names.index("bundle"), "bundle", pa.array(["f" * 64] * 150))
    )
    (found,) = judge(made, 8, now=moment(10))
    assert found.record.fall.outcome is Outcome.INCONCLUSIVE
    assert "is missing" in found.record.fall.reason
    assert (found.record.rows, found.record.estimated) == (150, None)


def test_declared_default_answers_are_nobodys_quality(made):
    rows = answer_table(made, 8)
    default = ("version", "arm", "role", "bundle")
    for name in default:
        rows = rows.set_column(rows.column_names.index(name), name, pa.array(["default"] * 150))
    rows = rows.set_column(rows.column_names.index("answer"), "answer", pa.nulls(150, pa.list_(pa.float64())))
    write_rows(made, 8, "answers", rows)
    (found,) = judge(made, 8, now=moment(10))
    assert "No version answered" in found.record.fall.reason
    assert [(each.version, each.score) for each in found.arms] == [("default", "no model answered")]
