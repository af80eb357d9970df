"""A real endpoint process and Debian's Prometheus: what is exported, asked, recorded and alerted belongs together."""

import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from infra.monitoring.dashboards import BOARDS, expressions
from mlops_assets.domain.alerts.alerting import AlertKind
from mlops_assets.resources.alerts.prometheus import UNREACHABLE, Prometheus
from serving.contract.arms import Role
from serving.contract.release import write_release
from tests.project.metrics_text import asked, asked_by, families, with_samples
from tests.project.test_monitoring import ALERTS, MONITORING, RECORDING, rules
from tests.serving.endpoint import Process, free_port
from tests.serving.graphs import contract, make_bundle, number, release

PREDICT = "/v1/models/delay/predict"
EXPRESSIONS = [query for board in BOARDS for query in expressions(board)]
NOT_THE_ENDPOINTS = {"up"}


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory) -> Iterator[Process]:
    home = tmp_path_factory.mktemp("endpoint")
    digest = make_bundle(home / "bundles", contract([number("distance")]))
    write_release(home / "releases" / "delay.json", release(("champion", digest, Role.CHAMPION, 1.0)))
    with Process(home, {"ENDPOINT_FLUSH_SECONDS": "0.2"}) as process:
        traffic(process)
        time.sleep(0.5)  # until it is added up
        yield process


def traffic(process: Process) -> None:
    """Answers, a refusal and an outcome."""
    with httpx.Client(base_url=process.url, timeout=10) as client:
        for _ in range(20):
            answer = client.post(PREDICT, json={"rows": [{"distance": 1.5}]}).raise_for_status().json()
        assert client.post(PREDICT, json={"rows": [{"distance": "far"}]}).status_code == 422
        outcome = {"request_id": answer["request_id"], "row": 0, "outcome": "no"}
        client.post("/v1/models/delay/feedback", json=outcome).raise_for_status()


@pytest.fixture(scope="module")
def exported(endpoint) -> str:
    return httpx.get(endpoint.url + "/metrics").raise_for_status().text


def test_no_panel_and_no_rule_asks_for_what_is_not_exported(exported):
    there = {series for names in families(exported).values() for series in names}
    recorded = {rule["record"] for rule in rules(RECORDING)}
    wanted = asked_by([*EXPRESSIONS, *(rule["expr"] for rule in (*rules(RECORDING), *rules(ALERTS)))])
    assert wanted - there - recorded - NOT_THE_ENDPOINTS == set()


def test_every_family_has_a_panel(exported):
    recorded = {rule["record"]: rule["expr"] for rule in rules(RECORDING)}
    shown = asked_by(EXPRESSIONS)
    shown |= asked_by(recorded[name] for name in shown if name in recorded)
    mine = {name: series for name, series in families(exported).items() if name.startswith("endpoint_")}
    assert [name for name, series in mine.items() if not shown & set(series)] == []


def test_what_a_dashboard_says_of_a_release_has_a_value(exported):
    there = with_samples(exported)
    assert {"endpoint_generation", "endpoint_behind", "endpoint_loaded_unixtime", "endpoint_ready"} <= there
    (since,) = [line for line in exported.splitlines() if line.startswith("endpoint_loaded_unixtime{")]
    assert 0 < time.time() - float(since.rpartition(" ")[2]) < 120
    assert 'endpoint_behind{arm="",model="delay",version=""} 0.0' in exported


class Server:
    """Prometheus with the project's rules, asking often."""

    def __init__(self, folder: Path, target: str) -> None:
        configuration = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
        configuration["global"] = {
            "scrape_interval": "500ms",
            "scrape_timeout": "400ms",
            "evaluation_interval": "500ms",
        }
        configuration["rule_files"] = [str(MONITORING / name) for name in configuration["rule_files"]]
        configuration["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        self.url = f"http://127.0.0.1:{free_port()}"
        command = [
            "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address={self.url.removeprefix('http://')}",
        ]  # fmt: skip
        with (folder / "prometheus.log").open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def query(self, expression: str) -> list[Any]:
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expression}, timeout=5)
        assert answer.status_code == 200, f"{expression}: {answer.text}"
        return answer.json()["data"]["result"]

    def alerts(self) -> set[str]:
        found = httpx.get(f"{self.url}/api/v1/alerts", timeout=5).json()["data"]["alerts"]
        return {each["labels"]["alertname"] for each in found}

    def until(self, holds: Callable[[], Any], seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if holds():
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        pytest.fail(f"not within {seconds:g} s")


@pytest.fixture(scope="module")
def prometheus(endpoint, tmp_path_factory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("prometheus"), endpoint.url.removeprefix("http://"))
    try:
        server.until(lambda: httpx.get(f"{server.url}/-/ready").status_code == 200)
        server.until(lambda: server.query("count_over_time(endpoint_ready[1m]) >= 2"))
        p95 = 'model:endpoint_request_seconds:p95_5m{model="delay"} > 0'
        server.until(lambda: traffic(endpoint) or server.query(p95))
        server.until(lambda: server.query("model:endpoint_failures:ratio_rate6h"))
        yield server
    finally:
        server.process.terminate()
        server.process.wait(15)


@pytest.mark.needs_prometheus
def test_recording_rules_give_values_of_a_real_endpoint(prometheus):
    assert 0 < float(prometheus.query('model:endpoint_request_seconds:p95_5m{model="delay"}')[0]["value"][1]) < 5
    assert float(prometheus.query('model:endpoint_requests:rate5m{model="delay"}')[0]["value"][1]) > 0
    assert float(prometheus.query('model:endpoint_failures:ratio_rate5m{model="delay"}')[0]["value"][1]) == 0
    assert 0 <= float(prometheus.query('model:endpoint_slow:ratio_rate1h{model="delay"}')[0]["value"][1]) <= 1
    assert float(prometheus.query("instance:endpoint_waiting:per_worker")[0]["value"][1]) == 0


@pytest.mark.needs_prometheus
@pytest.mark.parametrize("query", EXPRESSIONS)
def test_a_panels_query_is_understood_and_finds_what_there_is(prometheus, exported, query):
    found = prometheus.query(query.replace("$__rate_interval", "1m").replace("$model", ".*"))
    if asked(query) <= with_samples(exported):
        assert found


@pytest.mark.needs_prometheus
def test_all_is_well_and_then_the_endpoint_stops(prometheus, endpoint):
    """The last test of this module: it ends the endpoint."""
    told = Prometheus(url=prometheus.url)
    assert prometheus.alerts() == set()
    assert told.read_events([], now=datetime.now(UTC)) == []
    endpoint.stop()
    prometheus.until(lambda: prometheus.alerts() == {"EndpointDown"})
    assert told.read_events([], now=datetime.now(UTC)) == []  # pending for a minute


def test_a_prometheus_that_does_not_answer_is_an_alert_itself():
    (alert,) = Prometheus(url=f"http://127.0.0.1:{free_port()}").read_events([], now=datetime.now(UTC))
    assert (alert.kind, alert.key) == (AlertKind.ENDPOINT, UNREACHABLE)
