"""The first start: launched through Dagster, told as it goes, done once."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.run import dagster_client, first_start
from infra.run.dagster_client import Dagster, DagsterRefused
from infra.run.first_start import (
    Endpoint,
    RunFailed,
    Server,
    bring_up,
    format_next_steps,
    partitions_until_now,
    range_tags,
    replay_moment,
)
from tests.project.fake_servers import FakeServers, RunningServers

Serve = Callable[[FakeServers], tuple[Dagster, Endpoint]]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, project: Path) -> Iterator[Serve]:
    monkeypatch.setattr(first_start, "_LOOK_EVERY", 0.01)
    monkeypatch.chdir(project)
    opened: list[RunningServers] = []

    def start(fake: FakeServers) -> tuple[Dagster, Endpoint]:
        opened.append(RunningServers(fake))
        return Dagster(opened[-1].url), Endpoint(opened[-1].url, "/livez", "The endpoint")

    yield start
    for server in opened:
        server.close()


def test_the_first_start_runs_data_before_training(serve: Serve) -> None:
    fake = FakeServers()

    assert bring_up(*serve(fake)) == "1.0.1"

    assert fake.launched == [
        (
            "flight_delay_data",
            {
                "dagster/asset_partition_range_start": "2013-01-01",
                "dagster/asset_partition_range_end": "2013-01-03",
            },
        ),
        ("flight_delay_train", {}),
    ]


def test_where_the_model_is_live_nothing_is_launched(serve: Serve) -> None:
    fake = FakeServers(versions=["1.0.10"])

    assert bring_up(*serve(fake)) == "1.0.10"
    assert fake.launched == []


def test_a_run_that_is_under_way_is_joined(serve: Serve) -> None:
    fake = FakeServers(unfinished={"flight_delay_data": "earlier"})

    bring_up(*serve(fake))

    assert [job for job, _ in fake.launched] == ["flight_delay_train"]
    assert "earlier" in fake.looked


@pytest.mark.parametrize(
    ("last", "launched"),
    [("2013-01-03", ["flight_delay_train"]), ("2013-01-02", ["flight_delay_data", "flight_delay_train"])],
)
def test_data_that_is_there_is_not_made_again(serve: Serve, last: str, launched: list[str]) -> None:
    fake = FakeServers(succeeded={"flight_delay_data": range_tags(["2013-01-01", last])})

    bring_up(*serve(fake))

    assert [job for job, _ in fake.launched] == launched


def test_progress_is_told_once_for_each_change(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    bring_up(*serve(FakeServers()))

    printed = capsys.readouterr().out
    assert printed.count("raw_data: in progress") == 2
    assert printed.count("raw_data: success (4 s)") == 2
    assert "/runs/run-of-flight_delay_data" in printed


def test_a_failed_run_stops_the_first_start_with_a_hint(serve: Serve) -> None:
    fake = FakeServers(outcome="FAILURE")

    with pytest.raises(RunFailed, match=r"flight_delay_data ended as FAILURE \(raw_data\).*/runs/run-of-"):
        bring_up(*serve(fake))
    assert [job for job, _ in fake.launched] == ["flight_delay_data"]


def test_a_training_without_a_release_is_no_success(serve: Serve) -> None:
    with pytest.raises(RunFailed, match="does not serve flight_delay"):
        bring_up(*serve(FakeServers(releases=False)))


def test_a_launch_may_take_its_time_and_no_more(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeServers(seconds_to_launch=0.5)
    monkeypatch.setattr(dagster_client, "_LAUNCH_TIMEOUT", 0.1)

    with pytest.raises(TimeoutError, match=r"Dagster at http.* did not answer within 0 s"):
        bring_up(*serve(fake))
    monkeypatch.setattr(dagster_client, "_LAUNCH_TIMEOUT", 5.0)
    assert bring_up(*serve(fake)) == "1.0.1"


def test_a_refused_launch_says_why(serve: Serve) -> None:
    with pytest.raises(DagsterRefused, match=r"flight_delay_data was not launched.*no such field: trial"):
        bring_up(*serve(FakeServers(refuses="no such field: trial")))


def test_an_error_in_the_project_is_raised_as_it_stands(serve: Serve) -> None:
    dagster, _ = serve(FakeServers(location={"__typename": "PythonError", "message": "defs.yaml:3 modle"}))

    with pytest.raises(DagsterRefused, match=r"defs\.yaml:3 modle"):
        dagster.wait(5)


def test_a_server_that_never_answers_is_not_waited_for_for_ever() -> None:
    with pytest.raises(TimeoutError, match="did not answer"):
        Server("http://127.0.0.1:9", "/health", "MLflow").wait(0)
    with pytest.raises(TimeoutError, match="did not load"):
        Dagster("http://127.0.0.1:9").wait(0)


def test_what_to_open_and_to_try_is_printed() -> None:
    text = format_next_steps(
        Dagster("http://ui"),
        Server("http://mlflow", "/health", "MLflow"),
        Endpoint("http://endpoint", "/livez", "The endpoint"),
        "1.0.3",
    )

    for expected in (
        "flight_delay 1.0.3 is live",
        "curl http://endpoint/v1/models/flight_delay/predict",
        "http://ui/",
        "http://mlflow/#/models/flight_delay",
        "dg scaffold",
        "Ctrl-C",
    ):
        assert expected in text


@pytest.mark.parametrize(
    ("replay", "last"),
    [
        (None, "2013-01-03"),
        (datetime(2013, 1, 3, tzinfo=UTC), "2013-01-02"),
        (datetime(2014, 1, 1), "2013-01-03"),
    ],
)
def test_days_after_the_clocks_moment_are_left_out(replay: datetime | None, last: str) -> None:
    assert partitions_until_now(["2013-01-01", "2013-01-02", "2013-01-03"], replay)[-1] == last


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("attributes: {replay: 2013-09-01T00:00:00Z}", datetime(2013, 9, 1, tzinfo=UTC)),
        ("attributes: {replay: 2013-09-01}", datetime(2013, 9, 1)),
        ("attributes: {replay: '2013-09-01T00:00:00+00:00'}", datetime(2013, 9, 1, tzinfo=UTC)),
        ("attributes: {model: x}", None),
    ],
)
def test_the_clocks_moment_is_read_from_the_declaration(tmp_path: Path, text: str, moment: datetime | None) -> None:
    declaration = tmp_path / "defs.yaml"
    declaration.write_text(text)

    assert replay_moment(declaration) == moment
