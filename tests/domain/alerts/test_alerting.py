"""What is told, to whom and when: one incident, one notice, until it is over."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.alerts.alerting import (
    Alert,
    AlertKind,
    Event,
    Message,
    Notice,
    Policy,
    Resolved,
    Severity,
    State,
    What,
    due,
    failed,
    note,
    sent,
    settled,
)
from mlops_assets.domain.alerts.texts import text, title

T0 = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
POLICY = Policy(repeat=24 * HOUR, window=HOUR, limit=3, keep=7 * 24 * HOUR, most=50, first_pause=MINUTE)
EMPTY = State()
PHONE, MAIL = "phone", "mail"


def alert(at: datetime = T0, key: str = "shop_train", severity: Severity = Severity.WARNING) -> Alert:
    return Alert(
        AlertKind.RUN_FAILED, "shop", key, severity, "The disk is full.", "Free some.", at,
        link="http://ui/runs/1", numbers={"free": 0.5},
    )  # fmt: skip


def over(at: datetime, key: str = "shop_train") -> Resolved:
    return Resolved(AlertKind.RUN_FAILED, "shop", key, "A later run succeeded.", at)


def after(*events: Event, state: State = EMPTY, now: datetime | None = None) -> tuple[list[What], State]:
    """Each event at its own time, or all at `now`."""
    told: list[What] = []
    for event in events:
        notices, state = note(state, [event], now or event.at, POLICY)
        told += [notice.what for notice in notices]
    return told, state


@pytest.mark.parametrize(
    ("events", "told", "is_open"),
    [
        ([alert()], [What.OPENED], True),
        ([alert(), alert()], [What.OPENED], True),  # the same event twice
        ([alert(), alert(T0 + HOUR)], [What.OPENED], True),
        ([alert(), alert(T0 + 25 * HOUR)], [What.OPENED, What.REMINDER], True),
        ([alert(), alert(T0 + HOUR, severity=Severity.CRITICAL)], [What.OPENED, What.REMINDER], True),
        ([alert(), alert(T0 + HOUR, severity=Severity.INFO)], [What.OPENED], True),
        ([alert(), over(T0 + HOUR)], [What.OPENED, What.RESOLVED], False),
        ([alert(), over(T0 + HOUR), over(T0 + HOUR)], [What.OPENED, What.RESOLVED], False),
        ([over(T0)], [], False),
        ([alert(T0 + HOUR), over(T0)], [What.OPENED], True),  # the success was before the failure
        ([over(T0 + HOUR), alert(T0)], [], False),  # seen in the wrong order
        ([alert(), over(T0 + HOUR), alert()], [What.OPENED, What.RESOLVED], False),  # an old event again
        ([alert(), over(T0 + HOUR), alert(T0 + 2 * HOUR)], [What.OPENED, What.RESOLVED, What.OPENED], True),
        ([alert(), alert(key="other")], [What.OPENED, What.OPENED], True),
    ],
)
def test_what_events_make(events, told, is_open):
    made, state = after(*events)
    assert made == told
    assert (alert().identity in state.open) is is_open


def test_an_open_alert_counts_how_often_it_was_raised():
    _, state = after(alert(), alert(T0 + HOUR), alert(T0 + 2 * HOUR))
    (known,) = state.open.values()
    assert (known.times, known.since, known.alert.at) == (3, T0, T0 + 2 * HOUR)


def raised(count: int, severity: Severity = Severity.WARNING) -> State:
    _, state = after(*(alert(key=f"job{i}", severity=severity) for i in range(count)))
    return state


def keys(message: Message) -> list[str]:
    return [notice.alert.key for notice in message.notices]


def test_each_notice_goes_by_itself_within_the_limit():
    assert [keys(message) for message in due(raised(3), PHONE, T0, POLICY)] == [["job0"], ["job1"], ["job2"]]


def test_above_the_limit_the_worst_alerts_are_sent_alone():
    state = raised(5)
    _, state = after(alert(key="bad", severity=Severity.CRITICAL), state=state)
    assert [keys(m) for m in due(state, PHONE, T0, POLICY)] == [["job0"], ["bad"], ["job1", "job2", "job3", "job4"]]


def test_the_limit_holds_for_a_window_and_for_each_destination():
    state = raised(3)
    for message in due(state, PHONE, T0, POLICY):
        state = sent(state, PHONE, message, T0, POLICY)
    _, state = after(alert(T0 + MINUTE, key="next"), state=state)
    assert due(state, PHONE, T0 + 2 * MINUTE, POLICY) == ()
    assert len(due(state, MAIL, T0 + 2 * MINUTE, POLICY)) == 3
    assert [keys(m) for m in due(state, PHONE, T0 + HOUR, POLICY)] == [["next"]]


def test_what_was_told_is_not_told_again():
    state = raised(2)
    first, second = due(state, PHONE, T0, POLICY)
    state = sent(state, PHONE, first, T0, POLICY)
    assert due(state, PHONE, T0, POLICY) == (second,)


def test_a_failing_destination_is_retried_with_backoff():
    state, now, pauses = raised(1), T0, []
    for _ in range(8):
        state = failed(state, PHONE, "refused", now, POLICY)
        again = state.destinations[PHONE].again
        assert again is not None
        assert due(state, PHONE, again - MINUTE / 2, POLICY) == ()
        pauses.append((again - now) / MINUTE)
        now = again
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    (message,) = due(state, PHONE, now, POLICY)
    state = sent(state, PHONE, message, now, POLICY)
    assert (state.destinations[PHONE].failures, state.destinations[PHONE].problem) == (0, "")


def test_what_everybody_knows_leaves_the_outbox():
    state = raised(1)
    (message,) = due(state, PHONE, T0, POLICY)
    state = sent(state, PHONE, message, T0, POLICY)
    assert len(settled(state, [PHONE, MAIL], T0, POLICY).outbox) == 1
    assert settled(state, [PHONE], T0, POLICY).outbox == ()
    assert settled(raised(1), [], T0, POLICY).outbox == ()  # nobody to tell


def test_a_destination_that_is_no_more_is_forgotten():
    state = failed(raised(1), PHONE, "refused", T0, POLICY)
    assert settled(state, [MAIL], T0, POLICY).destinations == {}


def test_memory_is_bounded_and_what_is_dropped_is_counted():
    state = raised(POLICY.most + 7)
    assert (len(state.outbox), state.dropped) == (POLICY.most, 7)
    late = settled(state, [PHONE], T0 + 8 * 24 * HOUR, POLICY)
    assert (late.outbox, late.dropped) == ((), POLICY.most + 7)
    _, state = after(over(T0))
    assert note(state, [], T0 + 8 * 24 * HOUR, POLICY)[1].resolved == {}


def notice(what: What = What.OPENED, **changed: object) -> Notice:
    return Notice(7, what, replace(alert(), **changed), "The disk is full.", T0)


def test_a_message_says_what_next_where_and_the_numbers():
    message = Message((notice(),))
    assert title(message) == "[warning] shop: run failed: shop_train"
    assert text(message).splitlines() == [
        "The disk is full.",
        "Next step: Free some.",
        "Runbook: infra/docs/runbook.md#run-failed",
        "Link: http://ui/runs/1",
        "Numbers: free 0.5",
        "warning, event of 2026-01-05 08:00:00 UTC, notice 7",
    ]


def test_the_end_is_told_without_a_next_step():
    message = Message((notice(What.RESOLVED),))
    assert title(message) == "[resolved] shop: run failed: shop_train"
    assert "Next step" not in text(message)
    assert message.severity is None


def test_many_notices_in_one_message_are_listed_up_to_a_bound():
    message = Message(tuple(notice() for _ in range(60)))
    assert title(message) == "60 alerts, too many to tell one by one"
    assert len(text(message).splitlines()) == 51
    assert text(message).endswith("and 10 more")
    assert message.severity is Severity.WARNING


def test_the_worst_severity_is_told():
    message = Message((notice(severity=Severity.CRITICAL), notice(severity=Severity.INFO)))
    assert message.severity is Severity.CRITICAL


moments = st.integers(0, 30).map(lambda hours: T0 + hours * HOUR)
events = st.builds(lambda at, up: alert(at) if up else over(at), moments, st.booleans())


@given(st.lists(events, max_size=12))
def test_the_latest_event_decides_in_any_order(came):
    """At the same moment the end wins: it is what a later look would find."""
    _, state = after(*came, now=T0 + 31 * HOUR)
    _, again = after(*came, *came, now=T0 + 31 * HOUR)
    assert again.open.keys() == state.open.keys()
    assert len(again.outbox) == len(state.outbox)
    last = max(came, key=lambda event: (event.at, isinstance(event, Resolved)), default=None)
    assert bool(state.open) is isinstance(last, Alert)


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=25))
def test_every_notice_reaches_a_destination_once_whatever_fails(steps):
    """Time passes in odd steps, sends fail at random; in the end everything was told exactly once, within the limit."""
    state, now, told, moments = raised(8), T0, [], []
    for minutes, works in [*steps, *[(60, True)] * 12]:
        now += minutes * MINUTE
        for message in due(state, PHONE, now, POLICY):
            if not works:
                state = failed(state, PHONE, "refused", now, POLICY)
                break
            state = sent(state, PHONE, message, now, POLICY)
            told += keys(message)
            moments.append(now)
    assert sorted(told) == sorted(f"job{i}" for i in range(8))
    assert all(sum(m - HOUR < other <= m for other in moments) <= POLICY.limit for m in moments)
