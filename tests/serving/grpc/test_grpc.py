"""The gRPC door of the real process, asked by NVIDIA's client and by bare gRPC."""

import hashlib
import os
import signal
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pytest

from serving.contract.arms import Role
from serving.contract.release import write_release
from serving.grpc.messages import MESSAGES, SERVICE
from tests.serving.endpoint import Process
from tests.serving.graphs import category, contract, make_bundle, number, release

grpc = pytest.importorskip("grpc")
triton = pytest.importorskip("tritonclient.grpc", reason="tritonclient is a development dependency")
triton_http = pytest.importorskip("tritonclient.http", reason="tritonclient is a development dependency")

GIVEN = contract([
    number("distance"), number("hour", type="integer", lower=0, upper=23), category("carrier"),
    category("late", ("false", "true"), type="boolean"),
])  # fmt: skip
VALUES = {
    "distance": ("FP32", np.array([[1.5], [2]], np.float32)),
    "hour": ("INT64", np.array([3, 4], np.int64)),
    "carrier": ("BYTES", np.array(["AA", "UA"], dtype=np.object_)),
    "late": ("BOOL", np.array([True, False])),
}
BROKEN = contract([number("distance", upper=1e9)], model="broken")


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    digest = make_bundle(home / "bundles", GIVEN)
    write_release(home / "releases" / "delay.json", release(("champion", digest, Role.CHAMPION, 1.0)))
    failing = make_bundle(home / "bundles", BROKEN, fails_above=100)
    default = {"probability": 0.25, "label": "no"}
    broken = release(("champion", failing, Role.CHAMPION, 1.0), model="broken", default=default)
    write_release(home / "releases" / "broken.json", broken)
    with Process(home, {"ENDPOINT_BODY_MB": "0.2"}) as process:
        yield process


@pytest.fixture
def client(endpoint):
    with triton.InferenceServerClient(f"127.0.0.1:{endpoint.grpc_port}") as found:
        yield found


@pytest.fixture
def bare(endpoint):
    """Calls a method with our own message classes; gives the call, which has status, answer and trailing metadata."""
    with grpc.insecure_channel(f"127.0.0.1:{endpoint.grpc_port}") as channel:
        yield lambda method, message, **how: asked(channel, method, message, **how)


def asked(channel, method, message, **how):
    stub = channel.unary_unary(
        f"/{SERVICE}/{method}",
        request_serializer=lambda given: given if isinstance(given, bytes) else given.SerializeToString(),
        response_deserializer=lambda body: body,
    )
    body, call = stub.with_call(message, timeout=how.pop("timeout", 10), **how)
    answer = MESSAGES[f"{method}Response"].FromString(body)
    parameters = {entry.key: getattr(entry.value, entry.value.WhichOneof("choice")) for entry in answer.parameters}
    return SimpleNamespace(answer=answer, parameters=parameters, call=call)


def tensors(kind=triton, values=VALUES):
    made = []
    for name, (datatype, value) in values.items():
        made.append(kind.InferInput(name, list(value.shape), datatype))
        made[-1].set_data_from_numpy(value)
    return made


def typed_request(**more):
    """The same rows with their values in `contents`."""
    fields = {"FP32": "fp32_contents", "INT64": "int64_contents", "BYTES": "bytes_contents", "BOOL": "bool_contents"}
    inputs = []
    for name, (datatype, value) in VALUES.items():
        flat = [v.encode() if isinstance(v, str) else v for v in value.ravel().tolist()]
        inputs.append({"name": name, "datatype": datatype, "shape": value.shape, "contents": {fields[datatype]: flat}})
    fields = {"model_name": "delay", "inputs": inputs} | more
    packed = [MESSAGES["InferInputTensor"](**item).SerializeToString() for item in fields["inputs"]]
    return MESSAGES["ModelInferRequest"](**fields | {"inputs": packed})


def test_nvidias_client_asks_for_everything_it_can(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("delay", "1.0.0")
    assert not client.is_model_ready("delay", "7")
    assert not client.is_model_ready("nothing")
    assert client.get_server_metadata().name == "mlops_assets"
    told = client.get_model_metadata("delay", as_json=True)
    assert [(t["name"], t["datatype"]) for t in told["inputs"]] == [
        ("distance", "FP64"), ("hour", "INT64"), ("carrier", "BYTES"), ("late", "BOOL"),
    ]  # fmt: skip
    assert [t["name"] for t in told["outputs"]] == ["probability", "label"]
    index = {entry.name: entry.state for entry in client.get_model_repository_index().models}
    assert index == {"delay": "READY", "broken": "READY"}


def test_both_doors_give_the_same_answer_and_the_same_stamp(endpoint, client):
    over_grpc = client.infer("delay", tensors(), request_id="mine", model_version="1.0.0")
    with triton_http.InferenceServerClient(f"127.0.0.1:{endpoint.port}") as rest:
        over_rest = rest.infer("delay", tensors(triton_http), request_id="mine", model_version="1.0.0")
    assert over_grpc.as_numpy("probability").tolist() == over_rest.as_numpy("probability").tolist()
    assert over_grpc.as_numpy("label").tolist() == over_rest.as_numpy("label").tolist()
    told, expected = over_grpc.get_response(), over_rest.get_response()
    assert (told.id, told.model_version) == ("mine", "1.0.0") == (expected["id"], expected["model_version"])
    stamp = {name: getattr(value, value.WhichOneof("parameter_choice")) for name, value in told.parameters.items()}
    assert stamp.pop("request_id") != expected["parameters"].pop("request_id")
    assert stamp == expected["parameters"]
    assert stamp == {
        "arm": "champion", "provider": "cpu", "generation": 1, "degraded": False, "why": "", "notes": "",
    }  # fmt: skip


@pytest.mark.parametrize("packing", [None, "gzip", "deflate"])
def test_packed_requests_and_chosen_outputs(client, packing):
    wanted = [triton.InferRequestedOutput("label")]
    found = client.infer("delay", tensors(), outputs=wanted, compression_algorithm=packing)
    assert found.as_numpy("label").tolist() == client.infer("delay", tensors()).as_numpy("label").tolist()
    assert found.as_numpy("probability") is None


def test_values_may_stand_in_the_message(client, bare):
    raw = client.infer("delay", tensors()).as_numpy("probability").tobytes()
    assert bare("ModelInfer", typed_request()).answer.raw_output_contents[0] == raw


@pytest.mark.parametrize("datatype", ["FP32", "FP64", "INT64", "INT32"])
def test_numbers_come_in_every_datatype(client, datatype):
    kinds = {"FP32": np.float32, "FP64": np.float64, "INT64": np.int64, "INT32": np.int32}
    given = VALUES | {"hour": (datatype, np.array([3, 4], kinds[datatype]))}
    expected = client.infer("delay", tensors()).as_numpy("probability").tolist()
    assert client.infer("delay", tensors(values=given)).as_numpy("probability").tolist() == expected


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"model_name": "nothing"}, "NOT_FOUND", "there is no model nothing"),
        ({"model_version": "7"}, "NOT_FOUND", "version 7 is not served"),
        ({"inputs": []}, "INVALID_ARGUMENT", "one tensor for each field"),
        ({"inputs": [{"name": "distance", "datatype": "FP8", "shape": [1]}]}, "INVALID_ARGUMENT", "distance: datatype"),
        ({"inputs": [{"name": "distance", "datatype": "FP64", "shape": [1, 2]}]}, "INVALID_ARGUMENT", "shape is"),
        ({"inputs": [{"name": "distance", "datatype": "FP64", "shape": [2]}]}, "INVALID_ARGUMENT", "fp64_contents has"),
        ({"raw_input_contents": [b"1"]}, "INVALID_ARGUMENT", "1 entries for 4 inputs"),
        ({"raw_input_contents": [b"1"] * 4}, "INVALID_ARGUMENT", "distance: 2 values of FP32 are 8 bytes, not 1"),
        ({"outputs": [{"name": "odds"}]}, "INVALID_ARGUMENT", "odds: is no output"),
        ({"parameters": [{"key": "key", "value": {"int64_param": 3}}]}, "INVALID_ARGUMENT", "key: is a text"),
        ({"parameters": [{"key": "deadline_ms", "value": {"double_param": 0}}]}, "INVALID_ARGUMENT", "deadline_ms"),
    ],
)
def test_what_is_wrong_is_told_with_field_and_reason(bare, change, code, says):
    with pytest.raises(grpc.RpcError) as caught:
        bare("ModelInfer", typed_request(**change))
    assert caught.value.code().name == code
    assert says in caught.value.details()


def test_every_wrong_tensor_is_named_at_once(bare):
    inputs = [{"name": name, "datatype": "INT8", "shape": [1]} for name in ("distance", "hour")]
    with pytest.raises(grpc.RpcError) as caught:
        bare("ModelInfer", typed_request(inputs=inputs))
    assert all(name in caught.value.details() for name in ("distance", "hour"))


def test_bytes_that_are_no_message_are_the_callers_mistake(bare):
    with pytest.raises(grpc.RpcError) as caught:
        bare("ModelInfer", b"\xff\xff\xff")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_large_message_is_refused(bare):
    with pytest.raises(grpc.RpcError) as caught:
        bare("ModelInfer", typed_request(id="x" * 300_000))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_methods_that_are_not_there_are_unimplemented(client):
    with pytest.raises(triton.InferenceServerException, match="there is no method"):
        client.load_model("delay")


def test_the_declared_default_is_tensors_on_both_doors(endpoint, client):
    given = {"distance": ("FP64", np.array([1e6, 1e6]))}
    over_grpc = client.infer("broken", tensors(values=given))
    with triton_http.InferenceServerClient(f"127.0.0.1:{endpoint.port}") as rest:
        over_rest = rest.infer("broken", tensors(triton_http, given))
    for found in (over_grpc, over_rest):
        assert found.as_numpy("probability").tolist() == [0.25, 0.25]
        assert found.as_numpy("label").tolist() == [b"no", b"no"]
    told = over_grpc.get_response()
    assert told.model_version == over_rest.get_response()["model_version"] == "default"
    assert told.parameters["degraded"].bool_param
    assert "champion 1.0.0" in told.parameters["why"].string_param
    assert over_rest.get_response()["parameters"]["degraded"] is True


def test_statistics_count_rows_and_requests(client):
    def counted():
        found = client.get_inference_statistics("delay").model_stats[0]
        return found.inference_count, found.execution_count, found.inference_stats.success.count

    before = counted()
    client.infer("delay", tensors())
    assert np.subtract(counted(), before).tolist() == [2, 1, 1]


def test_the_door_is_told_in_the_releases(endpoint):
    doors = httpx.get(f"{endpoint.url}/releases").json()["doors"]
    assert {door["port"] for door in doors} == {endpoint.port, endpoint.grpc_port}
    assert all(door["open"] for door in doors)


def test_tokens_are_needed_as_over_rest(tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text(f"me: {hashlib.sha256(b'secret').hexdigest()}\n")
    publish(tmp_path, 1)
    with (
        Process(tmp_path, {"ENDPOINT_TOKENS": str(tokens)}) as process,
        triton.InferenceServerClient(f"127.0.0.1:{process.grpc_port}") as client,
    ):
        assert client.is_server_live()
        with pytest.raises(triton.InferenceServerException, match="bearer token"):
            client.infer("delay", tensors())
        found = client.infer("delay", tensors(), headers={"authorization": "Bearer secret"})
    assert found.as_numpy("probability").shape == (2,)


def publish(home: Path, generation: int) -> None:
    digest = make_bundle(home / "bundles", GIVEN, seed=generation)
    arm = ("champion", digest, Role.CHAMPION, 1.0)
    write_release(home / "releases" / "delay.json", release(arm, generation=generation))


def test_a_taken_port_is_told_and_taken_up_when_it_is_free(tmp_path):
    publish(tmp_path, 1)
    process = Process(tmp_path)
    with ExitStack() as whatever_happens:
        whatever_happens.callback(process.stop)
        with socket.create_server(("127.0.0.1", process.grpc_port)):
            with pytest.raises(TimeoutError):
                process.wait_ready(6)
            answer = httpx.get(f"{process.url}/readyz")
            assert answer.status_code == 503
            assert str(process.grpc_port) in str(answer.json()["troubles"])
            assert not httpx.get(f"{process.url}/releases").json()["doors"][-1]["open"]
        process.wait_ready()
        assert "no gRPC on" in (tmp_path / "serve.log").read_text()


def test_two_workers_share_the_port_and_a_stop_loses_no_call(tmp_path):
    publish(tmp_path, 1)
    problems, workers, stopping = [], set(), threading.Event()
    own = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own for each client

    def call(port: int) -> None:
        while not stopping.is_set():
            with triton.InferenceServerClient(f"127.0.0.1:{port}", channel_args=own) as client:
                for _ in range(20):
                    try:
                        told = client.infer("delay", tensors()).get_response().parameters["request_id"]
                        workers.add(told.string_param.split("-")[0])
                    except triton.InferenceServerException as err:
                        problems.append(str(err))

    with Process(tmp_path, {"ENDPOINT_WORKERS": "2", "ENDPOINT_DRAIN_SECONDS": "1"}) as process:
        threads = [threading.Thread(target=call, args=[process.grpc_port]) for _ in range(4)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 20
        while len(workers) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        os.killpg(process.process.pid, signal.SIGTERM)
        time.sleep(0.5)  # while it drains, every call is still answered
        stopping.set()
        for thread in threads:
            thread.join()
    assert not problems
    assert len(workers) == 2
