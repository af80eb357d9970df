"""The join against a reference that looks at every view row for every entity row."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.domain.training_set.asof import AsOf, AsOfView, Beside, asof_join, asof_parts

START = datetime(2024, 1, 1, tzinfo=UTC)
TIME = pa.timestamp("us", "UTC")


def at(minutes: float | None) -> datetime | None:
    return None if minutes is None else START + timedelta(minutes=minutes)


def view_rows(rows: list[tuple]) -> pa.Table:
    """(key, second key, event, created) in minutes."""
    return pa.table(
        {
            "k": pa.array([r[0] for r in rows], pa.string()),
            "n": pa.array([r[1] for r in rows], pa.int64()),
            "event": pa.array([at(r[2]) for r in rows], TIME),
            "created": pa.array([at(r[3]) for r in rows], TIME),
            "value": pa.array(range(len(rows)), pa.int64()),
        }
    )


def entity_rows(rows: list[tuple]) -> pa.Table:
    return pa.table(
        {
            "k": pa.array([r[0] for r in rows], pa.string()),
            "n": pa.array([r[1] for r in rows], pa.int64()),
            "t": pa.array([at(r[2]) for r in rows], TIME),
        }
    )


def naive(entity: tuple, rows: list[tuple], *, keys: int, created: bool, ttl: float | None) -> int | None:
    """The definition, word for word."""
    *key, t = entity
    if t is None or None in key[:keys]:
        return None
    candidates = [
        (row[2], (row[3] if created and row[3] is not None else row[2]), place)
        for place, row in enumerate(rows)
        if list(row[:keys]) == key[:keys] and row[2] is not None
    ]
    known = [c for c in candidates if c[0] <= t and (not created or c[1] <= t)]
    if not known:
        return None
    best = max(known)
    return None if ttl and best[0] < t - ttl else best[2]


def joined(entities: list[tuple], rows: list[tuple], *, keys: int, created: bool, ttl: float | None) -> list:
    names = ("k", "n")[:keys]
    limit = None if ttl is None else timedelta(minutes=ttl)
    view = AsOfView(view_rows(rows), names, "event", "created" if created else None, limit)
    result = asof_join(entity_rows(entities), "t", [Beside(view, names, (("value", "found"),))])
    assert result.select(["k", "n", "t"]).equals(entity_rows(entities))
    return result["found"].to_pylist()


def some(strategy: st.SearchStrategy) -> st.SearchStrategy:
    return st.one_of(st.none(), strategy)


few = st.integers(0, 12)
key = some(st.sampled_from(["a", "b", "c"]))
number = some(st.integers(0, 2))


@settings(max_examples=300, deadline=None)
@given(
    rows=st.lists(st.tuples(key, number, some(few), some(few)), max_size=25),
    entities=st.lists(st.tuples(key, number, some(few)), max_size=25),
    keys=st.integers(0, 2),
    created=st.booleans(),
    ttl=st.sampled_from([None, 0, 1, 3]),
)
def test_it_finds_what_the_definition_says(rows, entities, keys, created, ttl) -> None:
    expected = [naive(entity, rows, keys=keys, created=created, ttl=ttl) for entity in entities]
    assert joined(entities, rows, keys=keys, created=created, ttl=ttl) == expected


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(-(2**62), 2**62), st.integers(0, 2**50)), min_size=1, max_size=30),
    asked=st.lists(st.tuples(st.integers(0, 29), st.integers(0, 2**50)), min_size=1, max_size=30),
)
def test_keys_and_times_of_any_size(rows, asked) -> None:
    """So wide apart that key and time do not fit into 64 bits as they are."""
    keys, events = [r[0] for r in rows], [r[1] for r in rows]
    view = AsOfView(pa.table({"k": pa.array(keys), "event": pa.array(events, TIME)}), ("k",), "event", None, None)
    entity_keys = [keys[place % len(keys)] for place, _ in asked]
    times = [time for _, time in asked]
    found = AsOf(view).positions([pa.chunked_array([entity_keys])], pa.chunked_array([times], TIME))
    for k, t, position in zip(entity_keys, times, found, strict=True):
        known = [(event, place) for place, (one, event) in enumerate(rows) if one == k and event <= t]
        assert position == (max(known)[1] if known else -1)


@pytest.mark.parametrize(
    ("rows", "t", "ttl", "expected"),
    [
        pytest.param([("a", 0, 5, 5)], 5, None, 0, id="an event at the very moment counts"),
        pytest.param([("a", 0, 6, 6)], 5, None, None, id="the future does not"),
        pytest.param([("a", 0, 2, 2)], 5, 3, 0, id="exactly as old as the ttl is fresh"),
        pytest.param([("a", 0, 1, 1)], 5, 3, None, id="older is not"),
        pytest.param([("a", 0, 1, 1)], 5000, 0, 0, id="a ttl of zero is no bound"),
        pytest.param([("a", 0, 1, 1), ("a", 0, 4, 9)], 5, None, 0, id="a late row does not leak"),
        pytest.param([("a", 0, 1, 1), ("a", 0, 4, 9)], 9, None, 1, id="and is used once it is known"),
        pytest.param([("a", 0, 4, 6), ("a", 0, 1, 7)], 8, None, 0, id="a correction of older news stays older"),
        pytest.param([("a", 0, 4, 5), ("a", 0, 4, 4)], 5, None, 0, id="a tie: the row created last"),
        pytest.param([("a", 0, 4, 4), ("a", 0, 4, 4)], 5, None, 1, id="a tie in both: the last row"),
        pytest.param([("a", 0, 4, None)], 4, None, 0, id="no created time: known at its event"),
        pytest.param([("b", 0, 1, 1)], 5, None, None, id="another key"),
        pytest.param([], 5, None, None, id="no rows at all"),
    ],
)
def test_one_row_of_the_truth_table(rows, t, ttl, expected) -> None:
    assert joined([("a", 0, t)], rows, keys=1, created=True, ttl=ttl) == [expected]


def test_parts_together_are_the_whole() -> None:
    rng = np.random.default_rng(0)
    rows = [("abc"[k], 0, int(t), int(t) + int(d)) for k, t, d in rng.integers(0, 3, (80, 3)) * [1, 9, 4]]
    entities = entity_rows([("abc"[k], 0, int(t)) for k, t in rng.integers(0, 3, (50, 2)) * [1, 15]])
    views = [Beside(AsOfView(view_rows(rows), ("k",), "event", "created", None), ("k",), (("value", "found"),))]
    parts = list(asof_parts(entities, "t", views, rows_at_once=7))
    assert [len(part) for part in parts] == [7] * 7 + [1]
    assert pa.concat_tables(parts).equals(asof_join(entities, "t", views))


def test_no_entity_rows_give_an_empty_table_with_all_columns() -> None:
    views = [Beside(AsOfView(view_rows([]), ("k",), "event", None, None), ("k",), (("value", "found"),))]
    result = asof_join(entity_rows([]), "t", views)
    assert result.num_rows == 0
    assert result.column_names == ["k", "n", "t", "found"]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_times_of_any_unit_and_zone(unit, zone) -> None:
    times = pa.array([at(5)], TIME).cast(pa.timestamp(unit, "UTC"))
    times = times.cast(pa.timestamp(unit)) if zone is None else times.cast(pa.timestamp(unit, zone))
    entities = pa.table({"k": ["a"], "t": times})
    view = AsOfView(view_rows([("a", 0, 5, 5), ("a", 0, 6, 6)]), ("k",), "event", "created", None)
    assert asof_join(entities, "t", [Beside(view, ("k",), (("value", "v"),))])["v"].to_pylist() == [0]


def test_latest_is_the_best_row_of_each_key() -> None:
    rows = view_rows([("b", 0, 3, 3), ("a", 0, 1, 9), ("a", 0, 4, 5), ("a", 0, 4, 4), (None, 0, 9, 9)])
    view = AsOfView(rows, ("k",), "event", "created", None)
    assert sorted(AsOf(view).latest()) == [0, 2]


def test_keys_match_across_widths_but_not_across_kinds() -> None:
    rows = pa.table({"k": pa.array([1, 2], pa.int64()), "event": pa.array([at(1), at(1)], TIME)})
    index = AsOf(AsOfView(rows, ("k",), "event", None, None))
    times = pa.chunked_array([[at(2)]], TIME)
    assert list(index.positions([pa.chunked_array([pa.array([2], pa.int16())])], times)) == [1]
    text = pa.chunked_array([pa.array(["x"]).dictionary_encode()])
    with pytest.raises(TypeError, match="Give both the same type"):
        index.positions([text], times)
