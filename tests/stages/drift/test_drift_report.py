"""drift_report: days of live rows through the real stage, on the small model."""

import json
import shutil
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_assets.domain.drift.records import DriftDay
from mlops_assets.domain.names import EVENT_TIME, Stage
from mlops_assets.domain.verdict import Outcome
from serving.contract.bundle import CONTRACT, FILES, PROFILE, write_bundle
from serving.log.refusals import Refusal, build_refusal_batch
from tests.kit.daily import BEFORE, MODEL, check_results, definitions_of
from tests.kit.declared import RANGE, Bench, run_errors
from tests.kit.watching import profile_of
from tests.stages.live import answered, asked, dearer, store, told_outcomes

NODE = f"{MODEL}__{Stage.DRIFT_REPORT}"
LAST = BEFORE - timedelta(days=1)


@pytest.fixture
def made(shop, tmp_path) -> Bench:
    return shop.copy(shop.registered, tmp_path)


def name(day: datetime) -> str:
    return f"{day:%Y-%m-%d}"


def back(days: int) -> datetime:
    return LAST - timedelta(days=days)


def report(made: Bench, first: datetime, last: datetime | None = None) -> dg.ExecuteInProcessResult:
    result = (
        definitions_of(made)
        .resolve_implicit_global_asset_job_def()
        .execute_in_process(
            asset_selection=[dg.AssetKey([MODEL, Stage.DRIFT_REPORT.value])],
            instance=made.instance,
            tags=dict(zip(RANGE, (name(first), name(last or first)), strict=True)),
            raise_on_error=False,
        )
    )
    assert result.success, run_errors(result)
    return result


def record(made: Bench, day: datetime) -> DriftDay:
    return made.resources["monitoring"].read(MODEL, Stage.DRIFT_REPORT, DriftDay)[name(day)]


def shown(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    *_, event = result.asset_materializations_for_node(NODE)
    return {key: value.value for key, value in event.metadata.items()}


def test_a_day_like_the_training_data_passes(made):
    store(made, LAST, answered(made, LAST, asked(1_200, 1)))
    result = report(made, LAST)
    found = record(made, LAST)
    assert found.verdict.outcome is Outcome.PASS, found.verdict.reason
    assert (found.rows, found.version, found.columns, found.touched) == (1_200, "1.0.0", (), ())
    assert check_results(result) == {"drift_alarm": True, "input_quality": True}


def test_two_days_of_drift_alarm_with_the_blast_radius(made):
    for day in (back(1), LAST):
        store(made, day, answered(made, day, asked(900, day.day, dearer)))
    result = report(made, back(1), LAST)
    first, last = record(made, back(1)), record(made, LAST)
    assert (first.verdict.outcome, first.alarm.outcome) == (Outcome.FAIL, Outcome.PASS)
    assert (last.verdict.outcome, last.alarm.outcome) == (Outcome.FAIL, Outcome.FAIL)
    assert "price" in last.columns
    assert not check_results(result)["drift_alarm"]
    assert "shop" in last.touched
    assert any(each.endswith(".price") for each in last.touched)
    assert "data:image/png" in shown(result)["price: then and now"]
    assert "data:image/png" in shown(result)["drift by day"]


@pytest.fixture
def ran(made) -> Bench:
    store(made, LAST, answered(made, LAST, asked(700, 1)))
    return made


def reason(made: Bench, day: datetime = LAST) -> tuple[Outcome, Outcome, str]:
    found = record(made, day)
    return found.verdict.outcome, found.alarm.outcome, found.verdict.reason


def test_the_page_is_an_artefact_that_the_metadata_links_to(ran):
    result = report(ran, LAST)
    link = shown(result)["Evidently"]
    assert record(ran, LAST).report == link
    run_id = link.split("/runs/")[1].split("/")[0]
    assert link.endswith(f"{run_id}/artifacts/drift.html")
    (page,) = (ran.home / "mlflow").rglob("drift.html")
    assert run_id in str(page)
    said = "Drawn from a sample of 700 of 700 live rows"
    assert said in page.read_text()
    assert said in shown(result)["sample"]


def test_a_day_judged_again_reads_no_row_twice_and_has_one_run(ran):
    report(ran, LAST)
    first = record(ran, LAST)
    folder = ran.home / "lake" / MODEL / "monitoring" / "drift_report" / name(LAST)
    counts = (folder / "counts.json").read_bytes()
    marked = json.loads(counts)
    (bundle,) = marked["bundles"]
    marked["bundles"][bundle]["features"]["columns"]["region"]["other"] = 300  # as if those rows had been read
    (folder / "counts.json").write_text(json.dumps(marked))
    report(ran, LAST)
    assert "region" in record(ran, LAST).columns
    assert record(ran, LAST).report == first.report


def test_late_rows_are_counted_anew(ran):
    report(ran, LAST)
    store(ran, LAST, answered(ran, LAST, asked(900, 2)))
    report(ran, LAST)
    assert record(ran, LAST).rows == 900


def test_days_with_few_rows_are_judged_together_each_row_once(made):
    for days in (4, 3, 2, 1, 0):
        store(made, back(days), answered(made, back(days), asked(200, days, dearer)))
    report(made, back(4), LAST)
    outcomes = [record(made, back(days)).verdict.outcome for days in (4, 3, 2, 1, 0)]
    assert outcomes == ["inconclusive", "inconclusive", "fail", "inconclusive", "inconclusive"]
    assert [record(made, back(days)).rows for days in (4, 3, 2, 1, 0)] == [200, 400, 600, 200, 400]
    assert record(made, LAST).alarm.outcome is Outcome.INCONCLUSIVE


def test_no_answers_in_the_lake_are_inconclusive(made):
    result = report(made, LAST)
    verdict, alarm, why = reason(made)
    assert (verdict, alarm) == (Outcome.INCONCLUSIVE, Outcome.INCONCLUSIVE)
    assert "materialise predictions" in why
    assert check_results(result) == {"drift_alarm": False, "input_quality": False}


def test_no_traffic_is_inconclusive(made):
    store(made, LAST, answered(made, LAST, asked(10, 1)).slice(0, 0))
    report(made, LAST)
    assert reason(made) == ("inconclusive", "inconclusive", "inconclusive: no traffic: no request came.")
    assert record(made, LAST).version == ""


def test_a_day_of_refused_requests_says_so(made):
    store(made, LAST, answered(made, LAST, asked(10, 1)).slice(0, 0))
    refusal = Refusal("a", LAST.timestamp(), "k", "1.0.0", "champion", "champion", "b", 1, "invalid", "x", 1, False)
    store(made, LAST, pa.Table.from_batches([build_refusal_batch([(refusal, 214)])]), kind="refusals")
    report(made, LAST)
    assert reason(made)[2] == "inconclusive: 214 requests came and were refused (invalid 214)."


def test_default_answers_are_no_live_rows(made):
    rows = answered(made, LAST, asked(700, 1))
    features = pa.nulls(700, rows.schema.field("features").type)
    given = {"version": ["default"] * 700, "bundle": ["default"] * 700, "features": features}
    for key, values in given.items():
        place = rows.schema.get_field_index(key)
        rows = rows.set_column(place, key, pa.array(values))
    store(made, LAST, rows)
    report(made, LAST)
    assert "all 700 answers were the declared default" in reason(made)[2]


def test_one_row_is_inconclusive(made):
    store(made, LAST, answered(made, LAST, asked(1, 1, dearer)))
    report(made, LAST)
    assert reason(made) == ("inconclusive", "inconclusive", "inconclusive: 1 rows, at least 500 are needed.")


def test_a_day_that_is_not_over_is_inconclusive(made):
    store(made, BEFORE, answered(made, BEFORE, asked(700, 1, dearer)))
    report(made, BEFORE)
    verdict, _, why = reason(made, BEFORE)
    assert verdict is Outcome.INCONCLUSIVE
    assert "the day is not over, 700 rows so far" in why


@pytest.mark.parametrize("damage", ["cut", "gone", "garbled"])
def test_a_half_written_day_is_an_error_that_says_so(ran, damage):
    (file,) = (ran.home / "lake" / MODEL / "predictions" / "answers").glob("*.parquet")
    content = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        middle = len(content) // 3
        bad = content[:4] + b"\x00" * middle + content[4 + middle :]
        file.write_bytes(content[: len(content) // 2] if damage == "cut" else bad)
    report(ran, LAST)
    verdict, alarm, why = reason(ran)
    assert (verdict, alarm) == (Outcome.ERROR, Outcome.INCONCLUSIVE)
    assert "materialise predictions" in why or "cannot be read" in why


def test_an_unknown_bundle_is_an_error_that_names_it(made):
    store(made, LAST, answered(made, LAST, asked(700, 1), bundle=["f" * 64] * 700, version=["9.9.9"] * 700))
    report(made, LAST)
    verdict, alarm, why = reason(made)
    assert (verdict, alarm) == (Outcome.ERROR, Outcome.INCONCLUSIVE)
    assert "9.9.9" in why
    assert "f" * 64 in why
    assert (record(made, LAST).version, record(made, LAST).rows) == ("9.9.9", 700)


def test_an_older_profile_is_inconclusive_with_a_remedy(made):
    store(made, LAST, of_older_profile(made, 700))
    report(made, LAST)
    verdict, alarm, why = reason(made)
    assert (verdict, alarm) == (Outcome.INCONCLUSIVE, Outcome.INCONCLUSIVE)
    assert "format 1" in why
    assert "rebuild the bundle" in why


def of_older_profile(made: Bench, rows: int) -> pa.Table:
    """Answers of a bundle whose profile another version of this code wrote."""
    (version,) = made.resources["registry"].versions(MODEL)
    bundles = made.resources["bundles"]
    files = {file: (bundles.path(version.bundle) / file).read_bytes() for file in FILES}
    files[PROFILE] = json.dumps({**json.loads(files[PROFILE]), "format": 1}).encode()
    digest = write_bundle(bundles.folder, files)
    return answered(made, LAST, asked(rows, 1), bundle=[digest] * rows, version=["0.9.0"] * rows)


def with_training_days(made: Bench, days: int, rows: int, sway: float = 0.0) -> str:
    """A bundle that differs from the champion's only in the days of its training rows; `sway`: what a day shares."""
    (version,) = made.resources["registry"].versions(MODEL)
    bundles = made.resources["bundles"]
    columns = asked(days * rows, 99)
    columns["age"] = columns["age"] + 0.8 * columns["visits"]
    luck = np.repeat(np.random.default_rng(1).normal(size=days) * sway, rows)
    columns |= {each: columns[each] + luck for each in ("price", "visits")}
    moments = np.repeat(np.datetime64(name(back(days))) + np.arange(days), rows)
    words = {each: columns[each] for each in ("region", "device")}
    numbers = {each: values for each, values in columns.items() if each not in words}
    files = {file: (bundles.path(version.bundle) / file).read_bytes() for file in FILES}
    files[PROFILE] = json.dumps(profile_of(numbers, words, moments=moments)).encode()
    times = pa.array(moments.astype("datetime64[us]"), pa.timestamp("us", "UTC"))
    folder = made.home / "lake" / MODEL / "training_sets" / json.loads(files[CONTRACT])["training_set"]
    pq.write_table(pa.table({**columns, EVENT_TIME: times}), folder / "train.parquet")
    return write_bundle(bundles.folder, files)


def test_days_of_training_show_a_pair_that_turned(made):
    digest = with_training_days(made, 30, 300)

    def usual(columns):
        return columns | {"age": columns["age"] + 0.8 * columns["visits"]}

    def turned(columns):
        return columns | {"age": columns["age"] - 0.8 * columns["visits"]}

    for day, change in ((back(1), usual), (LAST, turned)):
        of_days = {"bundle": [digest] * 700, "version": ["0.9.0"] * 700}
        store(made, day, answered(made, day, asked(700, day.day, change), **of_days))
    result = report(made, back(1), LAST)
    assert record(made, back(1)).verdict.outcome is Outcome.PASS, record(made, back(1)).verdict.reason
    assert record(made, LAST).verdict.outcome is Outcome.FAIL
    assert "the correlation of age and visits is -0.5" in record(made, LAST).verdict.reason
    assert "30 days of the training data, compared by weekday, replayed: 0 alarms" in shown(result)["compared with"]
    assert "its answers were not judged" in shown(result)["notes"]


def test_days_judged_together_are_compared_within_days(made):
    digest = with_training_days(made, 30, 300, sway=0.8)
    for days, luck in ((2, 1.0), (1, -1.0), (0, 0.5)):

        def lucky(columns, luck=luck):
            usual = columns | {"age": columns["age"] + 0.8 * columns["visits"]}
            return usual | {each: columns[each] + luck for each in ("price", "visits")}

        of_days = {"bundle": [digest] * 200, "version": ["0.9.0"] * 200}
        store(made, back(days), answered(made, back(days), asked(200, days, lucky), **of_days))
    report(made, back(2), LAST)
    assert (record(made, LAST).rows, record(made, LAST).verdict.outcome) == (600, Outcome.PASS), reason(made)


def test_a_shadow_does_not_answer_and_is_not_judged(made):
    rows, shadow = answered(made, LAST, asked(600, 1)), answered(made, LAST, asked(900, 2, dearer))
    place = shadow.schema.get_field_index("role")
    store(made, LAST, rows, shadow.set_column(place, "role", pa.array(["shadow"] * 900)))
    report(made, LAST)
    assert (record(made, LAST).rows, record(made, LAST).verdict.outcome) == (600, Outcome.PASS)


def test_the_version_that_answered_most_is_judged(made):
    few = answered(made, LAST, asked(100, 2, dearer), bundle=["f" * 64] * 100, version=["9.9.9"] * 100)
    store(made, LAST, answered(made, LAST, asked(800, 1)), few)
    result = report(made, LAST)
    assert record(made, LAST).verdict.outcome is Outcome.PASS
    assert "100 rows of version 9.9.9 are not judged" in shown(result)["notes"]


def test_missing_values_fail_the_check_of_the_input(made):
    def lost(columns):
        return columns | {"age": np.where(np.arange(900) % 3 == 0, np.nan, columns["age"])}

    store(made, LAST, answered(made, LAST, asked(900, 1, lost)))
    result = report(made, LAST)
    assert check_results(result) == {"drift_alarm": True, "input_quality": False}
    assert "age" in record(made, LAST).columns


def test_missing_and_retyped_columns_fail_on_few_rows(made):
    def changed(rows: pa.Table) -> pa.Table:
        features = rows["features"].combine_chunks()
        parts = {field.name: features.field(field.name) for field in features.type}
        parts.pop("visits")
        parts["age"] = parts["age"].cast(pa.string())
        struct = pa.StructArray.from_arrays(list(parts.values()), list(parts))
        return rows.set_column(rows.schema.get_field_index("features"), "features", struct)

    store(made, LAST, changed(answered(made, LAST, asked(300, 1))))
    result = report(made, LAST)
    assert not check_results(result)["input_quality"]
    assert record(made, LAST).verdict.outcome is Outcome.INCONCLUSIVE
    assert "the column is gone" in shown(result)["columns"]
    assert "came as string" in shown(result)["columns"]
    store(made, LAST, changed(answered(made, LAST, asked(900, 1))))
    report(made, LAST)
    assert {"visits", "age"} <= set(record(made, LAST).columns)


def test_outcomes_that_became_known_on_the_day_are_judged(ran):
    told_outcomes(ran, LAST, ["1"] * 690 + ["0"] * 10)
    result = report(ran, LAST)
    assert "outcome: label" in shown(result)["columns"]
    assert record(ran, LAST).verdict.outcome is Outcome.FAIL
    assert record(ran, LAST).columns == ()
    assert "700 outcomes became known on the day, reported by feedback" in shown(result)["notes"]


def test_outcomes_of_the_source_stand_in_for_feedback(ran):
    result = report(ran, LAST)
    assert "outcomes became known on the day, reported by the source" in shown(result)["notes"]


def test_answers_that_moved_are_told_apart_from_features(made):
    rows = answered(made, LAST, asked(900, 1))
    high = pa.ListArray.from_arrays(pa.array(np.arange(901, dtype=np.int32)), pa.array(np.full(900, 0.99)))
    store(made, LAST, rows.set_column(rows.schema.get_field_index("answer"), "answer", high))
    result = report(made, LAST)
    assert record(made, LAST).verdict.outcome is Outcome.FAIL
    assert record(made, LAST).columns == ()
    assert "data:image/png" in shown(result)["answer: prediction: then and now"]


def test_a_training_set_that_is_gone_leaves_the_columns_judged(ran):
    shutil.rmtree(ran.home / "lake" / MODEL / "training_sets")
    result = report(ran, LAST)
    assert record(ran, LAST).verdict.outcome is Outcome.PASS
    assert record(ran, LAST).report == ""
    assert "rows that the version was trained on are gone" in shown(result)["notes"]


def test_a_report_of_other_code_does_not_count_and_is_named(ran):
    put = ran.resources["monitoring"].put
    put(MODEL, Stage.DRIFT_REPORT, name(back(1)), "report.json", content=b'{"day": "x"}')
    result = report(ran, LAST)
    assert record(ran, LAST).alarm.outcome is Outcome.PASS
    assert f"the report of {name(back(1))} was written by other code" in shown(result)["notes"]


def test_it_is_never_upstream_of_training(made):
    graph = definitions_of(made).resolve_asset_graph()
    key = dg.AssetKey([MODEL, Stage.DRIFT_REPORT.value])
    above = dg.AssetSelection.assets([MODEL, Stage.TRAINED_MODEL.value]).upstream().resolve(graph)
    assert key not in above
    assert graph.get(key).parent_keys == {dg.AssetKey([MODEL, Stage.PREDICTIONS.value])}


def test_the_verdict_stands_though_the_page_cannot_be_kept(made):
    store(made, LAST, answered(made, LAST, asked(900, 1, dearer)))
    (made.home / "mlflow" / "mlflow.db").write_bytes(b"no database")
    with pytest.raises(AssertionError, match="database"):
        report(made, LAST)
    assert record(made, LAST).verdict.outcome is Outcome.FAIL
    assert "price" in record(made, LAST).columns
