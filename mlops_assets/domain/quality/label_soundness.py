"""Judges whether labels can be relied on: contradictions, strangers, clocks that differ, labels that stopped. Pure.

Labels that come twice and agree are harmless: feedback and the source may both bring them. They are only counted.
"""

from collections.abc import Iterator, Sequence

from mlops_assets.domain.check_names import LABELS_SOUND, QUALITY_HOLDS
from mlops_assets.domain.data.checks import listed
from mlops_assets.domain.quality.records import PerformanceDay
from mlops_assets.domain.verdict import Outcome, Verdict

CONTRADICTING, UNKNOWN_REQUESTS, REPEATED = "contradicting", "for unknown requests", "repeated"
EARLY, FUTURE, UNREADABLE = "known before the answer", "from after now", "not understood"
_ADVICE = {
    CONTRADICTING: "the first one counts; look at who reports outcomes",
    UNKNOWN_REQUESTS: "no answer has this id and row; look at who reports outcomes",
    EARLY: "the clocks of endpoint and outcomes differ, or answers come too late to be of use",
    FUTURE: "a clock is ahead; they count once their time has come",
    UNREADABLE: "no class or number of the target; correct the reporter",
}
_TOLERATED = 0.01  # of the labels
_ENOUGH = 50  # expected labels; with fewer, their absence proves nothing
_STOPPED = 0.5  # of the expected labels


def judge_labels(days: Sequence[PerformanceDay]) -> Verdict:
    """Of all days together; each problem with its day."""
    names = sorted({name for day in days for name in day.odd})
    numbers = {name: float(sum(day.odd.get(name, 0) for day in days)) for name in names}
    numbers |= {"labelled": float(sum(day.labelled for day in days)), "days": float(len(days))}
    if problems := [problem for day in days for problem in _problems(day)]:
        return Verdict(LABELS_SOUND, Outcome.FAIL, listed(problems), numbers)
    if not any(day.labelled for day in days):
        why = "no answers" if not any(day.rows for day in days) else "answers, but no labels yet"
        return Verdict(LABELS_SOUND, Outcome.INCONCLUSIVE, f"There are {why} on {_span(days)}.", numbers)
    odd = ", ".join(f"{int(numbers[name]):,} {name}" for name in names if numbers[name])
    summary = f"{int(numbers['labelled']):,} labels on {_span(days)}; odd: {odd or 'none'}."
    return Verdict(LABELS_SOUND, Outcome.PASS, summary, numbers)


def judge_latest_fall(days: Sequence[PerformanceDay]) -> Verdict:
    """The verdict of the latest day that could be judged; where none could, the reason of the latest day."""
    judged = [day for day in days if day.fall.outcome is not Outcome.INCONCLUSIVE]
    latest = (judged or list(days))[-1]
    reason = latest.fall.reason if judged else f"{latest.day}: {latest.fall.reason}"
    return Verdict(QUALITY_HOLDS, latest.fall.outcome, reason, latest.fall.numbers)


def _problems(day: PerformanceDay) -> Iterator[str]:
    allowed = _TOLERATED * max(day.labelled, 1)
    for name, advice in _ADVICE.items():
        if day.odd.get(name, 0) > allowed:
            yield f"{day.day}: {day.odd[name]:,} labels {name} beside {day.labelled:,} good ones: {advice}"
    if day.expected >= _ENOUGH and day.labelled < _STOPPED * day.expected:
        yield (
            f"{day.day}: {day.labelled:,} labels are there, about {day.expected:,} should be by now, going by the days "
            "before: look whether feedback and source still bring them"
        )


def _span(days: Sequence[PerformanceDay]) -> str:
    if not days:
        return "no day"
    return days[0].day if len(days) == 1 else f"{days[0].day} to {days[-1].day}"
