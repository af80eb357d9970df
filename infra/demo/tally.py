"""What a day of the demonstration was like, in numbers, and the line that tells it. Pure."""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np

from infra.demo.callers import FlightAnswer, LandedFlight

_WEEK = 7


@dataclass
class Day:
    """One day of the model's time."""

    day: date
    answers: list[FlightAnswer] = field(default_factory=list)
    landed: list[LandedFlight] = field(default_factory=list)

    @property
    def answered(self) -> int:
        return sum(answer.score is not None for answer in self.answers)

    @property
    def degraded(self) -> int:
        return sum(answer.degraded for answer in self.answers)

    @property
    def refusals(self) -> Counter[str]:
        return Counter(answer.refusal for answer in self.answers if answer.refusal)

    @property
    def versions(self) -> Counter[str]:
        return Counter(answer.version for answer in self.answers if answer.version)


@dataclass
class Quality:
    """AUC of what was answered, as flights land: of the last week, and of everything so far."""

    days: deque[list[LandedFlight]] = field(default_factory=lambda: deque(maxlen=_WEEK))
    all: list[LandedFlight] = field(default_factory=list)

    def add(self, landed: list[LandedFlight]) -> None:
        self.days.append(landed)
        self.all += landed

    @property
    def last_week(self) -> float | None:
        return compute_auc(each for day in self.days for each in day)

    @property
    def so_far(self) -> float | None:
        return compute_auc(self.all)


def compute_auc(landed: Iterable[LandedFlight]) -> float | None:
    """Chance that a late flight was scored above one on time; None where either is missing."""
    pairs = [(each.answer.score, each.late) for each in landed]
    scores, late = np.array([score for score, _ in pairs]), np.array([late for _, late in pairs], dtype=bool)
    if late.all() or not late.any():
        return None
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    ones = int(late.sum())
    return float((ranks[late].sum() - ones * (ones + 1) / 2) / (ones * (len(late) - ones)))


def format_day(day: Day, quality: Quality) -> str:
    """`2013-10-04  981 flights, 12 % late | AUC of the week 0.71, so far 0.72 | 1.0.0 75 %, 1.0.1 25 %`"""
    late = sum(each.late for each in day.landed)
    parts = [f"{len(day.answers)} flights, {late / max(len(day.landed), 1):.0%} of those landed late"]
    if refused := len(day.answers) - day.answered:
        parts[0] += f", {refused} not answered"
    if day.degraded:
        parts[0] += f", {day.degraded} degraded"
    parts.append(f"AUC of the week {_format_auc(quality.last_week)}, so far {_format_auc(quality.so_far)}")
    parts.append(format_shares(day.versions))
    return f"{day.day:%a %Y-%m-%d}  " + " | ".join(parts)


def format_shares(versions: Counter[str]) -> str:
    total = max(versions.total(), 1)
    return ", ".join(f"{version} {count / total:.0%}" for version, count in versions.most_common()) or "nobody answers"


def format_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns under each other."""
    widths = [max(len(row[place]) for row in [head, *rows]) for place in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [head, *rows]]
    return "\n".join(text.rstrip() for text in [lines[0], "-" * sum(widths), *lines[1:]])


def _format_auc(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
