"""Records and files of watched days, on a real disk and on another fsspec file system."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mlops_assets.domain.drift.records import DriftDay
from mlops_assets.domain.names import Stage
from mlops_assets.domain.quality.records import PerformanceDay
from mlops_assets.domain.verdict import Outcome
from mlops_assets.resources.lake.daily_records import Monitoring
from tests.kit.watching import verdict

FIRST = DriftDay(
    day="2013-07-01",
    version="1.0.0",
    bundle="b" * 64,
    rows=900,
    verdict=verdict(Outcome.FAIL, ks=0.3),
    alarm=verdict(Outcome.INCONCLUSIVE, "alarm", "one day only.", drifted=float("nan")),
    announced="",
    columns=("price",),
    touched=("shop",),
    report="",
    made_at=datetime(2013, 7, 2, tzinfo=UTC),
)


@pytest.fixture(params=["disk", "memory"])
def monitoring(request, tmp_path) -> Monitoring:
    return Monitoring(root=str(tmp_path / "lake") if request.param == "disk" else f"memory://{uuid.uuid4().hex}")


def read(monitoring: Monitoring, **how) -> dict[str, DriftDay]:
    return monitoring.read("shop", Stage.DRIFT_REPORT, DriftDay, **how)


def test_records_come_back_by_day_oldest_first(monitoring):
    later = replace(FIRST, day="2013-07-03", alarm=verdict(Outcome.PASS))
    monitoring.write("shop", Stage.DRIFT_REPORT, later)
    monitoring.write("shop", Stage.DRIFT_REPORT, replace(FIRST, alarm=verdict(Outcome.PASS)))
    found = read(monitoring)
    assert list(found) == ["2013-07-01", "2013-07-03"]
    assert found["2013-07-03"] == later
    assert list(read(monitoring, since="2013-07-02")) == ["2013-07-03"]


def test_numbers_that_are_no_numbers_come_back(monitoring):
    monitoring.write("shop", Stage.DRIFT_REPORT, FIRST)
    drifted = read(monitoring)["2013-07-01"].alarm.numbers["drifted"]
    assert drifted != drifted


def test_a_day_judged_again_has_the_newer_record(monitoring):
    monitoring.write("shop", Stage.DRIFT_REPORT, FIRST)
    monitoring.write("shop", Stage.DRIFT_REPORT, replace(FIRST, rows=901))
    assert [record.rows for record in read(monitoring).values()] == [901]


def test_nothing_is_there_before_something_is_written(monitoring):
    assert read(monitoring) == {}
    assert monitoring.get("shop", Stage.DRIFT_REPORT, "2013-07-01", "report.html") is None


def test_a_day_with_files_and_no_record_is_not_judged(monitoring):
    path = monitoring.put("shop", Stage.DRIFT_REPORT, "2013-07-01", "report.html", content=b"<p>")
    assert path == "shop/monitoring/drift_report/2013-07-01/report.html"
    assert monitoring.get("shop", Stage.DRIFT_REPORT, "2013-07-01", "report.html") == b"<p>"
    assert read(monitoring) == {}


def test_stages_and_models_do_not_see_each_others_records(monitoring):
    monitoring.write("shop", Stage.DRIFT_REPORT, FIRST)
    assert monitoring.read("shop", Stage.PERFORMANCE, PerformanceDay) == {}
    assert monitoring.read("other", Stage.DRIFT_REPORT, DriftDay) == {}


def test_a_record_of_another_shape_names_the_file(monitoring):
    monitoring.put("shop", Stage.DRIFT_REPORT, "2013-07-01", "record.json", content=b'{"day": "2013-07-01"}')
    with pytest.raises(ValueError, match=r"2013-07-01/record\.json is no DriftDay"):
        read(monitoring)
