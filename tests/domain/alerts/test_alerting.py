"""One incident makes one notification to each destination until it is resolved."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.domain.alerts.alerting import (
    Alert,
    AlertEvent,
    AlertKind,
    AlertMessage,
    AlertPolicy,
    AlertResolution,
    Notification,
    NotificationKind,
    OutboxState,
    Severity,
    apply_events,
)
from mlops_assets.domain.alerts.delivery import drop_delivered, record_delivery, record_failure, select_messages
from mlops_assets.domain.alerts.texts import format_body, format_title

T0 = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
POLICY = AlertPolicy(repeat=24 * HOUR, window=HOUR, limit=3, keep=7 * 24 * HOUR, max_waiting=50, first_pause=MINUTE)
EMPTY = OutboxState()
OPENED, REMINDER, RESOLVED = NotificationKind
PHONE, MAIL = "phone", "mail"


def alert(at: datetime = T0, key: str = "shop_train", severity: Severity = Severity.WARNING) -> Alert:
    return Alert(
        AlertKind.RUN_FAILED, "shop", key, severity, "The disk is full.", "Free some.", at,
        link="http://ui/runs/1", numbers={"free": 0.5},
    )  # fmt: skip


def resolution(at: datetime, key: str = "shop_train") -> AlertResolution:
    return AlertResolution(AlertKind.RUN_FAILED, "shop", key, "A later run succeeded.", at)


def record(
    *events: AlertEvent, state: OutboxState = EMPTY, now: datetime | None = None
) -> tuple[list[NotificationKind], OutboxState]:
    """Apply each event at its own time, or all of them at `now`."""
    made: list[NotificationKind] = []
    for event in events:
        notifications, state = apply_events(state, [event], now or event.at, POLICY)
        made += [notification.kind for notification in notifications]
    return made, state


@pytest.mark.parametrize(
    ("events", "made", "is_open"),
    [
        ([alert()], [OPENED], True),
        ([alert(), alert()], [OPENED], True),  # the same event twice
        ([alert(), alert(T0 + HOUR)], [OPENED], True),
        ([alert(), alert(T0 + 25 * HOUR)], [OPENED, REMINDER], True),
        ([alert(), replace(alert(T0 + 25 * HOUR), is_news=False)], [OPENED], True),
        ([replace(alert(), is_news=False)], [OPENED], True),  # what is not open was never told
        (
            [alert(), alert(T0 + HOUR, severity=Severity.CRITICAL)],
            [OPENED, REMINDER],
            True,
        ),
        ([alert(), alert(T0 + HOUR, severity=Severity.INFO)], [OPENED], True),
        ([alert(), resolution(T0 + HOUR)], [OPENED, RESOLVED], False),
        (
            [alert(), resolution(T0 + HOUR), resolution(T0 + HOUR)],
            [OPENED, RESOLVED],
            False,
        ),
        ([resolution(T0)], [], False),
        ([alert(T0 + HOUR), resolution(T0)], [OPENED], True),  # the success was before the failure
        ([resolution(T0 + HOUR), alert(T0)], [], False),  # they arrive in the wrong order
        (
            [alert(), resolution(T0 + HOUR), alert()],
            [OPENED, RESOLVED],
            False,
        ),  # an old event again
        (
            [alert(), resolution(T0 + HOUR), alert(T0 + 2 * HOUR)],
            [OPENED, RESOLVED, OPENED],
            True,
        ),
        ([alert(), alert(key="other")], [OPENED, OPENED], True),
    ],
)
def test_what_events_make(events, made, is_open):
    made, state = record(*events)
    assert made == made
    assert (alert().identity in state.open) is is_open


def test_an_open_alert_counts_how_often_it_was_raised():
    _, state = record(alert(), alert(T0 + HOUR), alert(T0 + 2 * HOUR))
    (known,) = state.open.values()
    assert (known.times_raised, known.since, known.alert.at) == (3, T0, T0 + 2 * HOUR)


def raised(count: int, severity: Severity = Severity.WARNING) -> OutboxState:
    _, state = record(*(alert(key=f"job{i}", severity=severity) for i in range(count)))
    return state


def keys(message: AlertMessage) -> list[str]:
    return [notification.alert.key for notification in message.notifications]


def test_each_notification_is_sent_alone_within_the_limit():
    assert [keys(m) for m in select_messages(raised(3), PHONE, T0, POLICY)] == [
        ["job0"],
        ["job1"],
        ["job2"],
    ]


def test_above_the_limit_the_worst_alerts_are_sent_alone():
    state = raised(5)
    _, state = record(alert(key="bad", severity=Severity.CRITICAL), state=state)
    assert [keys(m) for m in select_messages(state, PHONE, T0, POLICY)] == [
        ["job0"],
        ["bad"],
        ["job1", "job2", "job3", "job4"],
    ]


def test_the_limit_holds_for_a_window_and_for_each_destination():
    state = raised(3)
    for message in select_messages(state, PHONE, T0, POLICY):
        state = record_delivery(state, PHONE, message, now=T0, policy=POLICY)
    _, state = record(alert(T0 + MINUTE, key="next"), state=state)
    assert select_messages(state, PHONE, T0 + 2 * MINUTE, POLICY) == ()
    assert len(select_messages(state, MAIL, T0 + 2 * MINUTE, POLICY)) == 3
    assert [keys(m) for m in select_messages(state, PHONE, T0 + HOUR, POLICY)] == [["next"]]


def test_what_was_delivered_is_not_sent_again():
    state = raised(2)
    first, second = select_messages(state, PHONE, T0, POLICY)
    state = record_delivery(state, PHONE, first, now=T0, policy=POLICY)
    assert select_messages(state, PHONE, T0, POLICY) == (second,)


def test_a_failing_destination_is_retried_with_backoff():
    state, now, pauses = raised(1), T0, []
    for _ in range(8):
        state = record_failure(state, PHONE, "refused", now=now, policy=POLICY)
        retry_at = state.destinations[PHONE].retry_at
        assert retry_at is not None
        assert select_messages(state, PHONE, retry_at - MINUTE / 2, POLICY) == ()
        pauses.append((retry_at - now) / MINUTE)
        now = retry_at
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    (message,) = select_messages(state, PHONE, now, POLICY)
    state = record_delivery(state, PHONE, message, now=now, policy=POLICY)
    assert (state.destinations[PHONE].failures, state.destinations[PHONE].problem) == (0, "")


def test_what_all_destinations_received_leaves_the_outbox():
    state = raised(1)
    (message,) = select_messages(state, PHONE, T0, POLICY)
    state = record_delivery(state, PHONE, message, now=T0, policy=POLICY)
    assert len(drop_delivered(state, [PHONE, MAIL], T0, POLICY).outbox) == 1
    assert drop_delivered(state, [PHONE], T0, POLICY).outbox == ()
    assert drop_delivered(raised(1), [], T0, POLICY).outbox == ()  # there are no destinations


def test_the_history_of_a_removed_destination_is_dropped():
    state = record_failure(raised(1), PHONE, "refused", now=T0, policy=POLICY)
    assert drop_delivered(state, [MAIL], T0, POLICY).destinations == {}


def test_memory_is_bounded_and_what_is_dropped_is_counted():
    state = raised(POLICY.max_waiting + 7)
    assert (len(state.outbox), state.dropped) == (POLICY.max_waiting, 7)
    late = drop_delivered(state, [PHONE], T0 + 8 * 24 * HOUR, POLICY)
    assert (late.outbox, late.dropped) == ((), POLICY.max_waiting + 7)
    _, state = record(resolution(T0))
    assert apply_events(state, [], T0 + 8 * 24 * HOUR, POLICY)[1].resolved == {}


def notification(what: NotificationKind = OPENED, **changed: object) -> Notification:
    return Notification(7, what, replace(alert(), **changed), "The disk is full.", T0)


def test_a_message_says_what_next_where_and_the_numbers():
    message = AlertMessage((notification(),))
    assert format_title(message) == "[warning] shop: run failed: shop_train"
    assert format_body(message).splitlines() == [
        "The disk is full.",
        "Next step: Free some.",
        "Runbook: infra/docs/runbook.md#run-failed",
        "Link: http://ui/runs/1",
        "Numbers: free 0.5",
        "warning, event of 2026-01-05 08:00:00 UTC, notification 7",
    ]


def test_a_resolution_is_sent_without_a_next_step():
    message = AlertMessage((notification(RESOLVED),))
    assert format_title(message) == "[resolved] shop: run failed: shop_train"
    assert "Next step" not in format_body(message)
    assert message.severity is None


def test_a_message_lists_notifications_up_to_a_bound():
    message = AlertMessage(tuple(notification() for _ in range(60)))
    assert format_title(message) == "60 alerts, too many to send one by one"
    assert len(format_body(message).splitlines()) == 51
    assert format_body(message).endswith("and 10 more")
    assert message.severity is Severity.WARNING


def test_a_message_has_the_highest_severity():
    message = AlertMessage((notification(severity=Severity.CRITICAL), notification(severity=Severity.INFO)))
    assert message.severity is Severity.CRITICAL


moments = st.integers(0, 30).map(lambda hours: T0 + hours * HOUR)
events = st.builds(lambda at, up: alert(at) if up else resolution(at), moments, st.booleans())


@given(st.lists(events, max_size=12))
def test_the_latest_event_decides_in_any_order(arrived):
    """At the same moment the resolution wins."""
    _, state = record(*arrived, now=T0 + 31 * HOUR)
    _, again = record(*arrived, *arrived, now=T0 + 31 * HOUR)
    assert again.open.keys() == state.open.keys()
    assert len(again.outbox) == len(state.outbox)
    last = max(arrived, key=lambda event: (event.at, isinstance(event, AlertResolution)), default=None)
    assert bool(state.open) is isinstance(last, Alert)


@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=25))
def test_failures_lose_and_repeat_no_notification(steps):
    """Time passes in odd steps and sends fail at random: each notification arrives exactly once, within the limit."""
    state, now, made, moments = raised(8), T0, [], []
    for minutes, works in [*steps, *[(60, True)] * 12]:
        now += minutes * MINUTE
        for message in select_messages(state, PHONE, now, POLICY):
            if not works:
                state = record_failure(state, PHONE, "refused", now=now, policy=POLICY)
                break
            state = record_delivery(state, PHONE, message, now=now, policy=POLICY)
            made += keys(message)
            moments.append(now)
    assert sorted(made) == sorted(f"job{i}" for i in range(8))
    assert all(sum(m - HOUR < other <= m for other in moments) <= POLICY.limit for m in moments)
