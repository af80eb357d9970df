"""BentoML's own clients against the real process: the service's schema tells them what there is to call."""

import shutil
import subprocess
from collections.abc import Iterator

import bentoml
import httpx
import pytest
from bentoml.exceptions import BentoMLException

from serving.contract.arms import Role
from serving.contract.release import write_release
from tests.serving.endpoint import Process
from tests.serving.graphs import category, contract, make_bundle, number, release

ROWS = [{"distance": 1.5, "carrier": "AA"}, {"distance": 2, "carrier": "UA"}]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory) -> Iterator[Process]:
    home = tmp_path_factory.mktemp("home")
    digest = make_bundle(home / "bundles", contract([number("distance"), category("carrier")]))
    write_release(home / "releases" / "delay.json", release(("champion", digest, Role.CHAMPION, 1.0)))
    with Process(home) as process:
        yield process


@pytest.fixture(scope="module")
def client(endpoint) -> Iterator[bentoml.SyncHTTPClient]:
    with bentoml.SyncHTTPClient(endpoint.url) as one:
        yield one


def test_predict_explain_and_feedback_are_known(client):
    assert set(client.endpoints) == {"predict", "explain", "feedback"}
    answer = client.call("predict", model="delay", rows=ROWS)
    assert [prediction["label"] for prediction in answer["predictions"]] == ["yes", "yes"]
    assert answer["version"] == "1.0.0"
    explained = client.call("explain", model="delay", rows=ROWS[:1], method="shapley")
    assert explained["version"] == "1.0.0"
    outcome = {"request_id": answer["request_id"], "row": 1, "outcome": "yes"}
    assert client.call("feedback", model="delay", outcomes=[outcome]) == {"accepted": 1}


def test_both_ways_to_ask_answer_alike(endpoint, client):
    there = httpx.post(f"{endpoint.url}/v1/models/delay/predict", json={"rows": ROWS, "key": "x"}).json()
    assert client.call("predict", model="delay", rows=ROWS, key="x")["predictions"] == there["predictions"]


def test_a_mistake_is_told_with_its_reason(client):
    with pytest.raises(BentoMLException, match="distance"):
        client.call("predict", model="delay", rows=[{"distance": "far", "carrier": "AA"}])
    with pytest.raises(BentoMLException, match="nobody"):
        client.call("predict", model="nobody", rows=ROWS)


def test_the_root_leads_to_a_page_that_needs_no_other_host(endpoint):
    answer = httpx.get(endpoint.url, follow_redirects=True)
    assert answer.url.path == "/docs"
    assert "http" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


@pytest.mark.needs_chromium
def test_the_page_offers_a_request_that_can_be_sent(endpoint, tmp_path):
    browser = [shutil.which("chromium") or "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--dump-dom"]
    shown = subprocess.run(
        [*browser, *quiet, f"--user-data-dir={tmp_path}", "--virtual-time-budget=8000", f"{endpoint.url}/docs"],
        capture_output=True, text=True, timeout=100, check=True,
    ).stdout  # fmt: skip
    assert "<option>delay</option>" in shown
    assert '<input name="distance" data-type="number"' in shown
    assert f"curl {endpoint.url}/v1/models/delay/predict" in shown
