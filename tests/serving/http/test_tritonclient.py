"""NVIDIA's client against the real process, unchanged."""

import numpy as np
import pytest

from serving.contract.arms import Role
from serving.contract.release import write_release
from tests.serving.endpoint import Process
from tests.serving.graphs import category, contract, make_bundle, number, release

triton = pytest.importorskip("tritonclient.http", reason="tritonclient is a development dependency")


def test_the_client_asks_for_everything_it_can(tmp_path):
    given = contract([number("distance"), number("hour", type="integer", lower=0, upper=23), category("carrier")])
    digest = make_bundle(tmp_path / "bundles", given)
    write_release(tmp_path / "releases" / "delay.json", release(("champion", digest, Role.CHAMPION, 1.0)))
    values = {
        "distance": np.array([[1.5], [2]], np.float32),
        "hour": np.array([3, 4], np.int64),
        "carrier": np.array(["AA", "UA"], dtype=np.object_),
    }
    kinds = {"distance": "FP32", "hour": "INT64", "carrier": "BYTES"}
    with Process(tmp_path) as process:
        client = triton.InferenceServerClient(f"127.0.0.1:{process.port}")
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("delay", "1.0.0")
        assert [t["name"] for t in client.get_model_metadata("delay")["inputs"]] == list(values)
        answers = []
        for binary in (True, False):
            inputs = []
            for name, value in values.items():
                inputs.append(triton.InferInput(name, list(value.shape), kinds[name]))
                inputs[-1].set_data_from_numpy(value, binary_data=binary)
            for packing in (None, "gzip", "deflate"):
                found = client.infer("delay", inputs, request_compression_algorithm=packing)
                answers.append(found.as_numpy("probability").tolist())
                assert found.as_numpy("label").tolist() == [b"no", b"no"]
        statistics = client.get_inference_statistics("delay")["model_stats"][0]
        client.close()
    assert all(answer == answers[0] for answer in answers)
    assert statistics["inference_count"] == 12
