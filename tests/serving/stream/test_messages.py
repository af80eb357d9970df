"""What a message asks and what becomes of one that fails: no broker needed."""

import pytest

from serving.problems import InvalidInput, NotFound, Overloaded, RequestRefused, TooLate, Unavailable
from serving.settings.environment import WrongSettings
from serving.settings.streams import read_stream_settings
from serving.stream.messages import Fate, StreamMessage, dead, name_of, read_request, refused

MESSAGE = StreamMessage("17-0", {b"data": b'{"rows": [{"a": 1}], "key": "k"}'}, 1)


def test_rows_and_key_are_read():
    given, key = read_request(MESSAGE, 1_000)
    assert (given.as_rows(), key) == ([{"a": 1}], "k")


def test_request_ids_are_stable_and_differ_by_message():
    others = (MESSAGE, StreamMessage("17-0", {}, 3), StreamMessage("17-1", {}, 1))
    names = {name_of("s", message) for message in others} | {name_of("t", MESSAGE)}
    assert len(names) == 3
    assert all(len(name) == 21 for name in names)


@pytest.mark.parametrize(
    ("data", "kind"), [(b"{", "invalid"), (b"[]", "invalid"), (b'{"rows": 1}', "invalid"), (b"x" * 2_000, "too_large")]
)
def test_what_is_no_request_is_refused(data, kind):
    with pytest.raises(RequestRefused) as err:
        read_request(StreamMessage("1-0", {b"data": data}, 1), 1_000)
    assert err.value.kind == kind


@pytest.mark.parametrize(
    ("err", "attempts", "fate"),
    [
        (InvalidInput("no field"), 1, Fate.DEAD),
        (RequestRefused("too large", status=413, kind="too_large"), 1, Fate.DEAD),
        (Unavailable("the store is down", kind="features"), 1_000, Fate.AGAIN),
        (Unavailable("no release can be served"), 1_000, Fate.AGAIN),
        (NotFound("there is no model yet"), 1_000, Fate.AGAIN),
        (Overloaded("too many"), 1_000, Fate.AGAIN),
        (Unavailable("every version fails", kind="model"), 2, Fate.AGAIN),
        (Unavailable("every version fails", kind="model"), 3, Fate.DEAD),
        (TooLate("the deadline passed"), 3, Fate.DEAD),
        (RequestRefused("a bug", kind="internal"), 3, Fate.DEAD),
    ],
)
def test_the_fate_of_a_message_that_fails(err, attempts, fate):
    reply = refused(MESSAGE, err, attempts, 3)
    assert (reply.fate, reply.reason) == (fate, str(err))


def test_only_the_beginning_of_a_huge_message_is_kept():
    large = StreamMessage("1-0", {b"data": b"x" * 5_000}, 1)
    assert len(dead(large, "too_large", "").data) == 1_000
    assert len(dead(large, "invalid", "").data) == 5_000


def test_wrong_settings_are_all_named_and_no_url_is_shown():
    with pytest.raises(WrongSettings) as err:
        read_stream_settings("m", {"STREAM_URL": "http://user:secret@x", "STREAM_BATCH": "0", "STREAM_OUT": "m.dead"})
    told = str(err.value)
    assert all(name in told for name in ("STREAM_URL", "STREAM_BATCH", "have to differ"))
    assert "secret" not in told


def test_the_streams_bear_the_models_name():
    settings = read_stream_settings("delay", {})
    assert (settings.source, settings.answers, settings.dead) == ("delay.requests", "delay.answers", "delay.dead")
