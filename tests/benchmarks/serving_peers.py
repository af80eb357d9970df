"""Servers that the endpoint is measured against, each with the same ONNX model, as its own guide shows it.

    python serving_peers.py <name> <port> <model.onnx>

Runs in any environment: imports what the named server needs, and nothing of this project.
"""

# These servers are installed in environments of their own.
# pyright: reportMissingImports=false

import os
import sys
from typing import Any, NamedTuple

import numpy as np

FIELDS = [f"f{i}" for i in range(30)]


class Peer(NamedTuple):
    """How one is asked. `body` names what `serving_kit.prepare` writes."""

    ready: str
    path: str
    body: str
    home: str  # whose environment it runs in: ours, or one of peers.txt


PEERS = {
    "fastapi": Peer("/", "/", "one", "fastapi"),
    "kserve": Peer("/v2/health/ready", "/v1/models/peer:predict", "instances", "kserve"),
    "mlserver": Peer("/v2/health/ready", "/v2/models/peer/infer", "tensor", "mlserver"),
    "litserve": Peer("/health", "/predict", "instances", "litserve"),
    "ray": Peer("/", "/", "instances", "ray"),
    "mlflow": Peer("/ping", "/invocations", "inputs", "ours"),
    "bentoml": Peer("/", "/predict", "one", "ours"),
}


def session(path: str) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def parse(path: str, body: bytes, header: int) -> np.ndarray:
    """The same parse that the endpoint does, and nothing else."""
    import orjson
    import pyarrow as pa

    if path == "/arrow":
        with pa.ipc.open_stream(body) as reader:
            table = reader.read_all()
        return np.column_stack([table[name].to_numpy() for name in FIELDS])
    if path == "/oip":
        tensors = orjson.loads(body[: header or len(body)])["inputs"]
        if not header:
            return np.column_stack([np.array(tensor["data"]) for tensor in tensors])
        size = tensors[0]["shape"][0] * 8
        places = range(header, header + size * len(tensors), size)
        return np.column_stack([np.frombuffer(body[place : place + size], dtype="<f8") for place in places])
    rows = orjson.loads(body)["rows"]
    return np.array([[row[name] for name in FIELDS] for row in rows], dtype=np.float64)


def bare(port: int, path: str) -> None:
    """The ceiling: an ASGI function that parses, scores, answers."""
    import orjson
    import uvicorn

    model = session(path)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        parts = []
        while True:
            message = await receive()
            parts.append(message["body"])
            if not message.get("more_body"):
                break
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        header = int(dict(scope["headers"]).get(b"inference-header-content-length", b"0"))
        scores = model.run(None, {"numbers": parse(scope["path"], body, header)})[0]
        binary = scope["path"] == "/arrow" or header
        content = scores.tobytes() if binary else orjson.dumps({"predictions": scores.tolist()})
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    uvicorn.run(app, port=port, log_level="error", access_log=False, lifespan="off")


def fastapi(port: int, path: str) -> None:
    """FastAPI with a pydantic model of the fields."""
    import uvicorn
    from fastapi import FastAPI
    from pydantic import create_model

    model, app = session(path), FastAPI()
    fields: Any = dict.fromkeys(FIELDS, (float, ...))
    row = create_model("Row", **fields)
    request = create_model("Request", rows=(list[row], ...))  # type: ignore[valid-type]

    async def predict(asked: Any) -> dict[str, Any]:
        numbers = np.array([[getattr(row, name) for name in FIELDS] for row in asked.rows], dtype=np.float64)
        return {"predictions": model.run(None, {"numbers": numbers})[0].tolist()}

    predict.__annotations__["asked"] = request
    app.post("/")(predict)
    uvicorn.run(app, port=port, log_level="error", access_log=False)


def bentoml(port: int, path: str) -> None:
    """BentoML as its guide shows it."""
    import subprocess

    os.environ["BENCH_MODEL"] = path
    command = [sys.executable, "-m", "bentoml", "serve", "bentoml_peer:Peer", "--port", str(port)]
    raise SystemExit(subprocess.run(command, cwd=os.path.dirname(os.path.abspath(__file__))).returncode)


def mlserver(port: int, path: str) -> None:
    """A custom runtime, in the server's own process."""
    import asyncio

    import mlserver as package
    from mlserver_peer import Runtime

    os.environ["BENCH_MODEL"] = path
    ports: Any = {"http_port": port, "grpc_port": port + 1, "metrics_port": port + 2}
    settings = package.Settings(**ports, parallel_workers=0, debug=False)
    asyncio.run(package.MLServer(settings).start([package.ModelSettings(name="peer", implementation=Runtime)]))


def kserve(port: int, path: str, *, grpc: bool = False) -> None:
    import kserve as package

    session_ = session(path)

    class Peer(package.Model):
        def load(self) -> bool:
            self.ready = True
            return True

        async def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
            if isinstance(payload, package.InferRequest):
                scores = session_.run(None, {"numbers": payload.inputs[0].as_numpy()})[0]
                output = package.InferOutput("probability", list(scores.shape), "FP32")
                output.set_data_from_numpy(scores, binary_data=True)
                return package.InferResponse(payload.id, "peer", [output])
            numbers = np.array(payload["instances"], dtype=np.float64)
            return {"predictions": session_.run(None, {"numbers": numbers})[0].tolist()}

    peer = Peer("peer")
    peer.load()
    ports: Any = {"http_port": port, "grpc_port": port + 1, "enable_grpc": grpc}
    package.ModelServer(**ports, workers=1, enable_latency_logging=False).start([peer])


def kserve_grpc(port: int, path: str) -> None:
    kserve(port, path, grpc=True)


def litserve(port: int, path: str) -> None:
    import litserve as package
    from litserve_peer import Api

    os.environ["BENCH_MODEL"] = path
    server = package.LitServer(Api(), accelerator="cpu", workers_per_device=1)
    server.run(port=port, log_level="error", generate_client_file=False)


def ray(port: int, path: str) -> None:
    import time

    from ray import init, serve
    from starlette.responses import JSONResponse

    init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")

    class Peer:
        def __init__(self) -> None:
            self.model = session(path)

        async def __call__(self, request: Any) -> Any:
            if request.method == "GET":
                return "ready"
            numbers = np.array((await request.json())["instances"], dtype=np.float64)
            return JSONResponse({"predictions": self.model.run(None, {"numbers": numbers})[0].tolist()})

    serve.start(http_options={"port": port, "host": "127.0.0.1"}, logging_config={"enable_access_log": False})
    serve.run(serve.deployment(Peer).bind(), route_prefix="/")
    while True:
        time.sleep(60)


def mlflow(port: int, path: str) -> None:
    """The model in MLflow's ONNX flavour, scored by `mlflow models serve`."""
    import subprocess
    import tempfile

    import onnx
    from mlflow.onnx import save_model

    os.environ["PATH"] = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"  # it starts `uvicorn`
    with tempfile.TemporaryDirectory() as folder:
        save_model(onnx.load(path), f"{folder}/model", pip_requirements=[])
        command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"{folder}/model", "--env-manager", "local"]
        raise SystemExit(subprocess.run([*command, "-p", str(port), "-w", "1"]).returncode)


SERVERS = {
    "bare": bare, "fastapi": fastapi, "bentoml": bentoml, "mlserver": mlserver, "kserve": kserve,
    "kserve_grpc": kserve_grpc, "litserve": litserve, "ray": ray, "mlflow": mlflow,
}  # fmt: skip

if __name__ == "__main__":
    SERVERS[sys.argv[1]](int(sys.argv[2]), sys.argv[3])
