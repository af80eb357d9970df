"""batch_predictions: every example of a partition, answered as the endpoint would, by one pinned version."""

import asyncio
from datetime import timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest

from mlops_assets.domain.names import Alias, Layer
from mlops_assets.stages.traffic.batch_predictions.answer_rows import ChampionBundle, answered, schema_of, unanswered
from serving.contract.arms import Role
from serving.contract.bundle import open_bundle
from serving.contract.encoding import pack_rows
from serving.contract.release import Arm, write_release
from serving.problems import InvalidInput
from serving.rows.reader import RowReader
from serving.rows.row_shapes import TableRows
from tests.kit.daily import MODEL, ROWS, START, Bench, definitions_of, few_days, promote_newest, run_training
from tests.kit.declared import RANGE, run_errors
from tests.serving.endpoint import in_process
from tests.serving.graphs import category, contract, make_bundle, number, release

FIRST, LAST = f"{START:%Y-%m-%d}", f"{START + timedelta(days=2):%Y-%m-%d}"
FIELDS = ["price", "age", "visits", "region", "device"]


@pytest.fixture
def made(shop, tmp_path) -> Bench:
    return shop.copy(shop.registered, tmp_path)


def batch(made: Bench, first: str = FIRST, last: str = LAST) -> dg.ExecuteInProcessResult:
    job = definitions_of(made).resolve_job_def(f"{MODEL}_batch")
    tags = dict(zip(RANGE, (first, last), strict=True))
    return job.execute_in_process(instance=made.instance, tags=tags, raise_on_error=False)


def answers(made: Bench) -> pa.Table:
    return made.resources["lake"].table(MODEL, Layer.BATCH_PREDICTIONS, "answers").read()


def metadata(result: dg.ExecuteInProcessResult) -> dict:
    events = result.asset_materializations_for_node(f"{MODEL}__batch_predictions")
    return {name: value.value for event in events for name, value in event.metadata.items()}


def test_every_example_of_a_range_gets_the_champions_answer(made):
    result = batch(made)
    assert result.success, run_errors(result)
    rows = answers(made)
    (version,) = made.resources["registry"].versions(MODEL)
    assert rows["id"].to_pylist() == list(range(3 * ROWS))
    assert rows["reason"].null_count == len(rows)
    assert set(rows["predicted"].to_pylist()) == {"0", "1"}
    assert set(rows["version"].to_pylist()) == {version.semantic}
    assert set(rows["bundle"].to_pylist()) == {version.bundle}
    assert (metadata(result)["rows"], metadata(result)["rows without an answer"]) == (3 * ROWS, 0)


def test_the_same_again_writes_nothing(made):
    batch(made)
    folder = made.home / "lake" / MODEL / "batch_predictions" / "answers"
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert metadata(batch(made))["partitions up to date"] == 3
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_they_are_the_endpoints_answers(made):
    batch(made, FIRST, FIRST)
    examples = made.resources["lake"].table(MODEL, Layer.VALIDATED, made.spec.source.examples)
    given = examples.read([FIRST]).select(FIELDS).to_pylist()
    (version,) = made.resources["registry"].versions(MODEL)
    arm = Arm("champion", version.semantic, version.bundle, Role.CHAMPION, 1.0)
    write_release(made.home / "releases" / f"{MODEL}.json", release(model=MODEL, arms=(arm,), generation=1_000))

    async def ask() -> list[float]:
        async with in_process(made.home) as (client, _):
            answer = await client.post(f"/v1/models/{MODEL}/predict", json={"rows": given})
            assert answer.status_code == 200, answer.text
            return [each["probability"] for each in answer.json()["predictions"]]

    online = asyncio.run(ask())
    offline = [answer for (answer,) in answers(made)["answer"].to_pylist()]
    np.testing.assert_allclose(offline, online, rtol=0, atol=1e-6)


def test_examples_without_features_keep_place_and_reason(made):
    (view,) = made.resources["lake"].names(MODEL, Layer.FEATURES)
    (made.home / "lake" / MODEL / "features" / view / f"{FIRST}.json").unlink()
    result = batch(made)
    assert result.success, run_errors(result)
    rows = answers(made).to_pylist()
    without = [row for row in rows if row["answer"] is None]
    assert len(without) == ROWS
    assert {row["predicted"] for row in without} == {None}
    assert all(f"features of {FIRST}" in row["reason"] for row in without)
    assert metadata(result)["rows without an answer"] == ROWS


def test_without_a_champion_it_says_what_to_do(made):
    made.resources["registry"].drop_alias(MODEL, Alias.CHAMPION)
    assert "has no champion" in run_errors(batch(made))


def test_absent_partitions_are_all_named(made):
    for name in (FIRST, LAST):
        (made.home / "lake" / MODEL / "validated" / made.spec.source.examples / f"{name}.json").unlink()
    assert f"{FIRST}; {LAST}" in run_errors(batch(made))


def _champion(root: Path, **how: str) -> ChampionBundle:
    given = contract([number("distance"), number("seats", type="integer"), category("carrier")], **how)
    bundle = open_bundle(root / make_bundle(root, given))
    return ChampionBundle("1", "1.0.0", bundle.digest, bundle.session())


def _examples(*rows: tuple[float | None, float | None, str | None]) -> pa.Table:
    distance, seats, carrier = zip(*rows, strict=True)
    at = pa.array([START] * len(rows), pa.timestamp("us", "UTC"))
    return pa.table(
        {"id": list(range(len(rows))), "event_timestamp": at, "distance": pa.array(distance, pa.float64()),
         "seats": pa.array(seats, pa.float64()), "carrier": pa.array(carrier, pa.string())}
    )  # fmt: skip


STRANGE = ((1.0, 2.0, "AA"), (99.0, 2.0, "AA"), (None, None, None), (1.0, 2.5, "UA"), (float("inf"), 1.0, "ZZ"),
           (1.0, 1.0, "x" * 1_001), (-99.0, 1.0, "AA"))  # fmt: skip


@pytest.mark.parametrize("policy", ["reject", "clip", "flag"])
def test_odd_rows_fare_as_they_do_at_the_endpoint(tmp_path, policy):
    champion = _champion(tmp_path, out_of_range=policy)
    examples = _examples(*STRANGE)
    rows = answered(examples, examples, champion, ["id"]).to_pylist()
    reader = RowReader(champion.contract, most_rows=10)
    fields = examples.select(["distance", "seats", "carrier"])
    for place, row in enumerate(rows):
        example = fields.slice(place, 1)
        try:
            packed = reader.read(TableRows(example))
        except InvalidInput as err:
            expected = (None, "; ".join(f"{each.field}: {each.reason}" for each in err.problems))
        else:
            online = champion.session.predict(packed.numbers, packed.categories)
            expected = (pytest.approx(online.tolist(), abs=1e-6), None)
        assert (row["answer"], row["reason"]) == expected, example


def test_the_golden_requests_get_their_answers(tmp_path):
    given = contract([number("distance"), category("carrier")])
    bundle = open_bundle(tmp_path / make_bundle(tmp_path, given))
    requests = bundle.golden["requests"]
    examples = pa.Table.from_pylist([{"id": i, **each["row"]} for i, each in enumerate(requests)])
    examples = examples.append_column("event_timestamp", pa.array([START] * len(requests), pa.timestamp("us", "UTC")))
    rows = answered(examples, examples, ChampionBundle("1", "1.0.0", bundle.digest, bundle.session()), ["id"])
    assert [value for (value,) in rows["answer"].to_pylist()] == pytest.approx([each["answer"] for each in requests])
    assert pack_rows([each["row"] for each in requests], given.numbers, given.categories)[0].shape[0] == len(rows)


def test_answered_or_not_the_columns_are_the_same(tmp_path):
    champion, examples = _champion(tmp_path), _examples(*STRANGE[:3])
    one, other = answered(examples, examples, champion, ["id"]), unanswered(examples, "why", champion, ["id"])
    assert one.schema == other.schema == schema_of(examples.schema, ["id"])
    assert other["reason"].to_pylist() == ["why"] * 3


def test_a_model_without_partitions_is_answered_as_one_snapshot(tmp_path):
    made = promote_newest(run_training(few_days(tmp_path, days=8, partitions={"every": "none"})))
    job = definitions_of(made).resolve_job_def(f"{MODEL}_batch")
    result = job.execute_in_process(instance=made.instance, raise_on_error=False)
    assert result.success, run_errors(result)
    rows = answers(made)
    assert (len(rows), rows["reason"].null_count) == (8 * ROWS, 8 * ROWS)
