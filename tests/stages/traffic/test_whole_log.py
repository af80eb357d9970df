"""The end-to-end check of the log: what the endpoint answered is what `predictions` wrote, or it fails by name."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from mlops_assets.declaration.data import Every
from mlops_assets.domain.partitions import windows
from mlops_assets.domain.traffic.answer_tally import judge_completeness
from mlops_assets.domain.verdict import Outcome, Verdict
from mlops_assets.resources.lake.lake import Lake
from mlops_assets.resources.traffic.endpoint_log import Traffic
from mlops_assets.stages.traffic.predictions.collect import CompactedLogs, compact_days
from serving.contract.arms import Role, Strategy
from serving.contract.release import write_release
from serving.contract.segments import read_batches
from tests.kit.specs import model_spec
from tests.serving.endpoint import in_process
from tests.serving.graphs import contract, make_bundle, number, release

PREDICT = "/v1/models/delay/predict"
Answer = dict[str, Any]


@pytest.fixture(scope="module", params=["binary", "multiclass"])
def logged(request, tmp_path_factory) -> tuple[Path, list[Answer]]:
    """A home in which an endpoint answered single rows, batches of several people and bulks; and its answers."""
    home = tmp_path_factory.mktemp("home")
    arms = []
    for seed, (name, role) in enumerate((("champion", Role.CHAMPION), ("variant", Role.VARIANT))):
        given = contract([number("distance")], entity=("person",), kind=request.param)
        arms.append((name, make_bundle(home / "bundles", given, seed=seed), role, 0.5))
    write_release(home / "releases" / "delay.json", release(*arms, strategy=Strategy.AB_TEST))

    async def ask() -> list[Answer]:
        async with in_process(home, ENDPOINT_FLUSH_SECONDS="0.05") as (client, _):
            answers = []
            for size in (1, 1, 7, 1, 300, 40, 1, 250, 250):
                rows = [{"distance": i / 100, "person": f"p{i}"} for i in range(size)]
                answers.append((await client.post(PREDICT, json={"rows": rows})).raise_for_status().json())
                await asyncio.sleep(0.02)
            return answers

    return home, asyncio.run(ask())


def compact(home: Path, folder: Path) -> CompactedLogs:
    now = datetime.now(UTC)
    (folder / "work").mkdir(exist_ok=True)
    return compact_days(
        model_spec(model="delay"),
        windows(Every.DAY, [f"{now:%Y-%m-%d}"]),
        lake=Lake(root=str(folder / "lake")),
        traffic=Traffic(home=str(home)),
        folder=folder / "work",
        now=now,
    )


def judge(compacted: CompactedLogs) -> Verdict:
    return judge_completeness(0, compacted.rows, [], list(compacted.findings.values()))


def test_every_answer_is_compared_and_whole(logged, tmp_path):
    home, answers = logged
    parts = sum(len(set(answer.get("arms", [answer["arm"]]))) for answer in answers)
    for _ in range(2):  # the second run finds the digests in the lake
        verdict = judge(compact(home, tmp_path))
        assert verdict.outcome is Outcome.PASS, verdict.reason
        assert verdict.numbers["answers compared"] == parts


def alter(rows: pa.Table) -> pa.Table:
    """One answer a little higher."""
    answers = rows["answer"].to_pylist()
    answers[-1][0] += 1e-7
    place = rows.schema.get_field_index("answer")
    return rows.set_column(place, rows.schema.field(place), pa.array(answers, rows.schema.field(place).type))


def swap(rows: pa.Table) -> pa.Table:
    """The answers of the last two rows in each other's place."""
    answers = rows["answer"].to_pylist()
    answers[-1], answers[-2] = answers[-2], answers[-1]
    place = rows.schema.get_field_index("answer")
    return rows.set_column(place, rows.schema.field(place), pa.array(answers, rows.schema.field(place).type))


def drop_row(rows: pa.Table) -> pa.Table:
    return rows.slice(0, len(rows) - 1)


def drop_request(rows: pa.Table) -> pa.Table:
    return rows.filter(pc.not_equal(rows["request_id"], rows["request_id"][-1]))


def double(rows: pa.Table) -> pa.Table:
    """The last row once more, under another position."""
    last = rows.slice(len(rows) - 1)
    place = rows.schema.get_field_index("row")
    again = last.set_column(place, rows.schema.field(place), pa.array([10_000], pa.int32()))
    return pa.concat_tables([rows, again])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (alter, "1 requests are not as the endpoint answered them"),
        (swap, "1 requests are not as the endpoint answered them"),
        (drop_row, "1 requests are not as the endpoint answered them"),
        (drop_request, "1 answers that the endpoint logged are not there (given at "),
        (double, "1 requests are not as the endpoint answered them"),
    ],
)
def test_a_segment_that_is_changed_fails_by_name(logged, tmp_path, change: Callable[[pa.Table], pa.Table], words):
    home, _ = logged
    copy = tmp_path / "home"
    for log in ("predictions", "digests"):
        (copy / log / "delay").mkdir(parents=True)
        for path in (home / log / "delay").glob("*.arrow"):
            (copy / log / "delay" / path.name).write_bytes(path.read_bytes())
    path = max((copy / "predictions" / "delay").glob("*.arrow"), key=lambda each: each.stat().st_size)
    rows = pa.Table.from_batches(list(read_batches(path)))
    name = rows["request_id"][-1].as_py()
    with path.open("wb") as sink, pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(change(rows))
    verdict = judge(compact(copy, tmp_path))
    assert verdict.outcome is Outcome.FAIL
    assert words in verdict.reason
    assert change is drop_request or name in verdict.reason
