"""A shift is one event: it is announced when it begins and when it grows, and is known until it is over. Pure.

It begins with an alarm and is over when none of the last windows has drifted any more, so that it does not come and go
with the luck of single days.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mlops_assets.declaration.monitoring import DriftPolicy
from mlops_assets.domain.drift.alarm import ALARM, count_drifted, judge_alarm
from mlops_assets.domain.drift.strength import describe_column, measure_strengths
from mlops_assets.domain.drift.window import WindowDrift
from mlops_assets.domain.verdict import Outcome, Verdict

_GROWN = 1.5  # times as strong as it was announced
_NAMED = 5


@dataclass(frozen=True)
class DriftEvent:
    """A shift that goes on."""

    since: str  # the first window that drifted
    announced: str  # the day on which it began or grew last
    strength: float  # then, as a multiple of what is material
    columns: tuple[str, ...]  # that had drifted by then


def follow_event(
    day: str, windows: Sequence[WindowDrift], before: DriftEvent | None, policy: DriftPolicy
) -> tuple[Verdict, DriftEvent | None]:
    """The alarm on a day, FAIL while an event goes on, and the event. `windows`: those known, oldest first."""
    verdict = judge_alarm(windows, policy)
    last = windows[-policy.of_last :]
    if before is None:
        return (verdict, None) if verdict.outcome is not Outcome.FAIL else _begin(day, last, verdict, policy)
    if verdict.outcome is Outcome.INCONCLUSIVE:
        known = f"{verdict.reason} A shift is known since {before.since}."
        return replace(verdict, reason=known), before
    if all(each.outcome is not Outcome.FAIL for each in last):
        reason = f"The shift known since {before.since} is over: none of the last {len(last)} windows drifted."
        return replace(verdict, outcome=Outcome.PASS, reason=reason), None
    if verdict.outcome is Outcome.FAIL and (grown := _grow(day, last, before, policy)):
        added = [name for name in grown.columns if name not in before.columns]
        how = (
            f"new: {', '.join(added[:_NAMED])}" if added else f"{grown.strength / before.strength:.1f} times as strong"
        )
        reason = f"The shift known since {before.since} has grown ({how}). {verdict.reason}"
        return replace(verdict, reason=reason, numbers={**verdict.numbers, "announced": 1.0}), grown
    named = ", ".join(before.columns[:_NAMED])
    reason = (
        f"Known since {before.since}, announced on {before.announced}, no stronger since: {named}. {verdict.reason}"
    )
    return Verdict(ALARM, Outcome.FAIL, reason, {**verdict.numbers, "announced": 0.0}), before


def _begin(day: str, last: Sequence[WindowDrift], verdict: Verdict, policy: DriftPolicy) -> tuple[Verdict, DriftEvent]:
    first = next(each for each in last if each.outcome is Outcome.FAIL)
    columns = tuple(_confirmed_columns(last, 1))
    event = DriftEvent(first.window, day, _confirmed_strength(last, policy), columns)
    return replace(verdict, numbers={**verdict.numbers, "announced": 1.0}), event


def _grow(day: str, last: Sequence[WindowDrift], before: DriftEvent, policy: DriftPolicy) -> DriftEvent | None:
    strength = _confirmed_strength(last, policy)
    added = [name for name in _confirmed_columns(last, policy.needed) if name not in before.columns]
    if not added and strength < _GROWN * before.strength:
        return None
    return DriftEvent(before.since, day, max(strength, before.strength), (*before.columns, *added))


def _confirmed_columns(last: Sequence[WindowDrift], windows: int) -> list[str]:
    """What drifted in so many of the windows, most often first."""
    named: Mapping[str, int] = count_drifted(last)
    return [name for name, count in sorted(named.items(), key=lambda each: -each[1]) if count >= windows]


def _confirmed_strength(last: Sequence[WindowDrift], policy: DriftPolicy) -> float:
    """The strength that as many windows reach as an alarm needs."""
    found = sorted((_strength(each, policy) for each in last if each.outcome is Outcome.FAIL), reverse=True)
    return found[min(policy.needed, len(found)) - 1]


def _strength(window: WindowDrift, policy: DriftPolicy) -> float:
    sizes = measure_strengths(window, policy)
    return max(sizes[describe_column(each)] for each in window.drifted) if window.drifted else 0.0
