"""Formats a message about alerts: a title of one line and a body in plain text."""

from mlops_assets.domain.alerts.alerting import Alert, AlertMessage, Notification, NotificationKind

_MAX_LISTED = 50  # notifications in one message


def format_title(message: AlertMessage) -> str:
    """Format one line, e.g. for the subject of a mail."""
    first = message.notifications[0]
    if len(message.notifications) > 1:
        return f"{len(message.notifications)} alerts, too many to send one by one"
    state = first.alert.severity.value if first.kind is NotificationKind.OPENED else first.kind.value
    return f"[{state}] {_format_subject(first.alert)}"


def format_body(message: AlertMessage) -> str:
    if len(message.notifications) == 1:
        return "\n".join(_format_lines(message.notifications[0]))
    listed = message.notifications[:_MAX_LISTED]
    lines = [
        f"{each.kind} | {each.alert.severity} | {_format_subject(each.alert)}: {each.cause.splitlines()[0][:200]}"
        for each in listed
    ]
    more = len(message.notifications) - len(listed)
    return "\n".join([*lines, *([f"and {more} more"] if more else [])])


def _format_subject(alert: Alert) -> str:
    return ": ".join(part for part in (alert.model, alert.kind.value.replace("-", " "), alert.key) if part)


def _format_lines(notification: Notification) -> list[str]:
    alert = notification.alert
    numbers = ", ".join(f"{name} {value:g}" for name, value in alert.numbers.items())
    is_open = notification.kind is not NotificationKind.RESOLVED
    lines = [
        notification.cause,
        f"Next step: {alert.next_step}" if is_open else "",
        f"Runbook: infra/docs/runbook.md#{alert.runbook or alert.kind}" if is_open else "",
        f"Link: {alert.link}" if alert.link else "",
        f"Numbers: {numbers}" if numbers else "",
        f"{alert.severity}, event of {alert.at:%Y-%m-%d %H:%M:%S} UTC, notification {notification.number}",
    ]
    return [line for line in lines if line]
