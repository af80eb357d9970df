"""The Open Inference Protocol over gRPC, one row a request: the endpoint beside KServe, in turns.

KServe is given its shortest request, one tensor of 30 numbers; the endpoint gets one tensor for each field, as its
contract asks.
"""

import random
import socket
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from serving.grpc.messages import MESSAGES, SERVICE
from tests.benchmarks.peer_environments import python_of
from tests.benchmarks.serving_kit import FIELDS, endpoint, free_port, interleaved, peer, prepared, table, told

INFER = f"/{SERVICE}/ModelInfer"


def grpc() -> None:
    python = python_of("kserve")
    if not python.exists():
        print("KServe: not measured: `python tests/benchmarks/peer_environments.py kserve` installs it")
        return
    port = free_port()
    with prepared() as (home, bodies):
        row = np.array([random.Random(0).gauss(0, 1) for _ in FIELDS])
        mine = _written(home / "grpc.ours", "delay", {name: row[[i]] for i, name in enumerate(FIELDS)})
        raw = _written(home / "grpc.raw", "peer", {"numbers": row.reshape(1, -1)})
        typed = _written(home / "grpc.typed", "peer", {"numbers": row.reshape(1, -1)}, raw=False)
        with (
            endpoint(home, ENDPOINT_GRPC_PORT=str(port)) as ours,
            peer("kserve_grpc", bodies["model"], str(python), "/v2/health/ready") as other,
        ):
            _wait_for(other.port + 1)
            found = interleaved(
                {
                    "KServe, raw contents": (other, INFER, raw, {"grpc": other.port + 1}),
                    "KServe, typed contents": (other, INFER, typed, {"grpc": other.port + 1}),
                    "endpoint": (ours, INFER, mine, {"grpc": port}),
                }
            )
    table(found)
    theirs = [found[name] for name in found if name.startswith("KServe")]
    best, least = max(each["rps"] for each in theirs), min(each["cpu_us"] for each in theirs)
    told("OIP gRPC against KServe's (requests a second)", found["endpoint"]["rps"] / best, 2)
    told("OIP gRPC against KServe's (CPU of one request)", least / found["endpoint"]["cpu_us"], 2)


def _written(file: Path, model: str, tensors: Mapping[str, np.ndarray], *, raw: bool = True) -> Path:
    """A ModelInferRequest with these tensors."""
    request = MESSAGES["ModelInferRequest"](model_name=model)
    for name, values in tensors.items():
        tensor = MESSAGES["InferInputTensor"](name=name, datatype="FP64", shape=values.shape)
        if raw:
            request.raw_input_contents.append(values.tobytes())
        else:
            tensor.contents.fp64_contents.extend(values.ravel().tolist())
        request.inputs.append(tensor.SerializeToString())
    request.outputs.add(name="probability")
    file.write_bytes(request.SerializeToString())
    return file


def _wait_for(port: int) -> None:
    end = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
