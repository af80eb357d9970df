"""Every door over HTTP: what it takes, what it answers, and what it says when it does not."""

import asyncio
import gzip
import hashlib
import json
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest
from jsonschema import Draft202012Validator

from serving.contract.arms import Role, Strategy
from serving.contract.release import Reward, write_release
from serving.rows.tensors import to_bytes
from serving.worker import Worker
from tests.serving.endpoint import in_process
from tests.serving.graphs import bandit, category, contract, make_bundle, number, release

CONTRACT = contract([number("distance"), number("hour", type="integer", lower=0, upper=23), category("carrier")])
ROW = {"distance": 1.5, "hour": 3, "carrier": "AA"}
PREDICT, EXPLAIN, FEEDBACK = (f"/v1/models/delay/{door}" for door in ("predict", "explain", "feedback"))
INFER = "/v2/models/delay/infer"
Talk = Callable[[httpx.AsyncClient, Worker], Awaitable[Any]]


@pytest.fixture
def home(tmp_path) -> Path:
    digest = make_bundle(tmp_path / "bundles", CONTRACT)
    write_release(tmp_path / "releases" / "delay.json", release(("champion", digest, Role.CHAMPION, 1.0)))
    return tmp_path


def talk(home: Path, conversation: Talk, **settings: str) -> Any:
    async def run() -> Any:
        async with in_process(home, **settings) as (client, worker):
            return await conversation(client, worker)

    return asyncio.run(run())


def post(home: Path, path: str, json: Any = None, *, settings: Any = {}, **how: Any) -> httpx.Response:  # noqa: B006
    given = how if json is None else {"json": json, **how}
    return talk(home, lambda client, _: client.post(path, **given), **settings)


def get(home: Path, path: str, **settings: str) -> httpx.Response:
    return talk(home, lambda client, _: client.get(path), **settings)


def test_predict_answers_with_its_stamp(home):
    answer = post(home, PREDICT, {"rows": [ROW, ROW | {"carrier": None}]})
    assert answer.status_code == 200
    told = answer.json()
    assert told["request_id"]
    assert {k: told[k] for k in ("model", "version", "arm", "degraded")} == {
        "model": "delay", "version": "1.0.0", "arm": "champion", "degraded": False,
    }  # fmt: skip
    assert [set(p) for p in told["predictions"]] == [{"probability", "label"}] * 2


def test_a_violation_is_a_422_with_field_row_and_reason(home):
    answer = post(home, PREDICT, {"rows": [ROW, ROW | {"hour": "x"}]})
    assert answer.status_code == 422
    assert answer.json()["problems"] == [
        {"field": "hour", "row": 1, "reason": "must be a whole number or null, not 'x'"}
    ]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 400),
        (b"{", {}, 400),
        (b"[" * 100_000, {}, 400),
        (b'{"rows": [{"distance": NaN}]}', {}, 400),
        (b"\xff\xfe", {}, 400),
        (b"[]", {}, 422),
        (b'{"rows": 1}', {}, 422),
        (b'{"rows": []}', {}, 422),
        (b'{"rows": [1]}', {}, 422),
        (b'{"rows": [{}], "mode": 1}', {}, 400),
        (b'{"rows": [{}], "key": 1}', {}, 422),
        (b"a=1", {"content-type": "application/x-www-form-urlencoded"}, 415),
        (b"no arrow", {"content-type": "application/vnd.apache.arrow.stream"}, 400),
        (b'{"rows": [{}]}', {"x-deadline-ms": "soon"}, 400),
    ],
)
def test_hostile_bodies_are_the_callers_fault(home, body, headers, status):
    answer = post(home, PREDICT, content=body, headers={"content-type": "application/json"} | headers)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_a_body_over_the_limit_is_not_read(home):
    settings = {"ENDPOINT_BODY_MB": "0.01"}
    answer = post(home, PREDICT, {"rows": [ROW | {"carrier": "x" * 20_000}]}, settings=settings)
    assert answer.status_code == 413
    assert answer.headers["connection"] == "close"

    async def parts():
        for _ in range(20):
            yield b"x" * 1_000

    answer = talk(home, lambda client, _: client.post(PREDICT, content=parts()), **settings)
    assert answer.status_code == 413


def test_bodies_together_have_a_limit_too(home):
    async def parts():
        for _ in range(20):
            yield b"x" * 1_000

    answer = talk(home, lambda client, _: client.post(PREDICT, content=parts()), ENDPOINT_BODIES_MB="0.005")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_packed_bodies_are_unpacked_within_the_limit(home, encoding, pack):
    def ask(content: bytes, **settings: str) -> int:
        headers = {"content-type": "application/json", "content-encoding": encoding}
        return post(home, PREDICT, content=content, headers=headers, settings=settings).status_code

    honest = json.dumps({"rows": [ROW]}).encode()
    assert ask(pack(honest)) == 200
    assert ask(pack(honest)[:-9]) == 400
    assert ask(b"not packed") == 400
    assert ask(pack(b" " * 1_000_000 + honest), ENDPOINT_BODY_MB="0.1") == 413


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_compressed_arrow_is_unpacked_within_the_limit(home, codec):
    def ask(rows: int) -> int:
        table = pa.table({name: pa.array([value] * rows) for name, value in ROW.items()})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as stream:
            stream.write_table(table)
        body, headers = sink.getvalue().to_pybytes(), {"content-type": "application/vnd.apache.arrow.stream"}
        assert len(body) < 1_000_000
        return post(home, PREDICT, content=body, headers=headers, settings={"ENDPOINT_BODY_MB": "1"}).status_code

    assert (ask(1_000), ask(100_000)) == (200, 413)


def test_a_deadline_of_an_hour_is_refused(home):
    assert post(home, PREDICT, {"rows": [ROW]}, headers={"x-deadline-ms": "60000"}).status_code == 200
    answer = post(home, PREDICT, {"rows": [ROW]}, headers={"x-deadline-ms": "3600000"})
    assert "from 1 to 60000" in answer.text


def test_other_encodings_are_refused(home):
    assert post(home, PREDICT, content=b"{}", headers={"content-encoding": "br"}).status_code == 415


def test_unknown_models_paths_and_methods(home):
    assert post(home, "/v1/models/nobody/predict", {"rows": [ROW]}).status_code == 404
    assert get(home, "/nowhere").text == "inner"
    answer = get(home, PREDICT)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_arrow_in_arrow_out_with_the_stamp_in_the_schema(home):
    table = pa.Table.from_pylist([ROW] * 3)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    kind = "application/vnd.apache.arrow.stream"
    answer = post(home, PREDICT, content=sink.getvalue().to_pybytes(), headers={"content-type": kind})
    assert answer.headers["content-type"] == kind
    with pa.ipc.open_stream(answer.content) as reader:
        found = reader.read_all()
    assert found.column_names == ["probability", "label"]
    assert found.num_rows == 3
    assert found.schema.metadata[b"version"] == b"1.0.0"
    json_answer = post(home, PREDICT, {"rows": [ROW]}).json()["predictions"][0]
    assert found["probability"][0].as_py() == json_answer["probability"]


def tensors(binary: bool) -> tuple[bytes, dict[str, str]]:
    values = {"distance": ("FP32", [1.5, 2.0]), "hour": ("INT64", [3, 4]), "carrier": ("BYTES", ["AA", "UA"])}
    inputs, parts = [], []
    for name, (kind, data) in values.items():
        told: dict[str, Any] = {"name": name, "shape": [2, 1], "datatype": kind}
        if binary:
            parts.append(to_bytes(data, kind))
            told["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            told["data"] = data
        inputs.append(told)
    outputs = [{"name": "probability", "parameters": {"binary_data": binary}}]
    head = json.dumps({"id": "mine", "inputs": inputs, "outputs": outputs}).encode()
    return head + b"".join(parts), {"inference-header-content-length": str(len(head))} if binary else {}


def test_open_inference_json_and_binary_answer_alike(home):
    (plain, _), (body, headers) = tensors(False), tensors(True)
    first = post(home, INFER, content=plain).json()
    assert (first["id"], first["model_version"], first["outputs"][0]["shape"]) == ("mine", "1.0.0", [2])
    second = post(home, INFER, content=body, headers=headers)
    length = int(second.headers["inference-header-content-length"])
    told = json.loads(second.content[:length])
    assert told["outputs"][0]["parameters"] == {"binary_data_size": 8}
    assert to_bytes(first["outputs"][0]["data"], "FP32") == second.content[length:]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"shape": [3]}, "shape says 3 values"),
        ({"shape": [1, 2]}, "shape is [n] or [n, 1]"),
        ({"datatype": "FP8"}, "datatype is one of"),
        ({"data": ["x", "y"]}, "FP32 takes other values than str"),
        ({"name": "gust"}, "is no field of this model"),
        ({"name": "hour"}, "stands twice"),
        ({"parameters": {"binary_data_size": 99}, "data": None}, "0 bytes are left"),
    ],
)
def test_open_inference_tells_what_is_wrong_with_a_tensor(home, change, reason):
    content = json.loads(tensors(False)[0])
    content["inputs"][0] |= change
    answer = post(home, INFER, content)
    assert answer.status_code == 422
    assert reason in answer.json()["error"]


def test_open_inference_metadata_readiness_and_statistics(home):
    async def ask(client: httpx.AsyncClient, worker: Worker) -> None:
        assert (await client.get("/v2")).json()["name"]
        assert (await client.get("/v2/health/ready")).status_code == 200
        assert (await client.get("/v2/models/delay/ready")).status_code == 200
        assert (await client.get("/v2/models/delay/versions/1.0.0/ready")).status_code == 200
        assert (await client.get("/v2/models/delay/versions/7/ready")).status_code == 404
        inputs = (await client.get("/v2/models/delay")).json()["inputs"]
        assert [tensor["datatype"] for tensor in inputs] == ["FP64", "INT64", "BYTES"]
        await client.post(PREDICT, json={"rows": [ROW, ROW]})
        stats = (await client.get("/v2/models/delay/stats")).json()["model_stats"]
        assert (stats[0]["inference_count"], stats[0]["execution_count"]) == (2, 1)

    talk(home, ask)


@pytest.mark.parametrize("method", ["occlusion", "shapley"])
def test_an_explanation_is_complete_and_deterministic(home, method):
    content = {"rows": [ROW], "method": method, "seed": 3}
    first, second = (post(home, EXPLAIN, content).json()["explanations"][0] for _ in range(2))
    assert first == second
    assert {entry["field"] for entry in first["fields"]} == set(ROW)
    if method == "shapley":
        parts = sum(entry["effect"] for entry in first["fields"])
        assert parts == pytest.approx(first["answer"] - first["typical"], abs=1e-6)


def test_too_much_explanation_is_refused(home):
    assert post(home, EXPLAIN, {"rows": [ROW] * 17}).status_code == 422
    assert post(home, EXPLAIN, {"rows": [ROW], "method": "guess", "samples": 10_000}).status_code == 422


def test_feedback_is_kept_with_the_arm_that_answered(home):
    async def ask(client: httpx.AsyncClient, worker: Worker) -> None:
        request_id = (await client.post(PREDICT, json={"rows": [ROW]})).json()["request_id"]
        outcome = {"request_id": request_id, "row": 0, "outcome": True}
        assert (await client.post(FEEDBACK, json=outcome)).json() == {"accepted": 1}
        assert (await client.post(FEEDBACK, json=[outcome, {**outcome, "outcome": "yes"}])).status_code == 202
        wrong = await client.post(FEEDBACK, json={"row": -1, "outcome": [1]})
        assert {problem["field"] for problem in wrong.json()["problems"]} == {"request_id", "row", "outcome"}

    talk(home, ask)
    (path,) = (home / "feedback" / "delay").glob("*.arrow")
    rows = pa.ipc.open_stream(path.read_bytes()).read_all().to_pylist()
    assert [(row["outcome"], row["arm"]) for row in rows] == [
        ("true", "champion"),
        ("true", "champion"),
        ('"yes"', "champion"),
    ]


def test_a_bandits_rewards_survive_a_restart_and_count_once(home):
    digest = next(path.name for path in (home / "bundles").iterdir())
    arms = (("champion", digest, Role.CHAMPION, 0.5), ("b", digest, Role.VARIANT, 0.5))
    how = {"strategy": Strategy.THOMPSON, "bandit": bandit(Reward.BINARY)}
    write_release(home / "releases" / "delay.json", release(*arms, generation=2, **how))

    async def ask(client: httpx.AsyncClient, worker: Worker) -> str:
        told = (await client.post(PREDICT, json={"rows": [ROW]})).json()
        for _ in range(2):
            await client.post(FEEDBACK, json={"request_id": told["request_id"], "outcome": 1})
        return told["arm"]

    arm = talk(home, ask)

    async def look(client: httpx.AsyncClient, worker: Worker) -> Any:
        return worker.context.engine._rewards(worker.context.models.served["delay"].release)

    state = talk(home, look)
    assert {rewards.arm: (rewards.count, rewards.total) for rewards in state.arms if rewards.count} == {arm: (1, 1.0)}


def test_releases_card_openapi_docs_and_probes(home):
    arm = get(home, "/releases").json()["models"]["delay"]["arms"][0]
    assert (arm["version"], arm["provider"], arm["circuit"]) == ("1.0.0", "cpu", "closed")
    assert get(home, "/v1/models/delay/card").text == "# A model for tests\n"
    document = get(home, "/openapi.json").json()
    assert PREDICT in document["paths"]
    assert "http" not in get(home, "/docs").text.replace("httpx", "")
    assert [get(home, path).status_code for path in ("/livez", "/healthz", "/readyz")] == [200, 200, 200]


def test_without_a_release_the_worker_lives_and_is_not_ready(tmp_path):
    assert [get(tmp_path, path).status_code for path in ("/livez", "/readyz")] == [200, 503]


def test_a_bento_with_its_bundle_serves_alone(home):
    (home / "bundles").rename(home / "baked")
    (home / "baked" / "VERSION").write_text("2.3.4\n")
    (home / "releases" / "delay.json").unlink()
    answer = post(home, PREDICT, {"rows": [ROW]}, settings={"ENDPOINT_BAKED": str(home / "baked")})
    assert answer.json()["version"] == "2.3.4"


def test_metrics_tell_requests_errors_and_generation(home):
    async def ask(client: httpx.AsyncClient, worker: Worker) -> str:
        await client.post(PREDICT, json={"rows": [ROW]})
        await client.post(PREDICT, json={"rows": []})
        await asyncio.to_thread(worker.context.metrics.write)
        return (await client.get("/metrics")).text

    text = talk(home, ask)
    assert 'endpoint_request_seconds_count{arm="champion",model="delay",version="1.0.0"} 1.0' in text
    assert 'endpoint_errors_total{arm="",kind="invalid",model="delay",version=""} 1.0' in text
    assert 'endpoint_generation{arm="",model="delay",version=""} 1.0' in text
    assert 'endpoint_log_lost_rows_total{arm="",kind="buffer",model="",version=""} 0.0' in text


def test_tokens_are_asked_for_and_rotate_without_a_restart(home):
    file = home / "tokens"
    hashed = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("old", "new")}
    file.write_text(f"# who\nmobile: {hashed['old']}\n")

    async def ask(client: httpx.AsyncClient, worker: Worker) -> None:
        async def status(token: str | None, path: str = "/releases") -> int:
            headers = {"authorization": f"Bearer {token}"} if token else {}
            return (await client.get(path, headers=headers)).status_code

        assert [await status(None), await status("wrong"), await status("old"), await status(None, "/readyz")] == [
            401, 401, 200, 200,
        ]  # fmt: skip
        assert await status(None, "/nowhere") == 401
        file.write_text(f"web: {hashed['new']}\n\n")
        for _ in range(200):
            if await status("new") == 200:
                break
            await asyncio.sleep(0.01)
        assert await status("old") == 401
        file.write_text("not a hash\n")
        await asyncio.sleep(0.1)
        assert await status("new") == 200

    talk(home, ask, ENDPOINT_TOKENS=str(file))


def test_a_draining_worker_answers_and_sends_callers_elsewhere(home):
    async def ask(client: httpx.AsyncClient, worker: Worker) -> None:
        worker.context.draining = True
        answer = await client.post(PREDICT, json={"rows": [ROW]})
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        assert (await client.get("/readyz")).status_code == 503

    talk(home, ask)


def test_a_row_without_keys_and_fields_is_invalid_on_paper(tmp_path):
    digest = make_bundle(tmp_path / "bundles", contract([number("distance")], entity=("person",)))
    write_release(tmp_path / "releases" / "delay.json", release(("champion", digest, Role.CHAMPION, 1.0)))
    body = get(tmp_path, "/openapi.json").json()["paths"][PREDICT]["post"]["requestBody"]["content"]["application/json"]
    row = Draft202012Validator(body["schema"]["properties"]["rows"]["items"])
    assert [row.is_valid(each) for each in ({}, {"person": "p"}, {"distance": 1.5})] == [False, True, True]
    assert row.is_valid(body["example"]["rows"][0])


def sent(home: Path, column: pa.Array) -> httpx.Response:
    sink, table = pa.BufferOutputStream(), pa.table({"carrier": column})
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as stream:
        stream.write_table(table)
    headers = {"content-type": "application/vnd.apache.arrow.stream"}
    return post(home, PREDICT, content=sink.getvalue().to_pybytes(), headers=headers)


def shared(text: str, rows: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int8()), pa.array([text], pa.large_string()))


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (shared("x" * 1_000_000, 600), "longer than 1000"),
        (pa.array(["x" * 5_000]).cast(pa.string_view()), "longer than 1000"),
        (pa.array([["AA"]]), "a column holds numbers"),
        (shared("AA", 2), "distance: is missing"),
    ],
    ids=["a shared text", "a view", "a list", "an honest dictionary"],
)
def test_columns_that_grow_when_written_out_are_refused(home, column, reason):
    answer = sent(home, column)
    assert answer.status_code in (400, 422)
    assert reason in answer.text
