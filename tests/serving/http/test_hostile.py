"""A thousand hostile inputs: every answer is a 2xx or a 4xx, and the next honest request is answered."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.contract.arms import Role
from serving.contract.release import write_release
from tests.serving.endpoint import in_process
from tests.serving.graphs import category, contract, make_bundle, number, release

CONTRACT = contract([number("distance"), number("hour", type="integer"), category("carrier")], out_of_range="clip")
HONEST = {"rows": [{"distance": 1.5, "hour": 3, "carrier": "AA"}]}
NAMES = st.sampled_from(["distance", "hour", "carrier", "rows", "inputs", "name", "data", "request_id", "outcome"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=5), inner, max_size=5),
    max_leaves=12,
)
ROWS = st.fixed_dictionaries({}, optional=dict.fromkeys(("distance", "hour", "carrier", "zz"), VALUES))
TENSORS = st.fixed_dictionaries(
    {},
    optional={
        "name": NAMES | VALUES,
        "shape": st.lists(st.integers(-1, 3), max_size=3) | VALUES,
        "datatype": st.sampled_from(["FP32", "FP64", "INT64", "INT32", "BOOL", "BYTES"]) | VALUES,
        "data": st.lists(VALUES, max_size=4) | VALUES,
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_size": st.integers(-1, 9) | VALUES}) | VALUES,
    },
)
BODIES = {
    "/v1/models/delay/predict": st.fixed_dictionaries({"rows": st.lists(ROWS | VALUES, max_size=4)}) | VALUES,
    "/v1/models/delay/explain": st.fixed_dictionaries(
        {"rows": st.lists(ROWS, max_size=2)}, optional={"method": VALUES, "samples": VALUES, "seed": VALUES}
    ),
    "/v1/models/delay/feedback": st.fixed_dictionaries(
        {}, optional={"request_id": VALUES, "row": VALUES, "outcome": VALUES, "reward": VALUES}
    )
    | VALUES,
    "/v2/models/delay/infer": st.fixed_dictionaries(
        {"inputs": st.lists(TENSORS, max_size=4)},
        optional={"outputs": st.lists(TENSORS, max_size=2) | VALUES, "parameters": VALUES, "id": VALUES},
    )
    | VALUES,
}
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "x-deadline-ms": st.sampled_from(["-1", "nan", "inf", "1e400", "x"]),
        "x-request-key": st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=300),
        "inference-header-content-length": st.sampled_from(["-1", "0", "3", "99999999999999999999", "x"]),
        "content-type": st.sampled_from(["text/plain", "application/json; charset=utf-16", "", "a" * 500]),
        "authorization": st.sampled_from(["Bearer", "Bearer x", "Basic eA=="]),
    },
)


def _dumped(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:  # whole numbers beyond 64 bits, lone surrogates
        return str(value).encode("utf-8", "replace")


REQUESTS = st.one_of(
    *(st.tuples(st.just(path), body.map(_dumped)) for path, body in BODIES.items()),
    st.tuples(st.sampled_from(sorted(BODIES)), st.binary(max_size=200)),
)


async def _storm(home: Path, requests: list[tuple[tuple[str, bytes], dict[str, str]]]) -> list[tuple[int, Any]]:
    async with in_process(home) as (client, _):
        found = []
        for (path, body), headers in requests:
            answer: httpx.Response = await client.post(path, content=body, headers=headers)
            found.append((answer.status_code, (path, body, headers, answer.text[:200])))
        honest = await client.post("/v1/models/delay/predict", json=HONEST)
        assert honest.status_code == 200
        return found


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    database=None,
)
@given(requests=st.lists(st.tuples(REQUESTS, HEADERS), min_size=25, max_size=40))
def test_nothing_hostile_gets_a_5xx(tmp_path_factory, requests):
    home = tmp_path_factory.getbasetemp() / "hostile"
    if not home.exists():
        digest = make_bundle(home / "bundles", CONTRACT)
        write_release(home / "releases" / "delay.json", release(("champion", digest, Role.CHAMPION, 1.0)))
    wrong = [told for status, told in asyncio.run(_storm(home, requests)) if status >= 500]
    assert not wrong
