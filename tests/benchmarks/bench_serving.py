"""The endpoint against a bare ASGI server and its peers: requests a second, latency, memory, the log's price.

One core for the server, another for the callers, rounds interleaved, medians. Beside requests a second stands
the server's CPU time for one request: on a machine that others use too, it is the steadier number.
"""

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
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson
import psutil
import pyarrow as pa

PROJECT = Path(__file__).parents[2]
sys.path.insert(0, str(PROJECT))

from serving.release import Role, write_release  # noqa: E402 - the script may start anywhere
from tests.benchmarks.serving_peers import ELSEWHERE, FIELDS, PEERS, installed  # noqa: E402
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

    def _wait(self, path: str) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as probe:
                    probe.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                    if probe.recv(100).split(b" ", 2)[1] != b"503":
                        return
            except (OSError, IndexError):
                pass
            time.sleep(0.1)
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
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)


def load(server: Server, path: str, body: Path, *, connections: int = 32, requests: int = 0, **headers: str) -> dict:
    """What the callers on the other core saw."""
    asked = {
        "port": server.port, "path": path, "body": str(body), "connections": connections,
        "seconds": 300 if requests else SECONDS, "requests": requests,
        "headers": {"Content-Type": "application/json", **headers},
    }  # fmt: skip
    before = server.cpu()
    script = str(Path(__file__).with_name("load.py"))
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


def endpoint(home: Path, **settings: str) -> Server:
    port = free_port()
    command = [sys.executable, "-m", "bentoml", "serve", "serving.service:Endpoint", "--host", "127.0.0.1"]
    environment = {"MLOPS_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True", **settings}
    return Server("endpoint", [*command, "--port", str(port)], port, "/readyz", **environment)


def peer(name: str, model: Path) -> Server:
    port = free_port()
    script = str(Path(__file__).with_name("serving_peers.py"))
    return Server(name, [sys.executable, script, name, str(port), str(model)], port, "/")


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


def single_rows(ours: Server, silent: Server, peers: dict[str, Server], bodies: dict[str, Path]) -> None:
    predict, infer = "/v1/models/delay/predict", "/v2/models/delay/infer"
    runs = {
        "endpoint predict": (ours, predict, bodies["one"], {}),
        "endpoint predict, log off": (silent, predict, bodies["one"], {}),
        "endpoint OIP JSON": (ours, infer, bodies["oip"], {}),
    }
    runs["bare OIP JSON"] = (peers["bare"], "/oip", bodies["oip"], {})
    runs |= {
        name: (server, "/predict" if name == "bentoml" else "/", bodies["one"], {}) for name, server in peers.items()
    }
    found = interleaved(runs)
    table(found)
    mine, bare = found["endpoint predict"], found["bare"]
    told("predict, named fields, against bare ASGI (requests a second)", mine["rps"] / bare["rps"], 0.6)
    told("predict, named fields, against bare ASGI (CPU of one request)", bare["cpu_us"] / mine["cpu_us"], 0.6)
    told(
        "OIP JSON against bare ASGI (CPU of one request)",
        found["bare OIP JSON"]["cpu_us"] / found["endpoint OIP JSON"]["cpu_us"],
        0.6,
    )
    told("p99 / p50 at 32 connections", mine["p99_ms"] / mine["p50_ms"], 3, at_most=True)
    told(
        "the log's price (CPU of one request)",
        mine["cpu_us"] / found["endpoint predict, log off"]["cpu_us"] - 1,
        0.05,
        at_most=True,
    )
    rivals = {name: values["rps"] for name, values in found.items() if name in ("bentoml",)}
    if rivals:
        told("predict against the best server here", mine["rps"] / max(rivals.values()), 3)


def bulk(ours: Server, bare: Server, bodies: dict[str, Path]) -> None:
    header = str(len(bodies["binary"].read_bytes()) - 8 * 1_000 * len(FIELDS))
    binary = {"connections": 4, "Inference-Header-Content-Length": header}
    arrow, plain = {"connections": 4, "Content-Type": ARROW}, {"connections": 4}
    predict, infer = "/v1/models/delay/predict", "/v2/models/delay/infer"
    found = interleaved(
        {
            "bare OIP binary": (bare, "/oip", bodies["binary"], binary),
            "endpoint OIP binary": (ours, infer, bodies["binary"], binary),
            "bare Arrow": (bare, "/arrow", bodies["arrow"], arrow),
            "endpoint Arrow": (ours, predict, bodies["arrow"], arrow),
            "bare JSON": (bare, "/", bodies["many"], plain),
            "endpoint JSON": (ours, predict, bodies["many"], plain),
        }
    )
    table(found)
    for kind in ("OIP binary", "Arrow", "JSON"):
        ratio = found[f"bare {kind}"]["cpu_us"] / found[f"endpoint {kind}"]["cpu_us"]
        told(f"1,000 rows as {kind} against bare ASGI (CPU)", ratio, 0.7)


def memory(ours: Server, bodies: dict[str, Path]) -> None:
    predict = "/v1/models/delay/predict"
    load(ours, predict, bodies["one"], requests=10_000)
    early = ours.memory()
    many = int(os.environ.get("BENCH_MEMORY_REQUESTS", "200000"))
    load(ours, predict, bodies["one"], requests=many)
    told(f"memory after {many:,} requests / after 10,000 ({early:.0f} MB)", ours.memory() / early, 1.05, at_most=True)


def main() -> None:
    for name in ELSEWHERE:
        print(f"{name}: not in this environment, skipped")
    with tempfile.TemporaryDirectory(prefix="bench-serving-") as folder:
        home = Path(folder)
        bodies = prepare(home)
        servers = {name: peer(name, bodies["model"]) for name in PEERS if installed(name)}
        ours = endpoint(home)
        silent = endpoint(home, ENDPOINT_LOG="off")
        try:
            single_rows(ours, silent, servers, bodies)
            bulk(ours, servers["bare"], bodies)
            memory(ours, bodies)
        finally:
            for server in (*servers.values(), ours, silent):
                server.stop()


if __name__ == "__main__":
    main()
