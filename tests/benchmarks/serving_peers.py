"""Servers that the endpoint is measured against, each with the same ONNX model, each started by this file.

python serving_peers.py <name> <port> <model.onnx>
"""

import sys
from importlib.util import find_spec
from typing import Any

import numpy as np

FIELDS = [f"f{i}" for i in range(30)]
PEERS = {"bare": "uvicorn", "fastapi": "fastapi", "bentoml": "bentoml"}
ELSEWHERE = ("kserve", "mlserver", "litserve", "ray")  # measured where they are installed with a model of their own


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
    import os
    import subprocess

    os.environ["BENCH_MODEL"] = path
    command = [sys.executable, "-m", "bentoml", "serve", "bentoml_peer:Peer", "--port", str(port)]
    raise SystemExit(subprocess.run(command, cwd=os.path.dirname(os.path.abspath(__file__))).returncode)


def installed(name: str) -> bool:
    return find_spec(PEERS[name]) is not None


if __name__ == "__main__":
    {"bare": bare, "fastapi": fastapi, "bentoml": bentoml}[sys.argv[1]](int(sys.argv[2]), sys.argv[3])
