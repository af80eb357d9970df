"""The endpoint against a bare ASGI server and its peers, and what it does when it starts, swaps and looks up features.

    python tests/benchmarks/bench_serving.py [part …]      without a name: all parts

One core for the server, another for the callers, rounds interleaved, medians. Beside requests a second stands the
server's CPU time for one request: on a machine that others use too, it is the steadier number.
"""

import os
import sys
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks import serving_features, serving_grpc, serving_life
from tests.benchmarks.peer_environments import python_of
from tests.benchmarks.serving_kit import (
    ARROW,
    FIELDS,
    endpoint,
    interleaved,
    load,
    peer,
    prepared,
    table,
    told,
)
from tests.benchmarks.serving_peers import PEERS

PREDICT, INFER = "/v1/models/delay/predict", "/v2/models/delay/infer"


def predict() -> None:
    """One row a request."""
    with prepared() as (home, bodies), ExitStack() as stack:
        ours, silent = stack.enter_context(endpoint(home)), stack.enter_context(endpoint(home, ENDPOINT_LOG="off"))
        bare = stack.enter_context(peer("bare", bodies["model"]))
        found = interleaved(
            {
                "bare predict": (bare, "/", bodies["one"], {}),
                "endpoint predict": (ours, PREDICT, bodies["one"], {}),
                "endpoint predict, log off": (silent, PREDICT, bodies["one"], {}),
                "bare OIP JSON": (bare, "/oip", bodies["oip"], {}),
                "endpoint OIP JSON": (ours, INFER, bodies["oip"], {}),
            }
        )
    table(found)
    for kind in ("predict", "OIP JSON"):
        mine, theirs = found[f"endpoint {kind}"], found[f"bare {kind}"]
        told(f"{kind} against bare ASGI (requests a second)", mine["rps"] / theirs["rps"], 0.6)
        told(f"{kind} against bare ASGI (CPU of one request)", theirs["cpu_us"] / mine["cpu_us"], 0.6)
    mine, silent_ = found["endpoint predict"], found["endpoint predict, log off"]
    told("p99 / p50 at 32 connections", mine["p99_ms"] / mine["p50_ms"], 3, at_most=True)
    told("the log's price (CPU of one request)", mine["cpu_us"] / silent_["cpu_us"] - 1, 0.05, at_most=True)


def bulk() -> None:
    """1,000 rows a request."""
    with prepared() as (home, bodies), ExitStack() as stack:
        ours, silent = stack.enter_context(endpoint(home)), stack.enter_context(endpoint(home, ENDPOINT_LOG="off"))
        bare = stack.enter_context(peer("bare", bodies["model"]))
        header = str(len(bodies["binary"].read_bytes()) - 8 * 1_000 * len(FIELDS))
        kinds = {
            "OIP binary": ("/oip", INFER, "binary", {"Inference-Header-Content-Length": header}),
            "Arrow": ("/arrow", PREDICT, "arrow", {"Content-Type": ARROW}),
            "JSON": ("/", PREDICT, "many", {}),
        }
        found = interleaved(
            {
                f"{name} {kind}": (
                    server,
                    theirs if server is bare else path,
                    bodies[body],
                    {"connections": 4, **heads},
                )
                for kind, (theirs, path, body, heads) in kinds.items()
                for name, server in (("bare", bare), ("endpoint", ours), ("log off", silent))
            }
        )
    table(found)
    for kind in kinds:
        bare_us = found[f"bare {kind}"]["cpu_us"]
        told(f"1,000 rows as {kind} against bare ASGI (CPU)", bare_us / found[f"endpoint {kind}"]["cpu_us"], 0.7)
        told(f"the same with the log off ({kind})", bare_us / found[f"log off {kind}"]["cpu_us"], 0.7)


def peers() -> None:
    """One row a request against other servers, one of them at a time beside the endpoint."""
    best: dict[str, float] = {}
    with prepared() as (home, bodies), endpoint(home) as ours:
        for name, how in PEERS.items():
            python = sys.executable if how.home == "ours" else str(python_of(how.home))
            if not Path(python).exists():
                print(f"{name}: not measured: `python tests/benchmarks/peer_environments.py {name}` installs it")
                continue
            try:
                with peer(name, bodies["model"], python, how.ready) as other:
                    found = interleaved(
                        {
                            name: (other, how.path, bodies[how.body], {}),
                            f"endpoint beside {name}": (ours, PREDICT, bodies["one"], {}),
                        }
                    )
                    print(f"{name}: {other.memory():.0f} MB")
            except (RuntimeError, TimeoutError) as err:
                print(f"{name}: not measured: {err}")
                continue
            table(found)
            best[name] = found[f"endpoint beside {name}"]["rps"] / found[name]["rps"]
    for name, ratio in best.items():
        told(f"predict against {name} (requests a second)", ratio, 1 if name == "fastapi" else 3)


def memory() -> None:
    """Memory after many requests, against what it was early. BENCH_MEMORY_REQUESTS=1000000 for the whole goal."""
    with prepared() as (home, bodies), endpoint(home) as ours:
        load(ours, PREDICT, bodies["one"], requests=10_000)
        early, many = ours.memory(), int(os.environ.get("BENCH_MEMORY_REQUESTS", "200000"))
        load(ours, PREDICT, bodies["one"], requests=many)
        name = f"memory after {many:,} requests / after 10,000 ({early:.0f} MB)"
        told(name, ours.memory() / early, 1.05, at_most=True)


PARTS = {
    "predict": predict,
    "bulk": bulk,
    "peers": peers,
    "grpc": serving_grpc.grpc,
    "memory": memory,
    "start": serving_life.start,
    "versions": serving_life.versions,
    "swap": serving_life.swap,
    "batching": serving_life.batching,
    "lookup": serving_features.lookup,
}


def main(names: list[str]) -> None:
    if unknown := [name for name in names if name not in PARTS]:
        sys.exit(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    for name in names or PARTS:
        print(f"-- {name}", flush=True)
        PARTS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
