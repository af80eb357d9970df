"""What a message about alerts says: one line for a subject, and the whole in plain text."""

from mlops_assets.domain.alerts.alerting import Alert, Message, Notice, What

_SHOWN = 50  # notices that one message lists


def title(message: Message) -> str:
    """One line, e.g. for the subject of a mail."""
    first = message.notices[0]
    if len(message.notices) > 1:
        return f"{len(message.notices)} alerts, too many to tell one by one"
    state = first.alert.severity.value if first.what is What.OPENED else first.what.value
    return f"[{state}] {_subject(first.alert)}"


def text(message: Message) -> str:
    """The whole message, in plain text."""
    if len(message.notices) == 1:
        return "\n".join(_lines(message.notices[0]))
    shown = message.notices[:_SHOWN]
    told = [f"{n.what} | {n.alert.severity} | {_subject(n.alert)}: {n.cause.splitlines()[0][:200]}" for n in shown]
    more = len(message.notices) - len(shown)
    return "\n".join([*told, *([f"and {more} more"] if more else [])])


def _subject(alert: Alert) -> str:
    return ": ".join(part for part in (alert.model, alert.kind.value.replace("-", " "), alert.key) if part)


def _lines(notice: Notice) -> list[str]:
    alert = notice.alert
    numbers = ", ".join(f"{name} {value:g}" for name, value in alert.numbers.items())
    over = notice.what is What.RESOLVED
    lines = [
        notice.cause,
        "" if over else f"Next step: {alert.next_step}",
        "" if over else f"Runbook: infra/docs/runbook.md#{alert.runbook or alert.kind}",
        f"Link: {alert.link}" if alert.link else "",
        f"Numbers: {numbers}" if numbers else "",
        f"{alert.severity}, event of {alert.at:%Y-%m-%d %H:%M:%S} UTC, notice {notice.number}",
    ]
    return [line for line in lines if line]
