"""The training set: the same bytes for the same inputs, all or nothing on disk, and no look into the future."""

import resource
from contextlib import contextmanager
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import feature_repo
import feature_repo.transforms
from mlops_assets.domain.names import Layer, Stage
from mlops_assets.domain.records import TrainingSet
from tests.kit.daily import BEFORE, MODEL, Shop, after_the_turn, attributes, check_results, few_days, materialized
from tests.kit.data_stages import files
from tests.kit.declared import Bench, record, run_errors


def folder_of(made: Bench):
    return made.home / "lake" / MODEL / Layer.TRAINING_SETS / record(made, Stage.TRAINING_SET, TrainingSet).digest


def test_the_same_inputs_elsewhere_give_the_same_bytes(shop: Shop, tmp_path):
    first = shop.copy(shop.registered, tmp_path)
    (tmp_path / "other").mkdir()
    second = shop.copy(shop.with_data, tmp_path / "other")
    assert second.materialize(Stage.TRAINING_SET).success
    assert folder_of(second).name == folder_of(first).name
    assert files(folder_of(second)) == files(folder_of(first))


def test_the_parts_are_in_time_order_with_the_label_gap(shop: Shop, tmp_path):
    made = shop.copy(shop.registered, tmp_path)
    parts = {name: pq.read_table(folder_of(made) / f"{name}.parquet") for name in ("train", "validation", "test")}
    ends = [pc.min_max(table["event_timestamp"]).as_py() for table in parts.values()]
    gap = made.spec.training.gap
    assert [later["min"] - earlier["max"] >= gap for earlier, later in pairwise(ends)] == [True] * 2
    assert ends[-1]["max"] <= BEFORE - made.spec.target.known_after
    written = record(made, Stage.TRAINING_SET, TrainingSet)
    rest = pq.read_table(folder_of(made) / "rest.parquet")
    assert written.rows == {name: table.num_rows for name, table in parts.items()} | {"rest": rest.num_rows}
    assert rest.num_rows > 0  # in the gaps: a refit learns these too
    assert all(name.split("/")[0] in ("features", "validated") for name in written.partitions)


def test_new_days_make_another_one_beside_the_first(shop: Shop, tmp_path):
    made = after_the_turn(shop.copy(shop.registered, tmp_path))
    before = folder_of(made)
    assert made.materialize(Stage.TRAINING_SET).success
    assert folder_of(made) != before
    assert before.is_dir()


@contextmanager
def no_file_beyond(size: int):
    """The kernel refuses to let a file grow further, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_up_half_way_leaves_nothing_to_see(shop: Shop, tmp_path):
    made = shop.copy(shop.with_data, tmp_path)
    assert made.resources["registry"].versions(MODEL) == ()  # the registry has its files
    with no_file_beyond(8_000):
        result = made.materialize(Stage.TRAINING_SET)
    assert not result.success
    assert "OSError" in run_errors(result)
    assert files(made.home / "lake" / MODEL / Layer.TRAINING_SETS) == {}
    assert record(made, Stage.TRAINING_SET, TrainingSet) is None
    assert made.materialize(Stage.TRAINING_SET).success


def same(rows: pa.Table, column: str, value: float) -> pa.Table:
    return rows.set_column(rows.column_names.index(column), column, pa.array([value] * len(rows)))


def test_a_target_of_one_class_is_refused_with_the_count(tmp_path):
    made = few_days(tmp_path, lambda rows: same(rows, "bought", 1))
    result = made.materialize(Stage.TRAINING_SET)
    assert "bought: every one of" in run_errors(result)
    assert "there is nothing to learn" in run_errors(result)


def test_an_absent_positive_value_is_refused_beside_present_ones(tmp_path):
    target = attributes(tmp_path)["target"] | {"positive": "yes"}
    made = few_days(tmp_path, target=target)
    assert "target.positive is 'yes', but the values are 0, 1" in run_errors(made.materialize(Stage.TRAINING_SET))


def test_too_few_rows_say_what_was_left_out_and_what_to_change(tmp_path):
    made = few_days(tmp_path, lambda rows: rows.slice(0, 12), days=1)
    text = run_errors(made.materialize(Stage.TRAINING_SET))
    assert "12 rows (12 distinct times, a gap of 6:00:00) leave no row for: train, validation" in text
    assert "Take a longer window, smaller validation, test or gap" in text


def test_a_slice_of_a_column_that_is_not_there_is_named(shop: Shop, tmp_path):
    made = shop.copy(shop.with_data, tmp_path, slices=[{"column": "branch"}])
    text = run_errors(made.materialize(Stage.TRAINING_SET))
    assert "slices, fairness or training.group name branch" in text
    assert "there are" in text


def test_without_data_it_names_the_job_to_launch(tmp_path):
    made = few_days(tmp_path, run=False)
    text = run_errors(made.materialize(Stage.TRAINING_SET))
    assert "no validated rows with features" in text
    assert f"Launch {MODEL}_data " in text


VIEWS = """
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Float64

region = Entity(name="region", value_type=ValueType.STRING)
trade = FeatureView(
    name="trade_{model}",
    entities=[region],
    ttl=timedelta(days=2),
    schema=[Field(name="mean_price", dtype=Float64)],
    source=FileSource(
        name="trade_{model}",
        path="{model}/features/trade_{model}",
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
    ),
)
service = FeatureService(name="{model}_v1", features=[trade], tags={{"inputs": "visits,device"}})
"""
TRANSFORMS = """
from datetime import timedelta
import pandas as pd
from feature_repo.transforms.view import ViewTransform

AHEAD = timedelta(hours={ahead})

def trade(feeds, start, end):
    rows, made = feeds["rows"], []
    for moment in pd.date_range(start, end, freq="6h", inclusive="left"):
        seen = rows[(rows["at"] > moment - timedelta(days=1)) & (rows["at"] <= moment + AHEAD)]
        means = seen.groupby("region", as_index=False)["price"].mean().rename(columns={{"price": "mean_price"}})
        made.append(means.assign(event_timestamp=moment, created_timestamp=moment))
    return pd.concat(made).astype(dict.fromkeys(("event_timestamp", "created_timestamp"), "datetime64[us, UTC]"))

VIEWS = {{"trade_{model}": ViewTransform(trade, ("rows",), timedelta(days=1))}}
"""


def with_features(folder, monkeypatch, model: str, ahead: int) -> Bench:
    """A model with a feature service of its own, whose transform sees so many hours ahead."""
    (folder / "transforms").mkdir()
    (folder / f"{model}.py").write_text(VIEWS.format(model=model))
    (folder / "transforms" / f"{model}.py").write_text(TRANSFORMS.format(model=model, ahead=ahead))
    monkeypatch.setattr(feature_repo, "__path__", [*feature_repo.__path__, str(folder)])
    within = [*feature_repo.transforms.__path__, str(folder / "transforms")]
    monkeypatch.setattr(feature_repo.transforms, "__path__", within)
    return few_days(folder, days=6, name=model, features={"service": model})


@pytest.mark.parametrize(("model", "ahead", "clean"), [("honest", 0, True), ("peeking", 12, False)])
def test_a_feature_that_looks_ahead_blocks_training(tmp_path, monkeypatch, model, ahead, clean):
    made = with_features(tmp_path, monkeypatch, model, ahead)
    result = made.materialize(Stage.TRAINING_SET, Stage.TRAINED_MODEL)
    assert check_results(result)["no_future_in_features"] is clean, run_errors(result)
    assert result.success is clean
    assert materialized(result, Stage.TRAINING_SET, model)
    assert materialized(result, Stage.TRAINED_MODEL, model) is clean
    if not clean:
        checks = {check.check_name: str(check.description) for check in result.get_asset_check_evaluations()}
        assert "mean_price" in checks["no_future_in_features"]


def with_twin(rows: pa.Table) -> pa.Table:
    return rows.append_column("refund", pc.multiply(rows["bought"], 12.5))


@pytest.mark.parametrize(("known", "clean"), [((), False), (("refund",), True)])
def test_a_twin_of_the_target_blocks_training_until_named(tmp_path, known, clean):
    features = {"columns": ["price", "visits", "refund"], "known": list(known)}
    made = few_days(tmp_path, with_twin, days=6, features=features)
    result = made.materialize(Stage.TRAINING_SET, Stage.TRAINED_MODEL)
    assert check_results(result) == {"no_leak": clean}
    assert materialized(result, Stage.TRAINED_MODEL) is clean
    (check,) = result.get_asset_check_evaluations()
    assert ("refund by its value explains" in str(check.description)) is not clean


def test_a_known_column_that_is_no_feature_is_refused(shop: Shop, tmp_path):
    made = shop.copy(shop.with_data, tmp_path, features={"columns": ["price"], "known": ["refund"]})
    assert "features.known names refund, which is no feature" in run_errors(made.materialize(Stage.TRAINING_SET))
