"""Feeds that are SQL queries, on SQLite."""

import sqlite3
from datetime import timedelta

import pytest

from mlops_assets.resources.sources.error import SourceError
from mlops_assets.resources.sources.sources import Sources
from tests.kit.specs import START, feed_spec, model_spec, source_spec

DAY = timedelta(days=1)
NOW = START + 30 * DAY


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER, at TEXT, came TEXT, stamp INTEGER, price REAL, note TEXT)")
        connection.executemany(
            "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)",
            [
                (2, "2024-01-02 00:00:00", "2024-01-02", 1704153600, 2.5, None),
                (1, "2024-01-01T05:00:00", "2024-01-01", 1704085200, None, None),
                (3, "2024-01-02 23:59:59", "2024-01-09", 1704239999, 3.0, "late"),
                (4, None, "2024-01-01", None, 1.0, None),
                (5, "soon", "2024-01-01", None, 1.0, None),
                (6, "2024-01-03", "2024-01-03", 1704240000, 1.0, None),
            ],
        )
    connection.close()
    return f"sqlite:///{path}"


def feed(**changes):
    return feed_spec("orders", **{"path": None, "query": "SELECT * FROM orders;", "connection": "shop", **changes})


def opened(url, spec_feed, **changes):
    return Sources(databases={"shop": url}).open(model_spec(source=source_spec(spec_feed), **changes))


def ids(url, spec_feed, start=START + DAY, end=START + 2 * DAY) -> list[int]:
    pieces = opened(url, spec_feed).read("orders", start, end, NOW)
    return [number for piece in pieces for number in piece.rows["id"].to_pylist()]


@pytest.mark.parametrize(("time", "untimed"), [("at", {4, 5}), ("stamp", {4, 5})])
def test_the_window_is_exact_and_untimed_rows_come_too(database, time, untimed):
    assert set(ids(database, feed(time=(time,)))) == {2, 3} | untimed


def test_the_order_is_the_same_whatever_the_database_does(database):
    shuffled = feed(query="SELECT * FROM orders ORDER BY price DESC")
    assert ids(database, feed()) == ids(database, shuffled) == [4, 2, 3, 5]


def test_late_rows_mark_the_partition_of_their_event(database):
    spec_feed = feed(arrived="came")
    assert opened(database, spec_feed).changed("orders", START + 5 * DAY, NOW) == {"2024-01-02"}
    assert opened(database, feed()).changed("orders", START + 36 * timedelta(hours=1), NOW) == {
        "2024-01-02",
        "2024-01-03",
    }


def test_a_parameter_is_bound_and_never_pasted(database):
    quoted = feed(query="SELECT id, at, 'it''s; -- fine' AS note FROM orders")
    assert ids(database, quoted) == [4, 2, 3, 5]


def test_a_wrong_query_says_what_the_database_said(database):
    with pytest.raises(
        SourceError, match=r"feed orders, database 'shop': no such table: absent.*SELECT \* FROM absent"
    ):
        ids(database, feed(query="SELECT * FROM absent"))


def test_an_unknown_connection_lists_the_known_ones(database):
    with pytest.raises(SourceError, match=r"no database is called 'store' \(known: shop\)"):
        opened(database, feed(connection="store"))


@pytest.mark.parametrize(
    "url",
    ["nodialect://user:s3cret@host/db", "user:s3cret@host", "postgresql://user:s3cret@127.0.0.1:1/db"],
)
def test_no_message_shows_a_password(url):
    with pytest.raises((SourceError, ConnectionError)) as found:
        ids(url, feed())
    told = str(found.value) + str(found.value.__cause__)
    assert "s3cret" not in told
    assert "database 'shop'" in told


def test_a_database_that_cannot_be_reached_is_infrastructure(tmp_path):
    with pytest.raises(ConnectionError, match="cannot be reached"):
        ids(f"sqlite:///{tmp_path}/nowhere/x.db", feed())
