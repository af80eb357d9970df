"""Releases that are broken, cut, or replaced faster than anybody should, while callers are served."""

import shutil
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving.endpoint import Process
from tests.serving.graphs import make_bundle
from tests.serving.reliability.traffic import CONTRACT, Memory, Traffic, figures, until

pytestmark = pytest.mark.simulation
SETTINGS = {"ENDPOINT_WORKERS": "2", "ENDPOINT_GRPC_PORT": "off"}


def told(process: Process) -> list[dict[str, Any]]:
    """What the workers say of the model, each asked more than once by chance."""
    return [httpx.get(f"{process.url}/releases").json()["models"]["delay"] for _ in range(8)]


def generations(process: Process) -> set[int]:
    return {answer["generation"] for answer in told(process) if "not_served" not in answer}


def workers_up(process: Process) -> float:
    lines = httpx.get(f"{process.url}/metrics").text.splitlines()
    return max((float(line.rpartition(" ")[2]) for line in lines if line.startswith("endpoint_workers{")), default=0)


def flip(path: Path) -> bytes:
    """Turn one bit of a file; what it was before."""
    whole = path.read_bytes()
    broken = bytearray(whole)
    broken[len(broken) // 2] ^= 1
    path.write_bytes(broken)
    return whole


def test_a_bundle_with_a_flipped_bit_is_refused_with_reason(truth):
    with Process(truth.home, SETTINGS) as process, Traffic(process.port, truth, callers=4) as seen:
        until(lambda: workers_up(process) == 2, 20)  # one that starts on a broken release has no old one to serve
        for generation, name in enumerate(("model.onnx", "contract.json", "golden.json"), start=2):
            digest = make_bundle(truth.home / "bundles", CONTRACT, seed=generation)
            truth.learn(digest, generation)
            path = truth.home / "bundles" / digest / name
            whole = flip(path)
            truth.release(digest, generation)
            until(lambda: all("not_served" in answer for answer in told(process)), 10)
            for answer in told(process):
                assert answer["generation"] == 1
                assert digest[:12] in answer["not_served"]["reason"]
                assert name in answer["not_served"]["reason"]
            assert httpx.get(f"{process.url}/readyz").status_code == 200  # the old one goes on
        assert set(seen.versions) == {"1.0.1"}
        path.write_bytes(whole)  # repaired: taken up without a hand
        took = until(lambda: generations(process) == {4}, 40)
    figures(f"a repaired bundle was served after {took:.1f} s")
    assert set(seen.statuses) == {200}
    assert not seen.wrong


def test_half_a_release_harms_nobody_even_at_start(truth):
    path = truth.home / "releases" / "delay.json"
    whole = path.read_text()
    slowly = SETTINGS | {"ENDPOINT_DRAIN_SECONDS": "8"}  # a deleted release is served for so long
    with Process(truth.home, slowly) as process, Traffic(process.port, truth, callers=4) as seen:
        until(lambda: workers_up(process) == 2, 20)  # the first is ready while the other still loads
        for cut in (len(whole) // 2, 0, 1, len(whole) - 2):
            path.write_text(whole[:cut])
            until(lambda: all("not_served" in answer for answer in told(process)), 10)
            assert {answer["generation"] for answer in told(process)} == {1}
        path.unlink()
        time.sleep(0.5)
        assert {answer["generation"] for answer in told(process)} == {1}
        truth.publish(2)
        until(lambda: generations(process) == {2}, 10)
    assert set(seen.statuses) == {200}
    assert not seen.wrong

    path.write_text(whole[: len(whole) // 2])
    process = Process(truth.home, SETTINGS)
    try:
        until(lambda: _status(process, "/livez") == 200, 30)
        answer = httpx.get(f"{process.url}/readyz")
        assert answer.status_code == 503
        assert "delay" in answer.json()["troubles"]
        path.unlink()
        truth.publish(3)
        process.wait_ready(20)
    finally:
        process.stop()


def _status(process: Process, path: str) -> int | None:
    try:
        return httpx.get(process.url + path, timeout=2).status_code
    except httpx.TransportError:
        return None


def test_a_hundred_releases_give_no_wrong_answer(truth):
    """Faster than asked for. Each has a bundle of its own; those that no release names any more are removed."""
    with (
        Process(truth.home, SETTINGS) as process,
        Memory(process.workers()[0]) as memory,
        Traffic(process.port, truth, callers=8) as seen,
    ):
        began = time.monotonic()
        for generation in range(2, 102):
            digest = truth.publish(generation)
            if generation % 10 == 5:
                (truth.home / "releases" / "delay.json").write_text("{")  # and somebody's slip now and then
            if generation % 10 == 7:
                shutil.rmtree(truth.home / "bundles" / digest)  # gone before, or while, it is loaded
            time.sleep(max(began + 0.2 * generation - time.monotonic(), 0))
        until(lambda: generations(process) == {101}, 20)
    figures(f"100 releases: {len(seen.versions)} served, {seen.statuses}, memory +{memory.grown:.0f} MB, ")
    figures(f"p99 {seen.percentile(0.99) * 1e3:.0f} ms")
    assert set(seen.statuses) == {200}
    assert not seen.wrong
    assert len(seen.versions) > 50
    assert memory.grown < 150
