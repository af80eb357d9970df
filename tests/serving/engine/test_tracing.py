"""Traces of the real process, as a collector over OTLP/HTTP receives them."""

import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from serving.contract.arms import Role
from serving.contract.release import write_release
from serving.settings.endpoint import read_settings
from serving.settings.environment import WrongSettings
from tests.serving.endpoint import PROJECT, Process
from tests.serving.graphs import contract, make_bundle, number, release

triton = pytest.importorskip("tritonclient.grpc", reason="tritonclient is a development dependency")

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PREDICT = "/v1/models/delay/predict"
CONTENT = {"rows": [{"distance": 1.5}, {"distance": 2.0}]}


class Collector:
    """Keeps every span that is sent to it, with the resource's attributes."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.spans, self.resource, self.headers = [], {}, {}
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                time.sleep(seconds)
                collector.take(self.path, dict(self.headers), self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Keeps quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def take(self, path: str, headers: dict, body: bytes) -> None:
        assert path == "/v1/traces"
        self.headers = {name.lower(): value for name, value in headers.items()}
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resource = attributes(resource.resource)
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]

    def wait(self, count: int, seconds: float = 10) -> None:
        end = time.monotonic() + seconds
        while len(self.spans) < count and time.monotonic() < end:
            time.sleep(0.05)

    def __enter__(self) -> "Collector":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def attributes(told) -> dict:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in told.attributes}


@pytest.fixture
def home(tmp_path):
    digest = make_bundle(tmp_path / "bundles", contract([number("distance")]))
    write_release(tmp_path / "releases" / "delay.json", release(("champion", digest, Role.CHAMPION, 1.0)))
    return tmp_path


def traced(collector: Collector, **more: str) -> dict[str, str]:
    """Settings; spans are sent often."""
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100", **more}


def test_both_doors_continue_the_callers_trace(home):
    settings = {"OTEL_SERVICE_NAME": "shop", "OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%20b"}
    told = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
    given = triton.InferInput("distance", [1], "FP64")
    given.set_data_from_numpy(np.array([1.5]))
    with Collector() as collector, Process(home, traced(collector, **settings)) as process:
        answer = httpx.post(process.url + PREDICT, json=CONTENT, headers=told).json()
        with triton.InferenceServerClient(f"127.0.0.1:{process.grpc_port}") as client:
            client.infer("delay", [given], headers=told)
        assert httpx.post(f"{process.url}/v1/models/none/predict", json=CONTENT).status_code == 404
        collector.wait(5)
    assert collector.resource["service.name"] == "shop"
    assert collector.headers["api-key"] == "a b"
    continued = [span for span in collector.spans if span.trace_id.hex() == TRACE]
    assert [span.name for span in continued] == ["score", "request", "score", "request"]
    scored, asked = continued[:2]
    assert scored.parent_span_id == asked.span_id
    assert asked.parent_span_id.hex() == CALLER
    found = attributes(asked)
    assert found["request.id"] == answer["request_id"]
    assert (found["model.name"], found["model.version"], found["model.arm"]) == ("delay", "1.0.0", "champion")
    assert (found["rows"], found["degraded"]) == (2, False)
    (refused,) = (span for span in collector.spans if span.trace_id.hex() != TRACE)
    assert refused.status.code == refused.status.STATUS_CODE_ERROR


@pytest.mark.parametrize(("flag", "count"), [("00", 0), ("01", 2)])
def test_the_caller_decides_whether_its_trace_is_kept(home, flag, count):
    settings = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}
    with Collector() as collector, Process(home, traced(collector, **settings)) as process:
        httpx.post(process.url + PREDICT, json=CONTENT, headers={"traceparent": f"00-{TRACE}-{CALLER}-{flag}"})
        httpx.post(process.url + PREDICT, json=CONTENT)  # without a trace of its own: the share decides, 0
        collector.wait(max(count, 1), 2)
    assert len(collector.spans) == count


def test_a_slow_collector_holds_up_no_answer(home):
    with Collector(seconds=3) as collector, Process(home, traced(collector)) as process, httpx.Client() as client:
        began = time.monotonic()
        for _ in range(100):
            assert client.post(process.url + PREDICT, json=CONTENT).status_code == 200
        assert time.monotonic() - began < 3


def test_nothing_of_it_is_imported_where_nobody_collects(tmp_path):
    code = (
        "import sys; from serving.settings.endpoint import read_settings; from serving.worker import Worker;"
        f"Worker(read_settings({{'MLOPS_HOME': {str(tmp_path)!r}, 'ENDPOINT_GRPC_PORT': 'off'}}));"
        "print(*(name for name in ('opentelemetry', 'google.protobuf', 'hpack') if name in sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []


def test_traces_are_off_without_an_address_or_by_choice():
    assert read_settings({}).traces is None
    assert read_settings({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}).traces is None
    assert read_settings({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "true"}).traces is None


@pytest.mark.parametrize(
    ("environment", "endpoint", "share", "follow"),
    [
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "http://localhost:4318/v1/traces", 1.0, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1/"}, "http://c:1/v1/traces", 1.0, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/x"}, "http://c/x", 1.0, True),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"},
         "http://localhost:4318/v1/traces", 0.1, False),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_TRACES_SAMPLER": "parentbased_always_off"},
         "http://localhost:4318/v1/traces", 0.0, True),
    ],
)  # fmt: skip
def test_the_standard_variables_are_read(environment, endpoint, share, follow):
    traces = read_settings(environment).traces
    assert traces is not None
    assert (traces.endpoint, traces.share, traces.follow, traces.service) == (endpoint, share, follow, "endpoint")


def test_what_cannot_be_spoken_is_told():
    wrong = {
        "OTEL_TRACES_EXPORTER": "jaeger",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_TRACES_SAMPLER": "sometimes",
    }
    with pytest.raises(WrongSettings) as caught:
        read_settings(wrong)
    assert all(name in str(caught.value) for name in wrong)
