"""What the endpoint's benchmarks share: servers on the first core, callers on the second, rounds, tables, bodies."""

import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import orjson
import psutil
import pyarrow as pa

PROJECT = Path(__file__).parents[2]
sys.path.insert(0, str(PROJECT))

from serving.contract.arms import Role  # noqa: E402
from serving.contract.release import write_release  # noqa: E402
from tests.benchmarks.serving_peers import FIELDS  # noqa: E402
from tests.serving.graphs import contract, make_bundle, number, release  # noqa: E402

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "2"))
ARROW = "application/vnd.apache.arrow.stream"


class Server:
    """A server pinned to the first core."""

    def __init__(self, name: str, command: Sequence[str], port: int, ready: str, **environment: str) -> None:
        self.name, self.port = name, port
        self.process = subprocess.Popen(
            ["taskset", "-c", "0", *command],
            cwd=PROJECT, env={**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1", **environment},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self._wait(ready)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _wait(self, path: str) -> None:
        end = time.monotonic() + 90
        while time.monotonic() < end:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as probe:
                    probe.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                    if probe.recv(100).split(b" ", 2)[1] != b"503":
                        return
            except (OSError, IndexError):
                pass
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}")
            time.sleep(0.05)
        self.stop()
        raise TimeoutError(f"{self.name} did not start")

    def _family(self) -> list[psutil.Process]:
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def cpu(self) -> float:
        return sum(sum(p.cpu_times()[:2]) for p in self._family())

    def memory(self) -> float:
        """MB of the largest process: the worker."""
        return max(p.memory_info().rss for p in self._family()) / 1e6

    def stop(self) -> None:
        if self.process.poll() is not None:
            return
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)


def load(
    server: Server, path: str, body: Path, *, connections: int = 32, requests: int = 0, grpc: int = 0, **headers: str
) -> dict:
    """What the callers on the other core saw. `grpc`: the port, where they speak that."""
    asked = {
        "port": grpc or server.port, "path": path, "body": str(body), "connections": connections,
        "seconds": 300 if requests else SECONDS, "requests": requests,
        "headers": {"Content-Type": "application/json", **headers},
    }  # fmt: skip
    before = server.cpu()
    script = str(Path(__file__).with_name("grpc_load.py" if grpc else "load.py"))
    done = subprocess.run(
        ["taskset", "-c", "1", sys.executable, script, json.dumps(asked)], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    found["cpu_us"] = 1e6 * (server.cpu() - before) / found["requests"]
    if set(found["statuses"]) != {"200"}:
        print(f"  {server.name} {path}: statuses {found['statuses']}")
    return found


def interleaved(runs: dict[str, tuple]) -> dict[str, dict]:
    """Medians over rounds in which each run has its turn. A run is (server, path, body, options)."""
    found: dict[str, list[dict]] = {name: [] for name in runs}
    for server, path, body, options in runs.values():  # warm
        load(server, path, body, **{**options, "requests": 500})
    for _ in range(ROUNDS):
        for name, (server, path, body, options) in runs.items():
            found[name].append(load(server, path, body, **options))
    keys = ("rps", "p50_ms", "p99_ms", "cpu_us")
    return {name: {k: statistics.median(f[k] for f in each) for k in keys} for name, each in found.items()}


def told(name: str, ratio: float, goal: float, *, at_most: bool = False) -> None:
    met = ratio <= goal if at_most else ratio >= goal
    print(f"{name:62s} {ratio:6.2f}  goal {'<=' if at_most else '>='} {goal:<5g} {'' if met else 'short'}")


def table(found: dict[str, dict]) -> None:
    for name, values in found.items():
        print(
            f"  {name:34s} {values['rps']:9.0f} req/s  p50 {values['p50_ms']:7.2f} ms  "
            f"p99 {values['p99_ms']:7.2f} ms  cpu {values['cpu_us']:7.0f} us"
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def free_of_grpc(settings: Mapping[str, str]) -> dict[str, str]:
    """Several endpoints stand side by side here; gRPC has one port."""
    return {"ENDPOINT_GRPC_PORT": "0", **settings}


def endpoint(home: Path, **settings: str) -> Server:
    port = free_port()
    command = [sys.executable, "-m", "bentoml", "serve", "serving.service:Endpoint", "--host", "127.0.0.1"]
    environment = {"MLOPS_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True", **free_of_grpc(settings)}
    return Server("endpoint", [*command, "--port", str(port)], port, "/readyz", **environment)


def peer(name: str, model: Path, python: str = sys.executable, ready: str = "/") -> Server:
    port = free_port()
    script = str(Path(__file__).with_name("serving_peers.py"))
    return Server(name, [python, script, name, str(port), str(model)], port, ready)


@contextmanager
def prepared() -> Iterator[tuple[Path, dict[str, Path]]]:
    """A home with a release, and bodies."""
    with tempfile.TemporaryDirectory(prefix="bench-serving-") as folder:
        yield Path(folder), prepare(Path(folder))


def prepare(home: Path) -> dict[str, Path]:
    """A release of the reference network (30 → 128 → 64 → 1), and bodies of every kind."""
    given = contract([number(name, lower=-1e6, upper=1e6) for name in FIELDS])
    digest = make_bundle(home / "bundles", given, hidden=(128, 64))
    write_release(home / "releases" / "delay.json", release(("champion", digest, Role.CHAMPION, 1.0)))
    draw = random.Random(0)
    rows = [{name: round(draw.gauss(0, 1), 4) for name in FIELDS} for _ in range(1_000)]
    whole = np.array([[row[name] for name in FIELDS] for row in rows])
    bodies = {
        "one": orjson.dumps({"rows": rows[:1]}),
        "oip": orjson.dumps(_oip(rows[:1])),
        "instances": orjson.dumps({"instances": whole[:1].tolist()}),
        "inputs": orjson.dumps({"inputs": whole[:1].tolist()}),
        "tensor": orjson.dumps(_tensor(whole[0].tolist())),
        "many": orjson.dumps({"rows": rows}),
        "raw": whole.tobytes(),
        "arrow": _arrow(whole),
        "binary": _binary(whole),
    }
    for name, content in bodies.items():
        (home / name).write_bytes(content)
    return {name: home / name for name in bodies} | {"model": home / "bundles" / digest / "model.onnx"}


def _oip(rows: list[dict[str, float]]) -> dict:
    outputs = [{"name": "probability"}]
    inputs = [{"name": n, "shape": [len(rows)], "datatype": "FP64", "data": [row[n] for row in rows]} for n in FIELDS]
    return {"inputs": inputs, "outputs": outputs}


def _tensor(row: list[float]) -> dict:
    """The same numbers as one tensor, for servers that know no fields."""
    return {"inputs": [{"name": "numbers", "shape": [1, len(row)], "datatype": "FP64", "data": row}]}


def _binary(whole: np.ndarray) -> bytes:
    """JSON header, then one tensor after the other."""
    size = {"binary_data_size": 8 * len(whole)}
    inputs = [{"name": n, "shape": [len(whole)], "datatype": "FP64", "parameters": size} for n in FIELDS]
    outputs = [{"name": "probability", "parameters": {"binary_data": True}}]
    return orjson.dumps({"inputs": inputs, "outputs": outputs}) + np.ascontiguousarray(whole.T).tobytes()


def _arrow(whole: np.ndarray) -> bytes:
    batch = pa.record_batch({name: pa.array(np.ascontiguousarray(whole[:, i])) for i, name in enumerate(FIELDS)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()
