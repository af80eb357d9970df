"""What evaluation found, as frozen numbers: the only thing the gates read.

Records alone, so that the code location may import it. Who computes them: `intervals`, `slices`,
`calibration`, `robustness` and `report`; who judges them: `gates`.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """An estimate and the central interval that covers the truth with probability `level`.

    Either bound alone holds with confidence (1 + level) / 2.
    """

    estimate: float
    low: float
    high: float
    level: float
    method: str  # how it was made: "delta" (influence values, Student's t) or "bootstrap" (BCa)

    def __str__(self) -> str:
        return f"{self.estimate:.4f} ({self.low:.4f} to {self.high:.4f})"


@dataclass(frozen=True)
class Rival:
    """The candidate against one earlier version on the same rows. A positive gain favours the candidate."""

    version: str | None  # None: there is no such version yet
    gain: Interval | None
    problem: str  # why there is no gain though there is a version; else empty
    same: bool = False  # that version is the candidate itself
    basis: str = ""  # on which rows, where not on all of them


@dataclass(frozen=True)
class GuardSlice:
    """The candidate against the champion on a part of the rows."""

    name: str
    rows: int
    minimum: int
    gain: Interval | None
    problem: str


@dataclass(frozen=True)
class Disparity:
    """Largest difference between the groups of one protected attribute."""

    attribute: str
    measure: str
    difference: Interval
    limit: float
    lowest: str  # the two groups that are furthest apart
    highest: str
    left_out: tuple[str, ...]  # groups with too few rows to say anything


@dataclass(frozen=True)
class GroupScore:
    """One group of a protected attribute. A rate is `None` where no row could show it."""

    attribute: str
    group: str
    rows: int
    selection_rate: float
    true_positive_rate: float | None
    false_positive_rate: float | None
    calibration_error: float


@dataclass(frozen=True)
class FairnessReport:
    groups: tuple[GroupScore, ...]
    disparities: tuple[Disparity, ...]
    unmeasured: tuple[str, ...]  # what was declared and could not be measured, with the cause


@dataclass(frozen=True)
class Stress:
    """The primary metric when the input is spoilt in one way. `loss` is positive where quality fell.

    Where an answer is not a number there is neither score nor loss.
    """

    name: str
    score: float | None
    loss: float | None
    non_finite: int  # answers that are not a number


@dataclass(frozen=True)
class Robustness:
    rows: int
    unspoilt: float
    stresses: tuple[Stress, ...]  # a part of the cells spoilt: these are judged
    outages: tuple[Stress, ...]  # one whole column missing, worst first: for the report, as information is gone

    @property
    def non_finite(self) -> int:
        return sum(stress.non_finite for stress in (*self.stresses, *self.outages))


@dataclass(frozen=True)
class Measured:
    """A measurement and the most it may be; `where` says what it belongs to."""

    value: float
    limit: float
    where: str


@dataclass(frozen=True)
class RefitEvidence:
    """The model that learnt every row beside the last fold's model, on that fold's rows. Only the refit learnt them."""

    rows: int
    gain: Interval | None  # of the refit; positive: it is better
    problem: str  # why there is no gain; else empty
    finite: bool  # its answers are numbers
    error_gain: Interval | None  # in squared error: of the probabilities, or in standard deviations of the label
    shift: float | None  # mean answer against mean outcome, in the same unit
    shift_before: float  # the same of the last fold's model


@dataclass(frozen=True)
class Evidence:
    """All that the gates weigh. `None` means "not measured": an error where a limit is declared."""

    metric: str
    higher_is_better: bool
    rows: int
    score: Interval
    champion: Rival
    anchor: Rival
    baselines: Mapping[str, Interval]  # gain over each
    guards: tuple[GuardSlice, ...]
    calibration: Interval | None
    fairness: FairnessReport
    robustness: Robustness | None
    latency: Measured | None  # milliseconds for one row
    refit: RefitEvidence | None  # None: the model that was tested is served
    parity: tuple[Measured, ...]  # largest difference of a score, torch against the bundle, per slice
