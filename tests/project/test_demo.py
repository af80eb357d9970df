"""The demonstration's own parts: callers on a real socket, numbers, faults, and what is said where nothing is up."""

import json
import socket
import threading
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from infra.demo.__main__ import main
from infra.demo.callers import Callers, FlightAnswer, LandedFlight
from infra.demo.faults import celsius, detect_drift, list_faults, read_drift_distances, without_carrier
from infra.demo.replay import Pace
from infra.demo.tally import Day, Quality, compute_auc, format_day, format_table
from infra.demo.world import Flight
from infra.run.first_start import clock_moment

AT = datetime(2013, 10, 1, 12, tzinfo=UTC)
PACE = {"step": 7, "trial": 2, "seconds": 0.0, "share": 1.0, "by_keys": 0.0}


def flight(name: str, *, hours: float | None = 2, late: bool | None = False, **features) -> Flight:
    landed = None if hours is None else AT + timedelta(hours=hours)
    return Flight(name, AT, features, {"origin": "JFK"}, landed, late if landed else None)


def answered(score: float, late: bool, version: str = "1.0.0") -> LandedFlight:
    return LandedFlight(FlightAnswer(flight("f"), "r", version, False, score, ""), late)


class Endpoint(BaseHTTPRequestHandler):
    """Answers the share of late ones as asked; ends each connection, as one that was idle too long."""

    protocol_version = "HTTP/1.1"
    told: ClassVar[list] = []
    asked: ClassVar[list] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path.endswith("/feedback"):
            self.told.extend(body)
            self._send(202, {"accepted": len(body)})
        elif "score" in body["rows"][0]:
            self.asked.append(body["key"])
            answer = {"probability": body["rows"][0]["score"], "label": "false"}
            key = body["key"]
            self._send(200, {"request_id": f"r-{key}", "version": "1.0.0", "degraded": False, "predictions": [answer]})
        else:
            self._send(422, {"error": "score is missing"})

    def _send(self, status: int, content: dict) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_) -> None: ...


@pytest.fixture
def callers():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    Endpoint.told, Endpoint.asked = [], []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made = Callers(f"http://127.0.0.1:{server.server_port}", "flight_delay")
    yield made
    made.close()
    server.shutdown()
    server.server_close()


def test_each_flight_is_one_request_and_one_outcome(callers):
    flights = [flight("early", hours=1), flight("late", hours=3, late=True), flight("cancelled", hours=None)]
    answers = callers.predict(flights, [{"score": 0.25}] * 3)
    assert [(each.request_id, each.score, each.refusal) for each in answers] == [
        (f"r-{each.id}", 0.25, "") for each in flights
    ]
    assert sorted(Endpoint.asked) == ["cancelled", "early", "late"]
    assert [each.answer.flight.id for each in callers.report_outcomes(AT + timedelta(hours=1))] == ["early"]
    assert Endpoint.told == [{"request_id": "r-early", "outcome": False}]
    callers.report_outcomes(AT + timedelta(days=1))
    assert Endpoint.told[1:] == [{"request_id": "r-late", "outcome": True}]


def test_a_refusal_is_an_answer_without_a_score(callers):
    (answer,) = callers.predict([flight("odd")], [{"nothing": 1}])
    assert answer.score is None
    assert "422" in answer.refusal
    assert "score is missing" in answer.refusal
    assert not callers.report_outcomes(AT + timedelta(days=1))


def test_outcomes_that_stop_reach_nobody(callers):
    callers.predict([flight("f")], [{"score": 0.5}])
    assert len(callers.pop_landed(AT + timedelta(days=1))) == 1
    assert not Endpoint.told
    assert not callers.report_outcomes(AT + timedelta(days=1))


def test_an_endpoint_that_is_gone_is_told_in_the_answer():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    gone = Callers(f"http://127.0.0.1:{port}", "flight_delay")
    (answer,) = gone.predict([flight("f")], [{"score": 0.5}])
    gone.close()
    assert answer.score is None
    assert "ConnectionRefusedError" in answer.refusal


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([(0.1, False), (0.9, True)], 1.0),
        ([(0.9, False), (0.1, True)], 0.0),
        ([(0.5, False), (0.5, True)], 0.5),
        ([(0.1, False), (0.4, True), (0.4, False), (0.8, True)], 0.875),
        ([(0.1, False)], None),
        ([], None),
    ],
)
def test_auc_is_the_chance_of_ranking_a_late_flight_higher(pairs, expected):
    assert compute_auc([answered(score, late) for score, late in pairs]) == (expected and pytest.approx(expected))


def test_a_line_tells_flights_quality_and_who_answered():
    quality = Quality()
    landed = [answered(0.1, late=False), answered(0.9, late=True)]
    answers = [each.answer for each in landed] + [FlightAnswer(flight("x"), "r", "1.0.1", True, 0.4, "")]
    refused = FlightAnswer(flight("y"), "", "", False, None, "422: no")
    day = Day(date(2013, 10, 4), [*answers, refused], landed)
    quality.add(landed)
    told = format_day(day, quality)
    assert told.startswith("Fri 2013-10-04  4 flights, 50% of those landed late, 1 not answered, 1 degraded")
    assert "AUC of the week 1.000" in told
    assert told.endswith("1.0.0 67%, 1.0.1 33%")


def test_the_week_forgets_and_so_far_does_not():
    quality = Quality()
    quality.add([answered(0.9, late=False), answered(0.1, late=True)])
    for _ in range(7):
        quality.add([answered(0.1, late=False), answered(0.9, late=True)])
    assert quality.last_week == 1.0
    assert (quality.so_far or 0.0) < 1.0


def test_a_table_stands_in_columns():
    assert format_table(["a", "long"], [["1", "2"]]).splitlines() == ["a  long", "-----", "1  2"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"step": 0}, "at least one day"),
        ({"trial": 0}, "at least one day"),
        ({"seconds": -1.0}, "-1 seconds"),
        ({"share": 0.0}, "share of the flights"),
        ({"by_keys": 1.5}, "by key"),
        ({"share": 2.0, "by_keys": -1.0}, "share of the flights.*; .*by key"),
    ],
)
def test_a_pace_that_makes_no_sense_is_refused(wrong, told):
    with pytest.raises(ValueError, match=told):
        Pace(**PACE | wrong)


def test_celsius_changes_the_two_temperatures_and_nothing_else():
    row = {"temp": 50.0, "dewp": 32.0, "humid": 80.0, "wind_gust": None}
    assert celsius(flight("f"), row) == {"temp": 10.0, "dewp": 0.0, "humid": 80.0, "wind_gust": None}
    assert celsius(flight("f"), {"temp": None, "origin": "JFK"}) == {"temp": None, "origin": "JFK"}


def test_the_carrier_that_vanishes_asks_no_more():
    row = {"origin": "JFK"}
    assert without_carrier(flight("f", carrier="UA"), row) is None
    assert without_carrier(flight("f", carrier="AA"), row) == row


def report(**distances: float) -> dict:
    findings = [
        {
            "aspect": "feature",
            "column": name,
            "verdict": {"outcome": "fail" if value > 0.1 else "pass", "numbers": {"ks": value}},
        }
        for name, value in distances.items()
    ]
    joint = {"aspect": "together", "column": "all features", "verdict": {"outcome": "fail", "numbers": {"auc": 1.0}}}
    return {"window": {"findings": [*findings, joint]}}


def test_only_features_that_drifted_count():
    assert read_drift_distances(report(temp=0.4, dewp=0.05)) == {"temp": 0.4}
    assert read_drift_distances(None) == {}


class Told:
    """A story that knows one day."""

    def __init__(self, found: dict) -> None:
        self.found = found

    def read_drift_details(self, day: str) -> dict:
        return self.found


@pytest.mark.parametrize(
    ("now", "before", "caught"),
    [
        ({"temp": 0.9}, {"temp": 0.6}, True),
        ({"temp": 0.9}, {}, True),
        ({"temp": 0.99}, {"temp": 0.93}, True),  # as far as it can be
        ({"carrier": 0.3, "temp": 0.3}, {"carrier": 0.0}, True),  # did not drift before
        ({"temp": 0.62}, {"temp": 0.6}, False),  # a day of autumn
        ({"humid": 0.9}, {"temp": 0.6}, False),  # something else
    ],
)
def test_drift_counts_only_above_that_of_days_without_a_fault(now, before, caught):
    said = detect_drift(("temp",), before)(Told(report(**now)), "2013-10-04")  # type: ignore[arg-type]
    assert (said is not None) is caught


def test_three_faults_of_the_world_are_planted():
    found = list(list_faults({}))
    assert [fault.by for fault in found] == ["drift_report", "drift_report", "performance"]
    assert not found[-1].conditions.outcomes


def test_without_a_running_system_it_says_to_start_it(capsys, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    ports = dict.fromkeys(("UI_PORT", "MLFLOW_PORT", "ENDPOINT_PORT"), port)
    assert main([], {**ports, "MLOPS_HOME": str(tmp_path)}) == 1
    said = capsys.readouterr().out
    assert f"The endpoint at http://127.0.0.1:{port} did not answer" in said
    assert "MLflow" in said
    assert "Dagster" in said
    assert "start it with `make run`" in said


def test_a_first_start_may_begin_on_an_earlier_day(tmp_path):
    clock = tmp_path / "clock" / "flight_delay.txt"
    assert clock_moment(clock, "") is None
    assert not clock.exists()
    assert clock_moment(clock, "2013-02-01") == datetime(2013, 2, 1, tzinfo=UTC)
    clock.write_text("2013-03-05T12:30:00+00:00")
    assert clock_moment(clock, "2013-02-01") == datetime(2013, 3, 5, 12, 30, tzinfo=UTC)
