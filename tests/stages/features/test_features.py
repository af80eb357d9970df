"""The features stage on plain columns: days without rows, late rows, columns that are not there."""

import pyarrow as pa
import pytest

from mlops_assets.domain.names import DATA_STAGES, Layer
from tests.kit.daily import MODEL, Shop, after_the_turn, day_rows, few_days, write_days
from tests.kit.data_stages import files
from tests.kit.declared import Bench, run_errors

VIEW = f"{MODEL}_v1"
LAST = "2024-01-04"


def rows(made: Bench) -> dict[str, int]:
    found = made.resources["lake"].table(MODEL, Layer.FEATURES, VIEW).snapshots()
    return {partition: snapshot.rows for partition, snapshot in found.items()}


def test_a_day_without_rows_is_an_empty_partition(shop: Shop, tmp_path):
    made = shop.copy(shop.with_data, tmp_path)
    assert [rows(made)[name] for name in ("2024-01-10", "2024-01-12", "2024-01-20")] == [150, 0, 0]
    assert rows(after_the_turn(made))["2024-01-20"] == 150


def test_the_same_rows_again_write_nothing(tmp_path):
    made = few_days(tmp_path)
    before = files(tmp_path / "home" / "lake")
    assert made.materialize(*DATA_STAGES).success
    assert files(tmp_path / "home" / "lake") == before


def test_a_late_row_changes_only_its_own_day(tmp_path):
    made = few_days(tmp_path)
    table = made.resources["lake"].table(MODEL, Layer.FEATURES, VIEW)
    before = table.snapshots()
    late = day_rows(1).slice(0, 1).set_column(0, "id", pa.array([99_999]))
    write_days(tmp_path / "source", lambda given: pa.concat_tables([given, late]), range(1, 2))
    assert made.materialize(*DATA_STAGES).success
    after = table.snapshots()
    assert [name for name in after if after[name] != before[name]] == ["2024-01-02"]
    assert after["2024-01-02"].rows == 151


@pytest.mark.parametrize(
    ("features", "named"),
    [
        ({"columns": ["price", "fax", "telex"]}, "features: fax, telex not among the columns. The columns of rows: "),
        ({"exclude": ["fax"]}, "features: fax not among the columns. "),
        ({"exclude": ["price", "age", "visits", "region", "device"]}, "no column of rows is left to be one"),
        ({"columns": ["price", "at"]}, "at is timestamp[us, tz=UTC], which no model takes"),
    ],
)
def test_features_that_cannot_be_are_named_with_what_there_is(tmp_path, features, named):
    made = few_days(tmp_path, run=False, features=features)
    result = made.materialize(*DATA_STAGES)
    assert not result.success
    assert named in run_errors(result)


def test_columns_of_a_known_version_are_never_altered(tmp_path):
    few_days(tmp_path)
    made = few_days(tmp_path, run=False, features={"columns": ["price", "age"]})
    result = made.materialize(*DATA_STAGES)
    assert not result.success
    assert "Raise features.version" in run_errors(result)


def test_a_source_without_any_rows_says_so(tmp_path):
    made = few_days(tmp_path, lambda given: given.slice(0, 0), run=False)
    result = made.materialize(*DATA_STAGES)
    assert not result.success
    assert "features: rows has no rows yet" in run_errors(result)
