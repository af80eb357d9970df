"""Feeds that a Python class reads."""

from datetime import timedelta

import pandas as pd
import pyarrow as pa
import pytest

from mlops_assets.resources.sources.error import SourceError
from mlops_assets.resources.sources.sources import Sources
from tests.kit.specs import START, feed_spec, model_spec, source_spec

DAY = timedelta(days=1)
NOW = START + 30 * DAY
HERE = "tests.fakes.python_sources"


def opened(name: str, **feed):
    spec = model_spec(source=source_spec(feed_spec(path=None, **feed), python=f"{HERE}.{name}"))
    return Sources(databases={}).open(spec)


@pytest.mark.parametrize("name", ["FrameSource", "TableSource"])
def test_a_class_may_return_frames_or_tables_beyond_the_window(name):
    (piece,) = opened(name).read("events", START + DAY, START + 2 * DAY, NOW)
    assert isinstance(piece.rows, pa.Table)
    assert piece.rows["n"].to_pylist() == [1]


def test_changed_rows_come_from_the_class_or_from_reading_all():
    assert opened("TableSource").changed("events", START + DAY, NOW) == {"2024-01-03"}
    assert opened("TellingSource").changed("events", START + DAY, NOW) == {"2024-01-01"}


def test_a_wrong_result_is_an_error_with_the_expected_type():
    with pytest.raises(SourceError, match="gave list for feed events: return a pandas DataFrame or a pyarrow Table"):
        opened("ListSource").read("events", None, None, NOW)


@pytest.mark.parametrize("dotted", ["tests.nowhere.Source", f"{HERE}.Missing"])
def test_a_name_that_leads_nowhere_is_an_error(dotted):
    spec = model_spec(source=source_spec(feed_spec(path=None), python=dotted))
    with pytest.raises(SourceError, match=f"source '{dotted}' cannot be loaded"):
        Sources(databases={}).open(spec).read("events", None, None, NOW)


def test_an_index_is_no_column():
    (piece,) = opened("FrameSource").read("events", None, None, NOW)
    assert piece.rows.column_names == ["at", "n"]
    assert isinstance(piece.rows.to_pandas(), pd.DataFrame)
