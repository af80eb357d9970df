"""Worlds whose days differ though nothing changes, and their days through the code that decides on drift."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.signal import lfilter
from scipy.special import ndtri

from mlops_assets.domain.drift.alarm import judge_alarm
from mlops_assets.domain.drift.days.compare import TrainingPast, fit_past
from mlops_assets.domain.drift.distances import Aspect
from mlops_assets.domain.drift.reference import Reference, read_profile
from mlops_assets.domain.drift.sketch import Sketch
from mlops_assets.domain.drift.window import WindowDrift, judge_window
from mlops_assets.domain.verdict import Outcome
from tests.kit.watching import DRIFT, profile_of, table_of

COLUMNS = 20  # bell-shaped, mostly skewed with zeros, and categories whose rarest value has 5 %
_BELLS, _ZEROS = 12, 4
_WORDS = np.array(list("abcde"), dtype=object)
_CUTS = ndtri(np.cumsum([0.4, 0.3, 0.15, 0.1]))
_FIRST = np.datetime64("2022-01-03")

Effects = Callable[[np.ndarray, np.random.Generator], np.ndarray]  # days → [days, COLUMNS] standard deviations
Change = Callable[[dict[str, np.ndarray], np.random.Generator], dict[str, np.ndarray]]


def independent(days: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    return np.zeros((len(days), COLUMNS))


def weekends(days: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Saturday and Sunday are a standard deviation off in every column, up or down."""
    return np.where((days.astype(int) + 3) % 7 >= 5, 1.0, 0.0)[:, None] * draw.choice([-1, 1], COLUMNS)


def seasons(days: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    phase = 2 * np.pi * days.astype(int)[:, None] / 365.25
    return np.sin(phase + draw.uniform(0, 2 * np.pi, COLUMNS))


def day_effects(days: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """A twentieth of the variance is the days'."""
    return draw.normal(size=(len(days), COLUMNS)) * np.sqrt(0.05 / 0.95)


def neighbours(days: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Each day is like the one before it: an autoregression of 0.9 with a standard deviation of 0.3."""
    steps = draw.normal(size=(len(days) + 60, COLUMNS)) * 0.3 * np.sqrt(1 - 0.9**2)
    return np.asarray(lfilter([1.0], [1.0, -0.9], steps, axis=0))[60:]


def columns_of(effects: np.ndarray, rows: int, draw: np.random.Generator) -> dict[str, np.ndarray]:
    """The rows of one day."""
    found: dict[str, np.ndarray] = {}
    for place, effect in enumerate(effects):
        values = effect + draw.normal(size=rows)
        if place < _BELLS:
            found[f"bell{place}"] = values
        elif place < _BELLS + _ZEROS:
            found[f"zeros{place}"] = np.where(draw.random(rows) < 0.3, 0.0, np.exp(values))
        else:
            found[f"word{place}"] = _WORDS[np.searchsorted(_CUTS, values)]
    return found


@dataclass(frozen=True, eq=False)
class DriftWorld:
    """Training days and the days after them, of one seed."""

    effects: Effects
    trained: int  # days
    rows: int  # a day
    live: int  # days
    seed: int

    @cached_property
    def days(self) -> np.ndarray:
        return _FIRST + np.arange(self.trained + self.live)

    @cached_property
    def luck(self) -> np.ndarray:
        return self.effects(self.days, np.random.default_rng([self.seed, 1]))

    @cached_property
    def reference(self) -> tuple[Reference, TrainingPast]:
        """What a bundle keeps of the training days."""
        draw = np.random.default_rng([self.seed, 2])
        parts = [columns_of(luck, self.rows, draw) for luck in self.luck[: self.trained]]
        whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        words = {name: values for name, values in whole.items() if values.dtype == object}
        numbers = {name: values for name, values in whole.items() if name not in words}
        moments = np.repeat(self.days[: self.trained], self.rows)
        profile = read_profile(profile_of(numbers, words, moments=moments))
        past = fit_past(profile, DRIFT)
        assert past is not None
        return profile.features, past

    def judge(self, rows: int, change: Change | None = None) -> list[WindowDrift]:
        """Every live day of so many rows."""
        draw = np.random.default_rng([self.seed, 3])
        features, past = self.reference
        windows = []
        for day, luck in zip(self.days[self.trained :], self.luck[self.trained :], strict=True):
            columns = columns_of(luck, rows, draw)
            columns = change(columns, draw) if change else columns
            compared = {Aspect.FEATURE: (features, Sketch.of(table_of(columns), features))}
            windows.append(judge_window(str(day), compared, DRIFT, past=past, days=[day.astype(object)]))
        return windows


def count_begun(windows: list[WindowDrift]) -> int:
    """Alarms that begin: one that goes on is the same."""
    raised = [judge_alarm(windows[: day + 1], DRIFT).outcome is Outcome.FAIL for day in range(len(windows))]
    return sum(now and not before for now, before in zip(raised, [False, *raised], strict=False))


WORLDS: Mapping[str, tuple[Effects, int]] = {
    "independent rows": (independent, 60),
    "weekends of 1 sd": (weekends, 60),
    "a season of 1 sd": (seasons, 400),
    "days like the day before": (neighbours, 400),
    "days of 5 % of variance": (day_effects, 60),
}
