"""A thousand hostile inputs through every door of the real process: no 5xx, no hang, every refusal says what is wrong.

Schemathesis makes requests from the OpenAPI document, rightly and wrongly built; Hypothesis those that no document
tells.
"""

import struct
from collections import Counter
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import orjson
import pyarrow as pa
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode

from serving.grpc.messages import MESSAGES, SERVICE
from tests.serving.endpoint import Process
from tests.serving.http.test_hostile import HEADERS, REQUESTS
from tests.serving.reliability.traffic import PATH, Memory, Truth, figures

pytestmark = pytest.mark.simulation
EACH = 25  # inputs for each operation and way of making them
INFER = "/v2/models/delay/infer"
PATIENT = settings(
    max_examples=300,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    print_blob=False,
)


@pytest.fixture(scope="module")
def process(tmp_path_factory) -> Iterator[Process]:
    """One for all; it must be unharmed in the end."""
    truth = Truth(tmp_path_factory.mktemp("hostile"))
    truth.publish(1)
    with Process(truth.home) as process:
        (worker,) = process.workers()
        with Memory(worker) as memory:
            yield process
        answer = httpx.post(process.url + PATH, content=truth.bodies[0])
        assert truth.wrong(0, answer.json()) is None
        assert process.workers() == [worker]
        assert memory.grown < 150


@pytest.fixture(scope="module")
def client(process) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=process.url, timeout=10) as client:
        yield client


def check(answer: httpx.Response, sent: Any) -> int:
    """No 5xx, and a refusal that names what is wrong."""
    assert answer.status_code < 500, (sent, answer.status_code, answer.text[:500])
    if answer.status_code >= 400:
        told = answer.json()
        assert told["error"], (sent, told)
        assert told["kind"], (sent, told)
        problems = told["problems"]
        assert problems, (sent, told)
        assert all(problem.keys() == {"field", "row", "reason"} and problem["reason"] for problem in problems)
        if len(problems) > 1:  # each has its place
            assert all(problem["field"] is not None or problem["row"] is not None for problem in problems), (sent, told)
    return answer.status_code


def test_what_openapi_says_rightly_and_wrongly_asked(process, client):
    schema = schemathesis.openapi.from_url(f"{process.url}/openapi.json")
    seen: Counter[tuple[str, int]] = Counter()
    for found in schema.get_all_operations():
        operation: Any = found.ok()  # type: ignore[reportAttributeAccessIssue]
        _ask_all(operation, GenerationMode.POSITIVE, client, seen)
        if operation.body:  # without one there is nothing that could be wrong
            _ask_all(operation, GenerationMode.NEGATIVE, client, seen)
    figures(f"schemathesis: {seen.total()} requests, {dict(seen)}")
    assert {status for how, status in seen if how == "positive"} >= {200, 422}  # feedback names ids never issued
    assert {status for how, status in seen if how == "negative"} <= {200, 202, 400, 404, 413, 415, 422}
    assert seen.total() > 150


def _ask_all(operation: Any, mode: GenerationMode, client: httpx.Client, seen: Counter[tuple[str, int]]) -> None:
    @settings(PATIENT, max_examples=EACH)
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        answer = case.call(base_url=str(client.base_url), timeout=10)
        sent = (case.method, case.path, case.body)
        seen[mode.value, check(httpx.Response(answer.status_code, content=answer.content), sent)] += 1

    ask()


def test_what_no_document_tells(client):
    seen: Counter[int] = Counter()

    @PATIENT
    @given(asked=REQUESTS, headers=HEADERS)
    def ask(asked: tuple[str, bytes], headers: dict[str, str]) -> None:
        path, body = asked
        seen[check(client.post(path, content=body, headers=headers), (path, body, headers))] += 1

    ask()
    figures(f"JSON and noise: {dict(seen)}")


TENSORS = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["distance", "carrier"]) | st.text(max_size=5),
            "shape": st.lists(st.integers(-1, 5), max_size=3),
            "datatype": st.sampled_from(["FP32", "FP64", "INT64", "UINT8", "BOOL", "BYTES", "FP16"]),
            "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(-5, 50) | st.just(2**63)}),
        }
    ),
    max_size=3,
)
TEXTS = st.lists(st.binary(max_size=9) | st.sampled_from([b"AA", b"UA"]), max_size=4).map(
    lambda words: b"".join(struct.pack("<I", len(word)) + word for word in words)
)


def test_tensors_of_bytes_that_are_not_what_they_say(client):
    seen: Counter[int] = Counter()

    @PATIENT
    @given(inputs=TENSORS, tail=st.binary(max_size=64) | TEXTS, off=st.sampled_from([0, 0, 0, -1, 1, 10**9]))
    def ask(inputs: list[dict[str, Any]], tail: bytes, off: int) -> None:
        try:
            head = orjson.dumps({"inputs": inputs})
        except orjson.JSONEncodeError:
            head = str({"inputs": inputs}).encode()
        headers = {"inference-header-content-length": str(len(head) + off)}
        seen[check(client.post(INFER, content=head + tail, headers=headers), (head, tail, off))] += 1

    ask()
    figures(f"binary tensors: {dict(seen)}")


COLUMNS = st.sampled_from(
    [
        pa.array([1.5, None]), pa.array(["AA", None]), pa.array([1, 2]), pa.array([b"\xff", b"x"]), pa.nulls(2),
        pa.array([[1.0], []]), pa.array([{"a": 1}, None]), pa.array(["AA", "UA"]).dictionary_encode(),
        pa.array([float("nan"), float("inf")]), pa.array(["x" * 10_000, ""]), pa.array([True, False]),
        pa.array([1, 2], pa.timestamp("us")), pa.array([1, 2], pa.decimal128(5)), pa.array([1.0, 2.0], pa.float16()),
        pa.array(["AA", "UA"], pa.large_string()), pa.array([2**63 - 1, -(2**63)]),
        pa.array([2**64 - 1, 0], pa.uint64()),
    ]
)  # fmt: skip
NAMES = st.sampled_from(["distance", "carrier", "other", ""])
HONEST = [("distance", pa.array([1.5, None])), ("carrier", pa.array(["AA", None]))]


def test_arrow_that_is_odd_cut_or_damaged(client):
    seen: Counter[int] = Counter()

    @PATIENT
    @given(
        columns=st.lists(st.tuples(NAMES, COLUMNS), max_size=4) | st.just(HONEST),
        damage=st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 255)), max_size=4),
        cut=st.none() | st.integers(0, 2_000),
    )
    def ask(columns: list[tuple[str, pa.Array]], damage: list[tuple[int, int]], cut: int | None) -> None:
        table = pa.table([array for _, array in columns], names=[name for name, _ in columns])
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        body = bytearray(sink.getvalue().to_pybytes())
        for place, value in damage:
            body[place % len(body)] = value
        headers = {"content-type": "application/vnd.apache.arrow.stream"}
        answer = client.post(PATH, content=bytes(body[:cut]), headers=headers)
        seen[check(answer, (table.schema, damage, cut))] += 1

    ask()
    figures(f"Arrow: {dict(seen)}")
    assert seen[200]


def _honest_message() -> bytes:
    tensor = MESSAGES["InferInputTensor"]
    inputs = [
        tensor(name="distance", datatype="FP64", shape=[1]).SerializeToString(),
        tensor(name="carrier", datatype="BYTES", shape=[1]).SerializeToString(),
    ]
    raw = [struct.pack("<d", 1.5), struct.pack("<I", 2) + b"AA"]
    return MESSAGES["ModelInferRequest"](model_name="delay", inputs=inputs, raw_input_contents=raw).SerializeToString()


GRPC_TENSORS = st.fixed_dictionaries(
    {"name": NAMES, "datatype": st.sampled_from(["FP32", "FP64", "INT64", "BOOL", "BYTES", "", "X"])},
    optional={"shape": st.lists(st.integers(-1, 4), max_size=3)},
)
FINE = {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED}


def test_grpc_messages_that_are_not_what_they_say(process):
    seen: Counter[str] = Counter()
    with grpc.insecure_channel(f"127.0.0.1:{process.grpc_port}") as channel:
        call = channel.unary_unary(f"/{SERVICE}/ModelInfer")

        def sent(message: bytes) -> None:
            answer = call.future(message, timeout=10)
            code, told = answer.code(), answer.details()  # wait for it
            assert code in FINE, (message, code, told)
            assert told or code is grpc.StatusCode.OK, message
            seen[code.name] += 1

        @PATIENT
        @given(
            tensors=st.lists(GRPC_TENSORS, max_size=3),
            raw=st.lists(st.binary(max_size=40) | TEXTS, max_size=3),
            model=st.sampled_from(["delay", "delay", "", "other"]),
            noise=st.none() | st.binary(max_size=20),
        )
        def ask(tensors: list[dict[str, Any]], raw: list[bytes], model: str, noise: bytes | None) -> None:
            inputs = [MESSAGES["InferInputTensor"](**tensor).SerializeToString() for tensor in tensors]
            message = MESSAGES["ModelInferRequest"](model_name=model, inputs=inputs, raw_input_contents=raw)
            sent(message.SerializeToString() + (noise or b""))

        ask()
        sent(_honest_message())
    figures(f"gRPC: {dict(seen)}")
    assert seen["OK"]
