"""Decides what each destination receives next, and records what became of it. Sends nothing and touches no files."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from mlops_assets.domain.alerts.alerting import (
    AlertMessage,
    AlertPolicy,
    DestinationState,
    OutboxState,
    drop_excess,
    rank_severity,
)


def select_messages(
    state: OutboxState, destination: str, now: datetime, policy: AlertPolicy
) -> tuple[AlertMessage, ...]:
    """Return the messages to send to the destination now, in order.

    Above the limit, the most severe notifications get a message each and the last message carries all the others.
    """
    history = state.destinations.get(destination, DestinationState())
    if history.retry_at is not None and now < history.retry_at:
        return ()
    waiting = [each for each in state.outbox if destination not in each.delivered_to]
    free = policy.limit - len(_sends_in_window(history, now, policy))
    if not waiting or free <= 0:
        return ()
    if len(waiting) <= free:
        return tuple(AlertMessage((each,)) for each in waiting)
    urgent = sorted(waiting, key=lambda each: -rank_severity(each.alert.severity))[: free - 1]
    rest = tuple(each for each in waiting if each not in urgent)
    return (*(AlertMessage((each,)) for each in sorted(urgent, key=lambda each: each.number)), AlertMessage(rest))


def _sends_in_window(history: DestinationState, now: datetime, policy: AlertPolicy) -> tuple[datetime, ...]:
    return tuple(moment for moment in history.sent if now - moment < policy.window)


def record_delivery(
    state: OutboxState, destination: str, message: AlertMessage, *, now: datetime, policy: AlertPolicy
) -> OutboxState:
    """Return the state after the destination accepted the message."""
    history = state.destinations.get(destination, DestinationState())
    delivered = {each.number for each in message.notifications}
    outbox = tuple(
        replace(each, delivered_to=(*each.delivered_to, destination)) if each.number in delivered else each
        for each in state.outbox
    )
    history = DestinationState(sent=(*_sends_in_window(history, now, policy), now))
    return replace(state, outbox=outbox, destinations={**state.destinations, destination: history})


def record_failure(
    state: OutboxState, destination: str, problem: str, *, now: datetime, policy: AlertPolicy
) -> OutboxState:
    """Return the state after a failed send. The pause before the next attempt doubles with each failure."""
    history = state.destinations.get(destination, DestinationState())
    pause = min(policy.first_pause * 2 ** min(history.failures, 20), policy.longest_pause)
    history = replace(history, failures=history.failures + 1, retry_at=now + pause, problem=problem)
    return replace(state, destinations={**state.destinations, destination: history})


def drop_delivered(state: OutboxState, destinations: Sequence[str], now: datetime, policy: AlertPolicy) -> OutboxState:
    """Drop the notifications that every destination has received, and the history of removed destinations."""
    outbox = tuple(each for each in state.outbox if not set(destinations) <= set(each.delivered_to))
    histories = {name: history for name, history in state.destinations.items() if name in destinations}
    return drop_excess(replace(state, outbox=outbox, destinations=histories), now, policy)
